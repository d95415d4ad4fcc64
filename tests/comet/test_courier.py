"""Pages on their way to logic."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.comet.courier import RETRY_SECONDS, Courier
from imd.comet.work import Work
from imd.errors import Overloaded, PeerUnavailable


class CourierTests(SynchronousTestCase):
    """One page at a time."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.work = Work(clock=self.clock)
        self.pages = 0  # that are left to take
        self.taken = 0
        self.error: Exception | None = None
        self.held: Deferred[None] | None = None
        self.courier = Courier(clock=self.clock, work=self.work, gather_seconds=0.2, carry=self.carry)

    async def carry(self) -> bool:
        if self.held is not None:
            await self.held
        if self.error is not None:
            raise self.error
        self.taken += 1
        self.pages -= 1
        return self.pages > 0

    def test_gathers_then_takes_all(self) -> None:
        """However often it is woken, one journey takes every page; then there is no timer."""
        self.pages = 3
        self.courier.wake()
        self.courier.wake()
        self.clock.advance(0.1)
        self.assertEqual(self.taken, 0)
        self.clock.advance(0.1)
        self.assertEqual(self.taken, 3)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_never_two_under_way(self) -> None:
        """What comes meanwhile is the next page's."""
        self.pages = 1
        self.held = Deferred()
        self.courier.wake()
        self.clock.advance(1)
        self.courier.wake()
        self.assertEqual((self.clock.getDelayedCalls(), len(self.work)), ([], 1))
        self.pages = 2
        self.held.callback(None)
        self.assertEqual((self.taken, len(self.work)), (2, 0))

    def test_tried_again(self) -> None:
        """While logic is away, or has too much to do."""
        self.pages = 1
        self.courier.wake()
        for error in (PeerUnavailable("away"), Overloaded("busy")):
            self.error = error
            self.clock.advance(RETRY_SECONDS)
        self.error = None
        self.assertEqual(self.taken, 0)
        self.clock.advance(RETRY_SECONDS)
        self.assertEqual((self.taken, self.clock.getDelayedCalls()), (1, []))

    def test_stop_takes_at_once(self) -> None:
        """Nothing waits for its time any more, what comes later neither; a failure is not tried again."""
        self.pages = 1
        self.courier.wake()
        self.courier.stop()
        self.assertEqual(self.taken, 1)
        self.courier.wake()
        self.assertEqual(self.taken, 2)
        self.error = PeerUnavailable("away")
        self.courier.wake()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_without_anything(self) -> None:
        """Nobody is sent."""
        self.courier.stop()
        self.assertEqual((self.taken, self.clock.getDelayedCalls()), (0, []))

    def test_a_bug_does_not_stop_it(self) -> None:
        """It is logged, and the next page is taken."""
        self.error = ZeroDivisionError()
        self.courier.wake()
        self.clock.advance(0.2)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.error, self.pages = None, 1
        self.courier.wake()
        self.clock.advance(0.2)
        self.assertEqual(self.taken, 1)
