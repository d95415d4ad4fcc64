"""The life of a process: parts in order, failures in one line, the way out."""

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from imd.errors import ServerIdTaken
from imd.metrics import Metrics
from imd.service.daemon import CLOSE_SECONDS, TICK_SECONDS, Daemon, Part
from imd.service.notify import Notifier


class Step:
    """A resource that notes what is asked of it."""

    def __init__(self, name: str, story: list[str]) -> None:
        self.name = name
        self.story = story
        self.opening: Deferred[None] | None = None  # what open waits for
        self.closing: Deferred[None] | None = None
        self.why: str | None = None

    async def open(self) -> None:
        self.story.append(f"open {self.name}")
        if self.opening is not None:
            try:
                await self.opening
            except CancelledError:
                self.story.append(f"cancelled {self.name}")
                raise

    async def close(self) -> None:
        self.story.append(f"close {self.name}")
        if self.closing is not None:
            try:
                await self.closing
            except CancelledError:
                self.story.append(f"cancelled {self.name}")
                await Deferred()  # as a part with a bug would

    def trouble(self) -> str | None:
        return self.why


class StoppableReactor(MemoryReactorClock):
    """Counts stops."""

    def __init__(self) -> None:
        super().__init__()
        self.running = True
        self.stops = 0

    def stop(self) -> None:
        if self.stops:
            raise ReactorNotRunning()
        self.stops += 1


class HeardNotifier(Notifier):
    """Keeps what it would send."""

    def __init__(self) -> None:
        super().__init__({})
        self.heard: list[str] = []

    def _send(self, text: str) -> None:
        self.heard.append(text)


class DaemonTests(SynchronousTestCase):
    """Two parts, from start to stop."""

    def setUp(self) -> None:
        self.story: list[str] = []
        self.one, self.two = Step("one", self.story), Step("two", self.story)
        self.reactor = StoppableReactor()
        self.notifier = HeardNotifier()
        self.failures: list[str] = []
        self.metrics = Metrics()
        self.daemon = Daemon(
            "imd-test",
            reactor=self.reactor,
            metrics=self.metrics,
            build=lambda daemon: [Part("one", self.one), Part("two", self.two)],
            greet=lambda: "hello",
            notifier=self.notifier,
            mark_failed=lambda: self.failures.append("status 1"),
        )

    def start(self) -> None:
        """As twistd does, to the reactor's first turn."""
        self.daemon.startService()
        for hook, arguments, keywords in self.reactor.whenRunningHooks:
            hook(*arguments, **keywords)

    def test_order(self) -> None:
        """Opened in order, then ready; closed in reverse."""
        self.start()
        self.assertEqual(self.notifier.heard, ["READY=1\nSTATUS=ready"])
        self.successResultOf(self.daemon.stopService())
        self.assertEqual(self.story, ["open one", "open two", "close two", "close one"])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_not_ready_before_all_are_open(self) -> None:
        """A part that waits holds the next ones and the word READY; /readyz names it."""
        self.one.opening = Deferred()
        self.start()
        self.assertEqual(self.daemon.troubles(), {"one": "not opened yet", "two": "not opened yet"})
        self.assertEqual(self.notifier.heard, [])
        self.one.opening.callback(None)
        self.assertEqual(self.daemon.troubles(), {})

    def test_not_ready_before_there_are_parts(self) -> None:
        """Nor is a process ready that has not begun."""
        self.reactor.running = False
        self.daemon.startService()
        self.assertEqual(self.daemon.troubles(), {"process": "starting"})

    def test_stopped_while_opening(self) -> None:
        """The wait is cancelled; only what was opened is closed."""
        self.two.opening = Deferred()
        self.start()
        self.successResultOf(self.daemon.stopService())
        self.assertEqual(self.story, ["open one", "open two", "cancelled two", "close one"])
        self.assertEqual((self.failures, self.flushLoggedErrors()), ([], []))
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_stopped_while_a_part_takes_no_notice(self) -> None:
        """What it goes on to open is closed; nothing more is opened, and nothing is said to be ready."""
        self.one.opening = Deferred(lambda deferred: deferred.callback(None))
        self.start()
        self.successResultOf(self.daemon.stopService())
        self.assertEqual(self.story, ["open one", "close one"])
        self.assertEqual(self.notifier.heard, ["STOPPING=1\nSTATUS=stopping"])

    def test_a_part_that_cannot_open(self) -> None:
        """The process stops with status 1 and one line, no traceback."""
        self.two.opening = Deferred()
        self.start()
        self.two.opening.errback(ServerIdTaken("comet a lives already"))
        self.assertEqual((self.reactor.stops, len(self.failures)), (1, 1))
        self.successResultOf(self.daemon.stopService())
        self.assertEqual(self.story[2:], ["close one"])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_bug_while_opening(self) -> None:
        """The same, with the traceback."""
        self.two.opening = Deferred()
        self.start()
        self.two.opening.errback(KeyError("planted"))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertEqual((self.reactor.stops, len(self.failures)), (1, 1))

    def test_a_part_that_does_not_close(self) -> None:
        """The others are closed all the same, after a deadline."""
        self.two.closing = Deferred()
        self.start()
        stopped = self.daemon.stopService()
        self.assertNoResult(stopped)
        self.reactor.advance(CLOSE_SECONDS)
        self.successResultOf(stopped)
        self.assertEqual(self.story[2:], ["close two", "cancelled two", "close one"])
        self.assertEqual(len(self.flushLoggedErrors()), 1)

    def test_a_part_that_fails_to_close(self) -> None:
        """The same, at once."""
        self.two.closing = Deferred()
        self.start()
        stopped = self.daemon.stopService()
        self.two.closing.errback(KeyError("planted"))
        self.successResultOf(stopped)
        self.assertEqual(self.story[2:], ["close two", "close one"])
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_fails_later(self) -> None:
        """The same as at the start: one line, status 1. A second fault changes nothing, nor does one found while stopping."""
        self.start()
        for _ in range(2):
            self.daemon.fail(ServerIdTaken("comet a lives already"))
        self.assertEqual((self.reactor.stops, len(self.failures)), (1, 2))
        self.successResultOf(self.daemon.stopService())
        self.daemon.fail(ServerIdTaken("too late"))
        self.assertEqual(len(self.failures), 2)
        self.assertEqual(self.notifier.heard[-1], "STOPPING=1\nSTATUS=comet a lives already")

    def test_not_ready_while_it_stops(self) -> None:
        """/readyz says so to the end, and systemd's status stays at it; the watchdog is fed."""
        self.notifier.watchdog_seconds = 1
        self.two.closing = Deferred()
        self.start()
        self.two.why = "closed"
        stopped = self.daemon.stopService()
        self.reactor.advance(TICK_SECONDS)
        self.assertEqual(self.daemon.troubles(), {"process": "stopping"})
        self.assertEqual(self.notifier.heard[1:], ["STOPPING=1\nSTATUS=stopping", "WATCHDOG=1"])
        self.two.closing.callback(None)
        self.successResultOf(stopped)

    def test_names(self) -> None:
        """Two parts of one name would hide each other's trouble: a bug, found at the first start."""
        self.daemon._build = lambda daemon: [Part("one", self.one), Part("one", self.two)]
        self.start()
        self.assertEqual(len(self.flushLoggedErrors(AssertionError)), 1)
        self.assertEqual(self.story, [])

    def test_lag(self) -> None:
        """How late each second's tick was, whatever the one before was."""
        self.start()
        for late in (0.0, 0.25, 0.25, 0.0):
            self.reactor.advance(TICK_SECONDS + late)
        counts = self.metrics.reactor_lag_seconds.values[()]
        self.assertEqual((sum(counts[:-1]), counts[-1]), (4, 0.5))
        self.successResultOf(self.daemon.stopService())

    def test_status(self) -> None:
        """systemd hears of trouble, once, and of its end."""
        self.start()
        self.one.why = "Redis is away"
        for _ in range(3):
            self.reactor.advance(TICK_SECONDS)
        self.one.why = None
        self.reactor.advance(TICK_SECONDS)
        self.assertEqual(self.notifier.heard[1:], ["STATUS=one: Redis is away", "STATUS=ready"])
        self.successResultOf(self.daemon.stopService())
