"""A comet's server as a part of its process: open once presence knows it."""

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from imd.comet.server import Server
from imd.interfaces import Clock

LOOK_SECONDS = 0.05  # between two looks at whether presence has answered
PATIENCE_SECONDS = 2.0  # before it is said that start-up waits


class LeasedServer:
    """Holds back the listeners, which are opened after it: a client that came earlier could not be authenticated."""

    log = Logger(namespace="imd.service")

    def __init__(self, server: Server, *, clock: Clock) -> None:
        self._server = server
        self._clock = clock

    async def open(self) -> None:
        """Start it and wait, as long as it takes, for logic to grant it the lease. Cancelled, it is stopped again."""
        self._server.start()
        try:
            await self._granted()
        except CancelledError:
            await self._server.stop()
            raise

    async def _granted(self) -> None:
        began, said = self._clock.seconds(), False
        while self._server.trouble():
            if not said and self._clock.seconds() - began >= PATIENCE_SECONDS:
                said = True
                self.log.warn("no clients are accepted yet: {trouble}", trouble=self._server.trouble())
            await self._pause()

    async def close(self) -> None:
        """End its sessions and tell presence."""
        await self._server.stop()

    def trouble(self) -> str | None:
        """Why presence does not know it."""
        return self._server.trouble()

    def _pause(self) -> Deferred[None]:
        waiting: Deferred[None] = Deferred(lambda _: timer.cancel())
        timer = self._clock.callLater(LOOK_SECONDS, waiting.callback, None)
        return waiting
