"""SIGTERM: what supervisors stop a process with."""

import signal
from contextlib import suppress
from typing import Any

from twisted.internet.error import ReactorNotRunning


class StopSignal:
    """While open, SIGTERM stops the reactor, and twistd exits with status 0 once everything is closed.

    Twisted's own handler stops in order as well, but remembers the signal, and twistd ends by it: status 143, which
    container hosts report as a failure.
    """

    def __init__(self, *, reactor: Any) -> None:
        self._reactor = reactor
        self._previous: Any = None  # the handler that was there before

    async def open(self) -> None:
        """From now on."""
        self._previous = signal.signal(signal.SIGTERM, lambda number, frame: self._reactor.callFromThread(self._stop))

    async def close(self) -> None:
        """As before."""
        signal.signal(signal.SIGTERM, self._previous)

    def trouble(self) -> str | None:
        """None."""
        return None

    def _stop(self) -> None:
        with suppress(ReactorNotRunning):  # it is stopping already
            self._reactor.stop()
