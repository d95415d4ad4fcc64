"""One inside, the others in order."""

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from imd.comet.turns import Turns


class TurnsTests(SynchronousTestCase):
    """Who is inside, and who waits."""

    def setUp(self) -> None:
        self.turns = Turns()
        self.inside: list[str] = []
        self.doors: dict[str, Deferred[None]] = {}

    def come(self, name: str) -> Deferred[None]:
        """It stays inside until its door is opened, or breaks."""
        self.doors[name] = Deferred()
        return Deferred.fromCoroutine(self._visit(name))

    async def _visit(self, name: str) -> None:
        async with self.turns:
            self.inside.append(name)
            try:
                await self.doors[name]
            finally:
                self.inside.remove(name)

    def test_nobody_there(self) -> None:
        """It is inside at once, and again when it comes back."""
        for _ in range(2):
            visit = self.come("a")
            self.assertEqual(self.inside, ["a"])
            self.doors["a"].callback(None)
            self.successResultOf(visit)

    def test_order(self) -> None:
        """One after the other, whether those before left well or not."""
        visits = [self.come(name) for name in "abc"]
        self.assertEqual(self.inside, ["a"])
        self.doors["a"].errback(ValueError())
        self.failureResultOf(visits[0], ValueError)
        self.assertEqual(self.inside, ["b"])
        late = self.come("d")
        self.doors["b"].callback(None)
        self.assertEqual(self.inside, ["c"])
        self.doors["c"].callback(None)
        self.assertEqual(self.inside, ["d"])
        self.doors["d"].callback(None)
        for visit in (*visits[1:], late):
            self.successResultOf(visit)

    def test_cancelled_while_it_waits(self) -> None:
        """It is left out; so is who is cancelled inside, whereupon the next comes in."""
        first, second, third = (self.come(name) for name in "abc")
        second.cancel()
        self.failureResultOf(second, CancelledError)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertEqual(self.inside, ["c"])
        self.doors["c"].callback(None)
        self.successResultOf(third)
        self.assertEqual(self.inside, [])
