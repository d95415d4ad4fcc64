"""A process that is watched over."""

import signal
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from imd.errors import ConfigError, ImdError
from imd.metrics import Metrics
from imd.service.child import MAX_DELAY_SECONDS, MAX_HELD_LINES, MAX_WORD_BYTES, START_SECONDS, Child, Phase

STOP_SECONDS = 20.0
SILENT_SECONDS = 3


class Spawned:
    """What Twisted answers for a process."""

    pid = 4321

    def __init__(self) -> None:
        self.signals: list[str] = []
        self.gone = False

    def signalProcess(self, name: str) -> None:
        if self.gone:
            raise ProcessExitedAlready
        self.signals.append(name)


class SpawningClock(Clock):
    """Starts nothing, and remembers what it was asked to."""

    def __init__(self) -> None:
        super().__init__()
        self.spawned: list[Spawned] = []
        self.asked: list[tuple[Any, ...]] = []
        self.error: OSError | None = None  # why it cannot

    def spawnProcess(self, protocol: Child, executable: str, args: Any, env: Any, childFDs: Any) -> Spawned:
        if self.error:
            raise self.error
        self.asked.append((executable, args, env, childFDs))
        self.spawned.append(Spawned())
        return self.spawned[-1]


class ChildTests(SynchronousTestCase):
    """One, from start to end."""

    def setUp(self) -> None:
        self.clock = SpawningClock()
        self.metrics = Metrics()
        self.failures: list[ImdError] = []
        self.pinned: list[int] = []
        self.lines: list[str] = []
        self.child = self.made()
        observer = cast(ILogObserver, self.observe)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def observe(self, event: Any) -> None:
        if event.get("log_namespace", "").startswith("imd.service"):
            self.lines.append(formatEvent(event))

    def made(self, **how: Any) -> Child:
        options: dict[str, Any] = {"pin": self.pinned.append, "failed": self.failures.append}
        return Child(
            "host-1",
            command=["python", "twistd"],
            environ={"HOME": "/"},
            reactor=self.clock,
            metrics=self.metrics,
            stop_seconds=STOP_SECONDS,
            silent_seconds=SILENT_SECONDS,
            **(options | how),
        )

    def start(self, *words: bytes) -> Spawned:
        """It runs, and has said these."""
        self.successResultOf(Deferred.fromCoroutine(self.child.open()))
        return self.say(*words)

    def say(self, *words: bytes) -> Spawned:
        for word in words:
            self.child.childDataReceived(3, word + b"\n")
        return self.clock.spawned[-1]

    def ends(self, status: int | None = 0, number: int | None = None) -> None:
        reason = ProcessTerminated(status, number) if status or number else ProcessDone(0)
        self.clock.spawned[-1].gone = True
        self.child.processEnded(Failure(reason))

    def test_started(self) -> None:
        """With a pipe for its words and one that ends with us, its stdout ours; it is told how often to say that it lives."""
        self.start()
        ((executable, args, env, fds),) = self.clock.asked
        self.assertEqual((executable, args), ("python", ["python", "twistd"]))
        self.assertEqual(env, {"HOME": "/", "SUPERVISOR_FD": "3", "WATCHDOG_USEC": "3000000"})
        self.assertEqual(fds, {0: "w", 1: 1, 2: "r", 3: "r"})
        self.assertEqual((self.pinned, self.lines), ([4321], ["host-1 is process 4321"]))

    def test_ready(self) -> None:
        """Once it says so, in pieces cut anywhere; until then its trouble is what it said last."""
        self.start()
        self.assertEqual(self.child.trouble(), "starting")
        for byte in b"STATUS=presence lease: no logic\nREADY=1\n":
            self.assertNoResult(self.child.ready)
            self.child.childDataReceived(3, bytes([byte]))
        self.successResultOf(self.child.ready)
        self.assertEqual(self.child.trouble(), "presence lease: no logic")
        self.say(b"STATUS=ready")
        self.assertIsNone(self.child.trouble())
        self.say(b"STATUS=zookeeper: away")
        self.assertEqual(self.child.trouble(), "zookeeper: away")

    def test_a_first_start_that_fails(self) -> None:
        """Is not tried again: its reason, from stderr or from what it said of itself, is handed on in one line."""
        self.start()
        self.child.childDataReceived(2, b"comet.tcp = x: cannot listen there\n")
        self.ends(1)
        self.child = self.made()
        self.start(b"STATUS=logic refuses it", b"STOPPING=1")
        self.ends(1)
        self.child = self.made()
        self.start()
        self.ends(None, signal.SIGKILL)
        self.assertEqual(
            [str(error) for error in self.failures],
            [
                "host-1 ended with status 1: comet.tcp = x: cannot listen there",
                "host-1 ended with status 1: logic refuses it",
                "host-1 was ended by signal 9 (Killed)",
            ],
        )
        self.assertEqual(len(self.clock.spawned), 3)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_started_again(self) -> None:
        """Whatever ended it, also its own will; ever more slowly while it does not last, and counted."""
        self.start(b"READY=1\nSTATUS=ready")
        delays = []
        for _ in range(12):
            self.ends(1)
            self.assertEqual(self.child.phase, Phase.AWAY)
            self.assertIn("it is started again", self.child.trouble() or "")
            (call,) = self.clock.getDelayedCalls()
            delays.append(call.getTime() - self.clock.seconds())
            self.clock.advance(delays[-1])
            self.assertEqual(self.child.phase, Phase.STARTING)
        self.assertEqual((delays[:3], delays[-1]), ([1.0, 1.5, 2.25], MAX_DELAY_SECONDS))
        self.assertEqual(self.metrics.process_ends.value("host-1"), 12)
        self.say(b"READY=1\nSTATUS=ready")
        self.clock.advance(60)
        self.ends(0)
        self.assertEqual(self.lines[-1], "host-1 ended with status 0; it is started again in 1.0 s")
        self.assertEqual(self.failures, [])

    def test_a_machine_without_room(self) -> None:
        """At first it is the start's fault; later it is tried again."""
        self.clock.error = OSError(11, "Resource temporarily unavailable")
        self.start_only()
        self.assertEqual(
            [str(error) for error in self.failures], ["host-1 cannot be started: resource temporarily unavailable"]
        )
        self.clock.error = None
        self.child = self.made()
        self.start(b"READY=1\nSTATUS=ready")
        self.clock.error = OSError(12, "Cannot allocate memory")
        self.ends(1)
        self.clock.advance(1)
        self.assertEqual(self.child.trouble(), "cannot be started: cannot allocate memory; it is started again")
        self.clock.error = None
        self.clock.advance(1.5)
        self.assertEqual(self.child.phase, Phase.STARTING)

    def start_only(self) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.child.open()))

    def test_not_to_be_pinned(self) -> None:
        """Where the sandbox forbids it, the start as a whole has failed."""

        def refuse(pid: int) -> None:
            raise ConfigError(f"--pin: process {pid} cannot be kept on core 0")

        self.child = self.made(pin=refuse)
        self.start_only()
        self.assertEqual([str(error) for error in self.failures], ["--pin: process 4321 cannot be kept on core 0"])

    def test_closed(self) -> None:
        """SIGTERM, once, and a wait for its end, whoever asks; it is not started again."""
        process = self.start(b"READY=1\nSTATUS=ready")
        closings = [Deferred.fromCoroutine(self.child.close()) for _ in range(2)]
        self.assertEqual(process.signals, ["TERM"])
        self.clock.advance(STOP_SECONDS / 2)
        for closing in closings:
            self.assertNoResult(closing)
        self.ends(0)
        for closing in closings:
            self.successResultOf(closing)
        self.successResultOf(Deferred.fromCoroutine(self.child.close()))
        self.assertEqual((self.child.phase, self.clock.getDelayedCalls()), (Phase.STOPPED, []))

    def test_does_not_stop(self) -> None:
        """It is killed."""
        process = self.start(b"READY=1\nSTATUS=ready")
        closing = Deferred.fromCoroutine(self.child.close())
        self.clock.advance(STOP_SECONDS)
        self.assertEqual(process.signals, ["TERM", "KILL"])
        self.ends(None, signal.SIGKILL)
        self.successResultOf(closing)
        self.assertEqual(self.lines[-1], "host-1 does not stop: it is killed")

    def test_closed_while_it_is_away(self) -> None:
        """There is nothing to wait for, and it stays away."""
        self.start(b"READY=1\nSTATUS=ready")
        self.ends(1)
        self.successResultOf(Deferred.fromCoroutine(self.child.close()))
        self.assertEqual((self.clock.getDelayedCalls(), len(self.clock.spawned)), ([], 1))

    def test_closed_as_it_ends(self) -> None:
        """A signal that comes too late is no fault."""
        process = self.start(b"READY=1\nSTATUS=ready")
        process.gone = True
        closing = Deferred.fromCoroutine(self.child.close())
        self.ends(1)
        self.successResultOf(closing)

    def test_silence(self) -> None:
        """It is killed when it gives no sign of life, which any word is; and then it is started again like any other."""
        process = self.start(b"READY=1\nSTATUS=ready")
        for _ in range(2 * SILENT_SECONDS):
            self.child.look()
            self.say(b"WATCHDOG=1")
        self.assertEqual(process.signals, [])
        for _ in range(SILENT_SECONDS + 2):
            self.child.look()
        self.assertEqual(process.signals, ["KILL"])
        self.assertEqual(self.lines[-1], "host-1 has given no sign of life for 3 s: it is killed")
        self.ends(None, signal.SIGKILL)
        self.child.look()
        self.clock.advance(1)
        self.assertEqual(len(self.clock.spawned), 2)

    def test_a_slow_start(self) -> None:
        """Is no silence: its first sign of life may take far longer, though not for ever."""
        process = self.start()
        for _ in range(START_SECONDS - 1):
            self.child.look()
        self.assertEqual(process.signals, [])
        self.child.look()
        self.assertEqual(process.signals, ["KILL"])

    def test_stderr(self) -> None:
        """Is logged once it is ready; what it said before is kept, within bounds: it may explain its end."""
        self.start()
        for number in range(2 * MAX_HELD_LINES):
            self.child.childDataReceived(2, b"line %d\n" % number)
        self.assertEqual(len(self.lines), 1)
        self.say(b"READY=1\nSTATUS=ready")
        self.assertEqual(len(self.lines), 1 + MAX_HELD_LINES)
        self.assertEqual(self.lines[-1], "host-1 says: line 99")
        self.child.childDataReceived(2, b"Assertion ")
        self.child.childDataReceived(2, b"failed\n")
        self.assertEqual(self.lines[-1], "host-1 says: Assertion failed")

    def test_a_traceback(self) -> None:
        """Is logged whole, and its last line is the reason."""
        self.start()
        self.child.childDataReceived(2, b"Traceback:\n  line 1\nKeyError: 'planted'\n")
        self.ends(1)
        self.assertEqual(len([line for line in self.lines if "says" in line]), 3)
        self.assertEqual(str(self.failures[0]), "host-1 ended with status 1: KeyError: 'planted'")

    def test_endless_lines(self) -> None:
        """Cost a bounded amount."""
        self.start()
        for _ in range(10):
            self.child.childDataReceived(2, b"x" * MAX_WORD_BYTES)
        self.assertEqual(len(self.child._rests[2]), MAX_WORD_BYTES)
