"""What ties a process to the supervisor that started it."""

import os
from contextlib import suppress
from typing import Any

from twisted.internet.error import ReactorNotRunning
from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer


@implementer(IReadDescriptor)
class Lifeline:
    """A pipe that nobody writes to. Its end is the supervisor's, however that ended: then this process stops in good order, as
    by SIGTERM, for nobody else would stop it."""

    log = Logger(namespace="imd.service")

    def __init__(self, fd: int, *, reactor: Any) -> None:
        self._fd = fd
        self._reactor = reactor

    async def open(self) -> None:
        """Listen to it."""
        self._reactor.addReader(self)

    async def close(self) -> None:
        """Listen no longer."""
        self._reactor.removeReader(self)

    def trouble(self) -> str | None:
        """None."""
        return None

    def fileno(self) -> int:
        """Twisted's name for what it watches."""
        return self._fd

    def doRead(self) -> None:
        """Its end, or words that nobody should have sent."""
        if not os.read(self._fd, 4096):
            self._ended()

    def connectionLost(self, reason: Failure) -> None:
        """What a reactor calls when there is only the end left to read."""
        self._ended()

    def logPrefix(self) -> str:
        """Twisted's name for it in its own log."""
        return "lifeline"

    def _ended(self) -> None:
        self._reactor.removeReader(self)
        self.log.warn("the supervisor is gone: this process stops")
        with suppress(ReactorNotRunning):  # it is stopping already
            self._reactor.stop()
