"""The life of one process under twistd: its parts are opened in order, said to be ready, and closed in reverse."""

import atexit
import gc
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from twisted.application.service import IServiceCollection, Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.logger import ILogObserver, Logger
from twisted.python.components import Componentized

from imd.errors import ImdError
from imd.interfaces import Resource, Timer
from imd.metrics import Metrics
from imd.service.notify import Notifier

CLOSE_SECONDS = 20.0  # for one part, unless told; systemd's TimeoutStopSec is above what can really be slow
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
        close_seconds: float = CLOSE_SECONDS,
    ) -> None:
        self.setName(name)
        self.reactor = reactor
        self.metrics = metrics
        self._build = build
        self._greet = greet
        self._notifier = notifier
        self._mark_failed = mark_failed  # makes this process exit with status 1 once it has stopped
        self._observer = observer  # of the whole process's log; None = twistd's own
        self._close_seconds = close_seconds  # for one part; then the next one's turn comes
        self._parts: list[Part] = []  # in the order of opening; all of them, opened or not
        self._opened: list[Part] = []
        self._opening: Deferred[None] | None = None  # while parts are opened
        self._ticks: Timer | None = None  # the next tick, from the first turn to the end
        self._due = 0.0  # when the next tick should come, reactor seconds
        self._status = ""  # what systemd was told last
        self._why = "stopping"  # what it is told at the end: the fault, if there is one

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
        self._notifier.stopping(self._why)
        return Deferred.fromCoroutine(self._end())

    def troubles(self) -> dict[str, str]:
        """Part -> why it is not usable now; empty = ready."""
        if not self.running:
            return {"process": "stopping"}
        if not self._parts:
            return {"process": "starting"}
        opened = {part.name for part in self._opened}
        found = {
            part.name: "not opened yet" if part.name not in opened else part.resource.trouble() for part in self._parts
        }
        return {name: trouble for name, trouble in found.items() if trouble}

    def fail(self, error: ImdError) -> None:
        """Something that this process cannot go on with: say it in one line, stop, exit with status 1.

        Found while it stops anyway, it is only said.
        """
        self.log.error("{name} stops: {error}", name=self.name, error=str(error))
        if self.running:
            self._mark_failed()
            self._why = str(error)
        with suppress(ReactorNotRunning):  # it is stopping
            self.reactor.stop()

    def _begin(self) -> None:
        if not self.running:
            return
        self._opening = Deferred.fromCoroutine(self._open())
        self._opening.addErrback(self._open_failed)

    async def _open(self) -> None:
        self._wait_for_tick()
        self._parts = list(self._build(self))
        names = [part.name for part in self._parts]
        assert len(set(names)) == len(names), f"two parts of one name: {names}"
        for part in self._parts:
            await part.resource.open()
            self._opened.append(part)
            if not self.running:  # stopped meanwhile, and the part took no notice
                return
        # What start-up made lives as long as the process: full collections need not walk it (35 ms at 19,000 connections).
        gc.collect()
        gc.freeze()
        self._status = "ready"
        self._notifier.ready(self._status)
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
            await self._closed("what was being opened", self._opening)
        for part in reversed(self._opened):
            await self._closed(part.name, Deferred.fromCoroutine(part.resource.close()))
        self._opened.clear()
        if self._ticks is not None:
            self._ticks.cancel()
        self.log.info("{name} has stopped", name=self.name)

    async def _closed(self, what: str, closing: Deferred[None]) -> None:
        ended: Deferred[None] = Deferred()  # one that does not even end when it is cancelled is left alone
        closing.addBoth(lambda result: None if ended.called else ended.callback(result))
        try:
            await ended.addTimeout(self._close_seconds, self.reactor)
        except Exception:
            # One part that cannot close must not keep the others from closing.
            self.log.failure("{what} did not close", what=what)
            closing.cancel()

    def _wait_for_tick(self) -> None:
        self._due = self.reactor.seconds() + TICK_SECONDS
        self._ticks = self.reactor.callLater(TICK_SECONDS, self._tick)

    def _tick(self) -> None:
        self.metrics.reactor_lag_seconds.observe(self.reactor.seconds() - self._due)
        self._wait_for_tick()
        if self._notifier.watchdog_seconds:
            self._notifier.alive()
        if not self.running:
            return  # it has said so
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
