"""A process that this one starts, listens to, and starts again when it ends."""

import signal
from collections.abc import Callable, Mapping, Sequence
from enum import Enum, unique
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from imd.client.backoff import Backoff
from imd.errors import ConfigError, ImdError
from imd.interfaces import Timer
from imd.metrics import Metrics
from imd.service.notify import SUPERVISOR_FD

FIRST_DELAY_SECONDS = 1.0  # before it is started again, at first; each further start waits half as long again
MAX_DELAY_SECONDS = 30.0
START_SECONDS = 300  # to its first sign of life: dozens may start at once, on few cores
MAX_WORD_BYTES = 4096  # of one line from a child; the rest of a longer one is left out
MAX_HELD_LINES = 50  # of what it says on stderr while it starts: the last ones are kept
_STDIN, _STDOUT, _STDERR, _WORDS = range(4)
_FDS: Mapping[int, str | int] = {_STDIN: "w", _STDOUT: _STDOUT, _STDERR: "r", _WORDS: "r"}


@unique
class Phase(Enum):
    """Where a child is in its life."""

    STARTING = "starting"
    READY = "ready"
    AWAY = "away"  # it ended, and will be started again
    STOPPED = "stopped"  # not started yet, or ended for good


class Child(ProcessProtocol):
    """One of several alike. It tells us, as it would tell systemd, that it is ready, how it is and that it lives; its stdin
    ends with us, and then it ends too.

    A first start that fails is the whole's: ``failed`` gets the reason. From then on it is started again, ever more slowly.
    """

    log = Logger(namespace="imd.service")

    def __init__(
        self,
        name: str,
        *,
        command: Sequence[str],
        environ: Mapping[str, str],
        reactor: Any,
        metrics: Metrics,
        pin: Callable[[int], None],
        failed: Callable[[ImdError], None],
        stop_seconds: float,
        silent_seconds: int,
    ) -> None:
        self.name = name
        self.phase = Phase.STOPPED
        self.ready: Deferred[None] = Deferred()  # fires once, when it is ready for the first time
        self._command = list(command)
        self._environ = {**environ, "SUPERVISOR_FD": str(SUPERVISOR_FD), "WATCHDOG_USEC": str(silent_seconds * 10**6)}
        self._reactor = reactor
        self._metrics = metrics
        self._pin = pin  # keeps the process of this number on its core; raises ConfigError where that is forbidden
        self._failed = failed
        self._stop_seconds = stop_seconds  # to end in good order; then it is killed
        self._silent_seconds = silent_seconds  # without a sign of life; then it is killed
        self._backoff = Backoff(
            first_delay_seconds=FIRST_DELAY_SECONDS, max_delay_seconds=MAX_DELAY_SECONDS, jitter=lambda: 1.0
        )
        self._process: Any = None  # Twisted's, while it runs
        self._gone: Deferred[None] | None = None  # while somebody waits for its end
        self._timer: Timer | None = None  # the next start, or the end of our patience with a stop
        self._status = ""  # what it said of itself last
        self._silence = 0  # looks since its last sign of life
        self._patience = 0  # how many there may be
        self._ready_at = 0.0  # when it became ready, reactor seconds
        self._rests = {_STDERR: b"", _WORDS: b""}  # of lines whose end has not come
        self._held: list[str] = []  # lines of stderr while it starts: its end may be explained by them

    # --- a part of the supervisor

    async def open(self) -> None:
        """Start it; :attr:`ready` says when it is."""
        self._start()

    async def close(self) -> None:
        """SIGTERM; returns when it has ended, which SIGKILL sees to after ``stop_seconds``. Any number may ask."""
        if self._process is None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self.phase = Phase.STOPPED
            return
        if self._gone is None:
            self._gone = Deferred()
            self._timer = self._reactor.callLater(self._stop_seconds, self._give_up)
            self._signal("TERM")
        gone: Deferred[None] = Deferred()
        self._gone.chainDeferred(gone)
        await gone

    def trouble(self) -> str | None:
        """None when it is ready and says of itself that it is."""
        if self.phase is Phase.STARTING:
            return self._status or "starting"
        return None if self.phase is Phase.READY and self._status == "ready" else self._status or self.phase.value

    def look(self) -> None:
        """Called once a second; kills what is silent. In looks, not in time: when it was this process that stood still,
        nobody is guilty."""
        if self._process is None:
            return
        self._silence += 1
        if self._silence == self._patience:
            self.log.warn(
                "{name} has given no sign of life for {seconds} s: it is killed", name=self.name, seconds=self._silence
            )
            self._signal("KILL")

    # --- what Twisted tells us of the process

    def childDataReceived(self, fd: int, data: bytes) -> None:
        """Lines, cut anywhere."""
        *lines, rest = (self._rests[fd] + data).split(b"\n")
        self._rests[fd] = rest[:MAX_WORD_BYTES]
        for line in lines:
            text = line[:MAX_WORD_BYTES].decode("utf-8", "replace")
            if fd == _WORDS:
                self._word(text)
            else:
                self._said(text)

    def processEnded(self, reason: Failure) -> None:
        """It is gone, and has said all that it had to say."""
        how = self._how(reason)
        if len(self._held) > 1:  # more than fits into a clause: a traceback
            self._give_out()
        self._process = None
        self._ended(how)

    # --- inside

    def _ended(self, how: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._gone is not None:
            self.phase, gone, self._gone = Phase.STOPPED, self._gone, None
            gone.callback(None)
        elif not self.ready.called:
            self.phase = Phase.STOPPED
            self._failed(ImdError(f"{self.name} {how}"))
        else:
            self._start_later(how)

    def _start(self) -> None:
        self.phase, self._status = Phase.STARTING, ""
        self._silence, self._patience = 0, START_SECONDS
        self._timer = None
        self._rests = {_STDERR: b"", _WORDS: b""}
        self._held = []
        try:
            self._process = self._reactor.spawnProcess(
                self, self._command[0], self._command, env=self._environ, childFDs=_FDS
            )
        except OSError as error:  # no memory, too many processes
            self._ended(f"cannot be started: {(error.strerror or str(error)).lower()}")
            return
        self.log.info("{name} is process {pid}", name=self.name, pid=self._process.pid)
        try:
            self._pin(self._process.pid)
        except ConfigError as error:
            self._failed(error)

    def _start_later(self, how: str) -> None:
        held = self._reactor.seconds() - self._ready_at if self.phase is Phase.READY else 0.0
        delay = self._backoff.after(held)
        self.phase, self._status = Phase.AWAY, f"{how}; it is started again"
        self._metrics.process_ends.add(1, self.name)
        self.log.warn("{name} {how}; it is started again in {delay:.1f} s", name=self.name, how=how, delay=delay)
        self._timer = self._reactor.callLater(delay, self._start)

    def _word(self, line: str) -> None:
        """A line as sd_notify(3) has it."""
        name, _, value = line.partition("=")
        self._silence, self._patience = 0, self._silent_seconds
        if name == "STATUS":
            self._status = value
        elif name == "READY":
            self.phase, self._ready_at = Phase.READY, self._reactor.seconds()
            self._give_out()
            if not self.ready.called:
                self.ready.callback(None)

    def _said(self, line: str) -> None:
        """On stderr: what comes before there is a log, or when Python itself gives up."""
        self._held = [*self._held, line][-MAX_HELD_LINES:]
        if self.phase is Phase.READY:
            self._give_out()

    def _give_out(self) -> None:
        for line in self._held:
            self.log.warn("{name} says: {line}", name=self.name, line=line)
        self._held = []

    def _how(self, reason: Failure) -> str:
        """How it ended: a clause without a subject."""
        end: Any = reason.value  # ProcessDone or ProcessTerminated
        number, status = end.signal, end.exitCode
        if number:
            return f"was ended by signal {number} ({signal.strsignal(number)})"
        last = self._held[-1] if self._held else self._status if status else ""
        return f"ended with status {status}" + (f": {last}" if last and last != "ready" else "")

    def _signal(self, name: str) -> None:
        try:
            self._process.signalProcess(name)
        except ProcessExitedAlready:
            return  # and its end is on its way to us

    def _give_up(self) -> None:
        self._timer = None
        self.log.warn("{name} does not stop: it is killed", name=self.name)
        self._signal("KILL")
