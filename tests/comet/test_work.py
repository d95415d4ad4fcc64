"""Coroutines under way."""

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.comet.work import Work


class WorkTests(SynchronousTestCase):
    """Started, kept, ended."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.work = Work(clock=self.clock)
        self.said: list[str] = []

    async def wait(self, waiting: Deferred[None], name: str) -> None:
        try:
            await waiting
            self.said.append(name)
        except CancelledError:
            self.said.append(f"{name} cancelled")
            raise

    def test_kept_until_it_ends(self) -> None:
        """Also when it ends at once."""
        waiting: Deferred[None] = Deferred()
        self.work.start(self.wait(waiting, "a"))
        done: Deferred[None] = Deferred()
        done.callback(None)
        self.work.start(self.wait(done, "b"))
        self.assertEqual((len(self.work), self.said), (1, ["b"]))
        waiting.callback(None)
        self.assertEqual(len(self.work), 0)

    def test_a_bug_is_logged(self) -> None:
        """Nobody else would hear of it."""
        waiting: Deferred[None] = Deferred()
        self.work.start(self.wait(waiting, "a"))
        waiting.errback(ZeroDivisionError())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(len(self.work), 0)

    def test_drain_waits(self) -> None:
        """For all of them, and leaves no timer."""
        first, second = Deferred[None](), Deferred[None]()
        self.work.start(self.wait(first, "a"))
        self.work.start(self.wait(second, "b"))
        drained = Deferred.fromCoroutine(self.work.drain(5))
        first.callback(None)
        self.assertNoResult(drained)
        second.callback(None)
        self.successResultOf(drained)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_drain_is_bounded(self) -> None:
        """What still runs is cancelled, and what it starts in its last breath does not begin."""

        async def last_breath() -> None:
            try:
                await Deferred()
            finally:
                self.work.start(self.wait(Deferred(), "never"))

        self.work.start(self.wait(Deferred(), "a"))
        self.work.start(last_breath())
        drained = Deferred.fromCoroutine(self.work.drain(5))
        self.clock.advance(5)
        self.successResultOf(drained)
        self.assertEqual((self.said, len(self.work)), (["a cancelled"], 0))

    def test_drain_of_nothing(self) -> None:
        """Returns at once."""
        self.successResultOf(Deferred.fromCoroutine(self.work.drain(5)))

    def test_pause(self) -> None:
        """So long; a cancelled one leaves no timer."""
        paused = Deferred.fromCoroutine(self.work.pause(3))
        self.clock.advance(2.9)
        self.assertNoResult(paused)
        self.clock.advance(0.1)
        self.successResultOf(paused)
        paused = Deferred.fromCoroutine(self.work.pause(3))
        paused.cancel()
        self.failureResultOf(paused, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])
