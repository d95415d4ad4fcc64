"""Waiting for an entry: woken, timed out, cancelled."""

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.backend.arrival import Arrival


class ArrivalTests(SynchronousTestCase):
    """One reader at a time."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.arrival = Arrival(clock=self.clock)
        self.waiting = Deferred.fromCoroutine(self.arrival.wait(5))

    def tearDown(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_announce_wakes(self) -> None:
        """The waiter goes on at once."""
        self.assertNoResult(self.waiting)
        self.arrival.announce()
        self.assertIsNone(self.successResultOf(self.waiting))

    def test_time_wakes(self) -> None:
        """The waiter goes on when its time is up."""
        self.clock.advance(4.9)
        self.assertNoResult(self.waiting)
        self.clock.advance(0.1)
        self.assertIsNone(self.successResultOf(self.waiting))

    def test_cancel_ends_the_wait(self) -> None:
        """The waiter gets CancelledError, and a later announcement finds nobody."""
        self.waiting.cancel()
        self.failureResultOf(self.waiting, CancelledError)
        self.arrival.announce()

    def test_announcing_to_nobody_is_not_remembered(self) -> None:
        """Whoever waits must have looked first: an earlier announcement does not wake it."""
        self.arrival.announce()
        self.successResultOf(self.waiting)
        self.arrival.announce()
        again = Deferred.fromCoroutine(self.arrival.wait(1))
        self.assertNoResult(again)
        self.clock.advance(1)
        self.successResultOf(again)
