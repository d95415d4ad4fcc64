"""The life of one process under twistd: its parts are opened in order, said to be ready, and closed in reverse."""

import atexit
import gc
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from twisted.application.service import IServiceCollection, Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import ILogObserver, Logger
from twisted.python.components import Componentized

from imd.errors import ImdError
from imd.interfaces import Resource
from imd.metrics import Metrics
from imd.service.notify import Notifier

CLOSE_SECONDS = 20.0  # for one part; systemd's TimeoutStopSec is above the sum of what can really be slow
TICK_SECONDS = 1.0


class Part(NamedTuple):
    """A resource under the name that /readyz and the log use."""

    name: str
    resource: Resource


class Daemon(Service):
    """Opens parts made by ``build`` once the reactor runs (after twistd's fork: no thread or socket library before).

    A part whose ``open`` raises an :class:`ImdError` ends the process with that one line and exit status 1.
    """

    log = Logger(namespace="imd.service")

    def __init__(
        self,
        name: str,
        *,
        reactor: Any,
        metrics: Metrics,
        build: "Callable[[Daemon], Sequence[Part]]",
        greet: Callable[[], str],
        notifier: Notifier,
        mark_failed: Callable[[], object],
        observer: ILogObserver | None = None,
    ) -> None:
        self.setName(name)
        self.reactor = reactor
        self.metrics = metrics
        self._build = build
        self._greet = greet
        self._notifier = notifier
        self._mark_failed = mark_failed  # makes this process exit with status 1 once it has stopped
        self._observer = observer  # of the whole process's log; None = twistd's own
        self._parts: list[Part] = []  # in the order of opening; all of them, opened or not
        self._opened: list[Part] = []
        self._opening: Deferred[None] | None = None  # while parts are opened
        self._ticks = LoopingCall(self._tick)
        self._ticks.clock = reactor
        self._due = 0.0  # when the next tick should come, reactor seconds
        self._status = ""  # what systemd was told last

    def setServiceParent(self, parent: IServiceCollection) -> None:
        """twistd hands us its application: the place to say how the process logs."""
        if self._observer is not None and isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self._observer)
        super().setServiceParent(parent)

    def startService(self) -> None:
        """Called before the reactor runs: the work waits for its first turn."""
        super().startService()
        self.reactor.callWhenRunning(self._begin)

    def stopService(self) -> Deferred[None]:
        """Close what was opened; the reactor stops when it is done."""
        super().stopService()
        self._notifier.stopping()
        return Deferred.fromCoroutine(self._end())

    def troubles(self) -> dict[str, str]:
        """Part -> why it is not usable now; empty = ready."""
        opened = {part.name for part in self._opened}
        found = {
            part.name: "not opened yet" if part.name not in opened else part.resource.trouble() for part in self._parts
        }
        return {name: trouble for name, trouble in found.items() if trouble}

    def fail(self, error: ImdError) -> None:
        """Something found later that this process cannot go on with: say it in one line, stop, exit with status 1."""
        self.log.error("{name} stops: {error}", name=self.name, error=str(error))
        self._mark_failed()
        if self.reactor.running:
            self.reactor.stop()

    def _begin(self) -> None:
        if not self.running:
            return
        self._opening = Deferred.fromCoroutine(self._open())
        self._opening.addErrback(self._open_failed)

    async def _open(self) -> None:
        self._due = self.reactor.seconds() + TICK_SECONDS
        self._ticks.start(TICK_SECONDS, now=False)
        self._parts = list(self._build(self))
        for part in self._parts:
            await part.resource.open()
            self._opened.append(part)
        # What start-up made lives as long as the process: full collections need not walk it (35 ms at 19,000 connections).
        gc.collect()
        gc.freeze()
        self._notifier.ready("ready")
        self.log.info("{greeting}", greeting=self._greet())

    def _open_failed(self, failure: Any) -> None:
        if failure.check(CancelledError):
            return
        if failure.check(ImdError):
            self.fail(failure.value)
            return
        self.log.failure("{name} could not start", failure=failure, name=self.name)
        self.fail(ImdError("a bug: see the traceback above"))

    async def _end(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
        for part in reversed(self._opened):
            closing = Deferred.fromCoroutine(part.resource.close()).addTimeout(CLOSE_SECONDS, self.reactor)
            try:
                await closing
            except Exception:
                # One part that cannot close must not keep the others from closing.
                self.log.failure("{part} did not close", part=part.name)
        self._opened.clear()
        if self._ticks.running:
            self._ticks.stop()

    def _tick(self) -> None:
        now = self.reactor.seconds()
        self.metrics.reactor_lag_seconds.observe(max(0.0, now - self._due))
        self._due = now + TICK_SECONDS
        if self._notifier.watchdog_seconds:
            self._notifier.alive()
        troubles = self.troubles()
        status = "; ".join(f"{name}: {why}" for name, why in troubles.items()) or "ready"
        if status != self._status:
            self._status = status
            self._notifier.status(status)


def mark_failed() -> None:
    """Let this process exit with status 1. twistd exits with 0 whatever stopped the reactor, and takes no other word for it."""
    atexit.register(_exit_with_failure)


def _exit_with_failure() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)
