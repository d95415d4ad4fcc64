"""SIGTERM and SIGINT: what supervisors, and people at a terminal, stop a process with."""

import signal
from contextlib import suppress
from typing import Any

from twisted.internet.error import ReactorNotRunning


class StopSignal:
    """While open, they stop the reactor, and twistd exits with status 0 once everything is closed.

    Twisted's own handlers stop in order as well, but remember the signal, and twistd ends by it: status 143, which
    container hosts report as a failure. And they take a second signal for a bug: Ctrl-C reaches a supervisor and its
    processes, and then each of these hears from the supervisor too.
    """

    def __init__(self, *, reactor: Any) -> None:
        self._reactor = reactor
        self._previous: dict[signal.Signals, Any] = {}  # the handlers that were there before

    async def open(self) -> None:
        """From now on."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._previous[number] = signal.signal(number, lambda *_: self._reactor.callFromThread(self._stop))

    async def close(self) -> None:
        """As before."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def trouble(self) -> str | None:
        """None."""
        return None

    def _stop(self) -> None:
        with suppress(ReactorNotRunning):  # it is stopping already
            self._reactor.stop()
