"""A comet's server as a part of its process: open once presence knows it."""

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from imd.comet.server import Server
from imd.interfaces import Clock

LOOK_SECONDS = 0.05  # between two looks at whether presence has answered
PATIENCE_SECONDS = 2.0  # before it is said that start-up waits


class LeasedServer:
    """Holds back the listeners, which are opened after it: a client that came earlier could not be authenticated.

    It holds itself back while its name may be another living comet's: asking for the lease would take it from that one.
    """

    log = Logger(namespace="imd.service")

    def __init__(self, server: Server, *, clock: Clock, unnamed: Callable[[], str | None]) -> None:
        self._server = server
        self._clock = clock
        self._unnamed = unnamed  # why the registry does not say that the name is ours; None = it does

    async def open(self) -> None:
        """Wait for the name, start it, and wait for logic to grant it the lease, as long as it takes. Cancelled, it is
        stopped again."""
        await self._none(self._unnamed)
        self._server.start()
        try:
            await self._none(self._server.trouble)
        except CancelledError:
            await self._server.stop()
            raise

    async def _none(self, look: Callable[[], str | None]) -> None:
        began, said = self._clock.seconds(), False
        while trouble := look():
            if not said and self._clock.seconds() - began >= PATIENCE_SECONDS:
                said = True
                self.log.warn("no clients are accepted yet: {trouble}", trouble=trouble)
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
