"""The Python client over WebSocket, with or without TLS. Autobahn speaks the handshake and the frames."""

from typing import Any

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from twisted.internet.defer import Deferred
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from imd.client.client import Client
from imd.client.core import MAX_PACKET_BODY_BYTES
from imd.errors import PeerUnavailable
from imd.protocol.packet import HEADER_BYTES
from imd.transport.network_fault import words_of
from imd.transport.stream import Stream


class ClientWebSocket(WebSocketClientProtocol):
    """One connection: a :class:`imd.client.client.Link` for its client, a protocol for autobahn."""

    transport: Stream  # type: ignore[assignment]  # of Twisted's interfaces none says it all, see Stream

    def __init__(self) -> None:
        super().__init__()
        self.opened: Deferred[None] = Deferred()  # fires when the client may begin; fails with PeerUnavailable
        self.client: Client | None = None  # None until it is attached

    # --- what the client asks for

    def send(self, packet: bytes) -> None:
        if self.state == self.STATE_OPEN:  # else the server has said its end, and ``onClose`` is to come
            self.sendMessage(packet, isBinary=True)

    def close(self) -> None:
        self.sendClose(1000)

    def abort(self) -> None:
        self.transport.abortConnection()

    def pause_reading(self) -> None:
        self.transport.pauseProducing()

    def resume_reading(self) -> None:
        self.transport.resumeProducing()

    # --- what autobahn says

    def onOpen(self) -> None:
        if not self.opened.called:
            self.opened.callback(None)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        if self.client is not None:
            self.client.received(payload)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.wasNotCleanReason is None:  # autobahn knows no better
            self.wasNotCleanReason = words_of(reason.value)
        super().connectionLost(reason)

    def onClose(self, wasClean: bool, code: Any, reason: Any) -> None:
        words = str((reason if wasClean else self.wasNotCleanReason) or "")
        if not self.opened.called:
            self.opened.errback(PeerUnavailable(f"the connection was not opened: {words or 'the server hung up'}"))
        if self.client is not None:
            self.client.lost(code or 0, words)


def client_factory(url: str, reactor: Any) -> WebSocketClientFactory:
    """Makes :class:`ClientWebSocket`. Nothing here waits on autobahn's own timers: whoever dials has a deadline."""
    factory = WebSocketClientFactory(url, reactor=reactor)
    factory.noisy = False
    factory.protocol = ClientWebSocket
    factory.setProtocolOptions(
        maxFramePayloadSize=HEADER_BYTES + MAX_PACKET_BODY_BYTES,
        maxMessagePayloadSize=HEADER_BYTES + MAX_PACKET_BODY_BYTES,
        failByDrop=False,
        openHandshakeTimeout=0,
        closeHandshakeTimeout=0,
        serverConnectionDropTimeout=0,
        autoPingInterval=0,
    )
    return factory
