"""Waits between tries."""

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.client.backoff import STEADY_SECONDS, Backoff, pause


class BackoffTests(SynchronousTestCase):
    """Of one client."""

    def setUp(self) -> None:
        self.jitter = 1.0
        self.backoff = Backoff(first_delay_seconds=1, max_delay_seconds=10, jitter=lambda: self.jitter)

    def test_ever_longer(self) -> None:
        """Each is up to half as long again, up to the most."""
        self.assertEqual([self.backoff.after(0) for _ in range(3)], [1, 1.5, 2.25])
        self.assertEqual([self.backoff.after(0) for _ in range(200)][-1], 10)

    def test_spread(self) -> None:
        """Over all of the span, on top of what the server asked for."""
        self.jitter = 0.0
        self.assertEqual((self.backoff.after(0), self.backoff.after(0, 2500)), (0, 2.5))

    def test_good_connection(self) -> None:
        """After one that held, the waits begin anew."""
        for _ in range(5):
            self.backoff.after(0)
        self.assertEqual(self.backoff.after(STEADY_SECONDS), 1)


class PauseTests(SynchronousTestCase):
    """On a clock."""

    def test_pause(self) -> None:
        """It ends in time, and leaves nothing when it is cancelled."""
        clock = Clock()
        first, second = (Deferred.fromCoroutine(pause(clock, 5)) for _ in range(2))
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.assertNoResult(first)
        clock.advance(5)
        self.successResultOf(first)
        self.assertEqual(clock.getDelayedCalls(), [])
