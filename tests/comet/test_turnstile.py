"""How many may resume."""

from twisted.trial.unittest import SynchronousTestCase

from imd.comet.turnstile import LONGEST_SECONDS, Turnstile
from imd.errors import Overloaded


class TurnstileTests(SynchronousTestCase):
    """Ten a second, five at once."""

    def setUp(self) -> None:
        self.turnstile = Turnstile(per_second=10, burst=5)

    def refused(self, now: float) -> int:
        try:
            self.turnstile.enter(now)
        except Overloaded as error:
            return error.retry_after_seconds
        return 0

    def test_burst_and_rate(self) -> None:
        """Five come through, then one a tenth of a second."""
        for _ in range(5):
            self.turnstile.enter(100.0)
        self.assertEqual([self.refused(now) for now in (100.0, 100.1, 100.1)], [1, 0, 1])

    def test_the_pause_grows_with_those_refused(self) -> None:
        """Whoever is refused is given a turn of its own; none is sent away for longer than a minute."""
        for _ in range(5):
            self.turnstile.enter(100.0)
        pauses = [self.refused(100.0) for _ in range(2000)]
        self.assertEqual((pauses[0], pauses[9], pauses[10], pauses[99]), (1, 1, 2, 10))
        self.assertEqual((pauses, pauses[-1]), (sorted(pauses), LONGEST_SECONDS))

    def test_the_pause_shrinks_again(self) -> None:
        """Once those who were refused had their turns."""
        for _ in range(5):
            self.turnstile.enter(100.0)
        for _ in range(100):
            self.refused(100.0)
        for _ in range(5):
            self.turnstile.enter(200.0)
        self.assertEqual(self.refused(200.0), 1)

    def test_many_timelines(self) -> None:
        """Count as a client for each ten; never as more than may come at once, or nobody with so many would ever come in."""
        self.turnstile.enter(100.0, 10)
        self.turnstile.enter(100.0, 40)
        self.assertEqual((self.refused(100.0), self.refused(100.1)), (1, 0))
        self.turnstile.enter(200.0, 1000)
        self.assertEqual(self.refused(200.0), 1)
