"""The Python client over TCP, with or without TLS."""

from typing import cast

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHandshakeListener, IProtocol, ITransport
from twisted.python.failure import Failure
from zope.interface import implementer

from imd.client.client import Client
from imd.errors import PeerUnavailable
from imd.transport.network_fault import words_of
from imd.transport.stream import Stream


@implementer(IProtocol, IHandshakeListener)
class ClientTcp:
    """One connection: a :class:`imd.client.client.Link` for its client, a protocol for Twisted."""

    def __init__(self, *, secure: bool) -> None:
        self.opened: Deferred[None] = Deferred()  # fires when the client may begin; fails with PeerUnavailable
        self.client: Client | None = None  # None until it is attached
        self._secure = secure
        self._stream: Stream | None = None  # None before it is connected and after the loss

    # --- what the client asks for

    def send(self, packet: bytes) -> None:
        if self._stream is not None:
            self._stream.write(packet)

    def close(self) -> None:
        if self._stream is not None:
            self._stream.loseConnection()

    def abort(self) -> None:
        if self._stream is not None:
            self._stream.abortConnection()

    def pause_reading(self) -> None:
        if self._stream is not None:
            self._stream.pauseProducing()

    def resume_reading(self) -> None:
        if self._stream is not None:
            self._stream.resumeProducing()

    # --- what Twisted says

    def makeConnection(self, transport: ITransport) -> None:
        stream = self._stream = cast(Stream, transport)
        stream.setTcpNoDelay(True)
        if not self._secure:
            self.opened.callback(None)

    def connectionMade(self) -> None:
        """``makeConnection`` has done it all."""

    def handshakeCompleted(self) -> None:
        """TLS stands, and the server is who it says."""
        if not self.opened.called:
            self.opened.callback(None)

    def dataReceived(self, data: bytes) -> None:
        if self.client is not None:
            self.client.received(data)

    def connectionLost(self, reason: Failure) -> None:
        self._stream = None
        assert reason.value is not None  # a Failure without one has been cleaned
        words = words_of(reason.value)
        if not self.opened.called:
            self.opened.errback(PeerUnavailable(f"the connection was not opened: {words}"))
        if self.client is not None:
            self.client.lost(0, "" if reason.check(ConnectionDone) else words)
