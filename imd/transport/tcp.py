"""Raw TCP, with or without TLS: packets back to back."""

from collections.abc import Iterator

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

from imd.interfaces import Accept, Clock
from imd.protocol.packet import MAX_BODY_BYTES, Packet, PacketDecoder
from imd.transport.connection import ClientConnection


class TcpConnection(ClientConnection):
    """One client."""

    __slots__ = ("_decoder",)

    _settings: "TcpFactory"

    def __init__(self, settings: "TcpFactory") -> None:
        super().__init__(settings)
        self._decoder: PacketDecoder | None = None  # None unless a packet is not complete

    def _packets(self, data: bytes) -> Iterator[Packet]:
        decoder = self._decoder or PacketDecoder(self._settings.max_body_bytes)
        yield from decoder.feed(data)
        self._decoder = decoder if decoder.buffered_bytes else None


class TcpFactory(Factory):
    """Makes a :class:`TcpConnection` for each client. With ``tls`` it must be listened to through TLS."""

    noisy = False

    def __init__(
        self, *, accept: Accept, clock: Clock, max_body_bytes: int = MAX_BODY_BYTES, tls: bool = False
    ) -> None:
        self.accept = accept
        self.clock = clock
        self.max_body_bytes = max_body_bytes  # of a packet from a client
        self.tls = tls
        self.transport = "tls" if tls else "tcp"

    # Twisted asks for nothing of a Protocol but IProtocol; its annotation names the class.
    def buildProtocol(self, addr: IAddress | None) -> TcpConnection:  # type: ignore[override]
        return TcpConnection(self)
