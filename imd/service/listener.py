"""A listener: serves a protocol on a bound socket, from open to close."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.protocols.tls import TLSMemoryBIOFactory

from imd.service.bound_socket import BoundSocket
from imd.transport.direct import send_directly

BACKLOG = 4096  # connections that wait for accept; the kernel caps it at net.core.somaxconn


class Listener:
    """Accepts from :meth:`open` on; until then the address is only ours."""

    def __init__(
        self,
        bound: BoundSocket,
        *,
        reactor: Any,
        factory: IProtocolFactory,
        tls: Any = None,
        direct: bool = False,
        drain: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._bound = bound
        self._reactor = reactor
        self._factory = factory
        self._tls = tls  # what makes server connections of TLS; None = plain
        self._direct = direct  # connections send at once, and pause their producers as soon as anything is queued
        self._drain = drain  # waits for what was accepted; None = somebody else's work
        self._port: IListeningPort | None = None  # while accepting

    async def open(self) -> None:
        """Accept from now on. Raises :class:`imd.errors.ConfigError` when another process was faster."""
        bound = self._bound.socket
        try:
            bound.listen(BACKLOG)
        except OSError as error:  # both had bound it; the other listens since
            raise self._bound.refusal(error) from None
        factory = self._factory if self._tls is None else TLSMemoryBIOFactory(self._tls, False, self._factory)
        self._port = self._reactor.adoptStreamPort(bound.fileno(), bound.family, factory)
        if self._direct:
            send_directly(self._port)
        bound.close()

    async def close(self) -> None:
        """Accept no more; wait for what was accepted if that is ours to do."""
        if self._port is not None:
            await self._port.stopListening()  # type: ignore[misc]  # a Deferred; the interface says "or None"
            self._port = None
        path = self._bound.address.path
        if path:
            Path(path).unlink(missing_ok=True)
        if self._drain is not None:
            await self._drain()

    def trouble(self) -> str | None:
        """None: a socket that listens goes on listening."""
        return None
