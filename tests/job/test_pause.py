"""Promises of a pause."""

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.job.pause import pause


class PauseTests(SynchronousTestCase):
    """On a clock."""

    def test_it_ends_in_time(self) -> None:
        """Not before, and with nothing left on the clock."""
        clock = Clock()
        over = pause(clock, 2)
        clock.advance(1.9)
        self.assertNoResult(over)
        clock.advance(0.1)
        self.successResultOf(over)
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_cancelling_takes_it_off_the_clock(self) -> None:
        """Whoever gave up leaves nothing behind."""
        clock = Clock()
        over = pause(clock, 2)
        over.cancel()
        self.failureResultOf(over, CancelledError)
        self.assertEqual(clock.getDelayedCalls(), [])
