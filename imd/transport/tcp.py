"""Raw TCP, with or without TLS: packets back to back."""

from typing import cast

from twisted.internet.interfaces import IAddress, IProtocol, IPushProducer, ITransport
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from imd.errors import CloseReason, ProtocolError
from imd.interfaces import Accept, Clock, SessionPort, Sink
from imd.protocol.packet import MAX_BODY_BYTES, PacketDecoder
from imd.transport.direct import sink_of
from imd.transport.ending import Ending, reason_of
from imd.transport.stream import Stream, address_of

_log = Logger()


@implementer(IProtocol, IPushProducer)
class TcpConnection:
    """One client: an :class:`imd.interfaces.Connection` for its session, a protocol and a producer for Twisted.

    No subclass of Twisted's ``Protocol``: that one has no slots, and there are 100,000 of these.
    """

    __slots__ = ("_decoder", "_ending", "_factory", "_session", "_stream", "address", "transport")

    framed = False

    def __init__(self, factory: "TcpFactory") -> None:
        self.transport = "tls" if factory.tls else "tcp"
        self.address = ""  # known once it is connected
        self._factory = factory
        self._decoder = PacketDecoder(factory.max_body_bytes)
        self._session: SessionPort | None = None  # None before accept, when refused, and after the loss
        self._stream: Stream | None = None  # None before it is connected and after the loss
        self._ending: Ending | None = None  # None until ``close``

    # --- what the session asks for

    @property
    def sink(self) -> Sink | None:
        """The socket; None under TLS, and when the connection is gone."""
        return sink_of(self._stream)

    def write(self, data: bytes) -> None:
        """Send or queue ``data``. Nothing is written after ``close``."""
        if self._stream is not None and self._ending is None:
            self._stream.write(data)

    def close(self, reason: CloseReason) -> None:
        """End. Only the first reason counts."""
        if self._stream is not None and self._ending is None:
            self._ending = Ending(stream=self._stream, clock=self._factory.clock, tls=self._factory.tls, reason=reason)

    # --- what Twisted says

    def makeConnection(self, transport: ITransport) -> None:
        stream = self._stream = cast(Stream, transport)
        self.address = address_of(stream)
        stream.setTcpNoDelay(True)
        stream.registerProducer(self, True)
        self._session = self._factory.accept(self)
        if self._session is None:
            self.close(CloseReason.SERVER_FULL)  # in case that whoever refused has not

    def connectionMade(self) -> None:
        """``makeConnection`` has done it all."""

    def dataReceived(self, data: bytes) -> None:
        if self._ending is not None:
            self._ending.drop(len(data))
            return
        session = self._session
        assert session is not None
        try:
            for packet in self._decoder.feed(data):
                session.packet_received(packet)
                if self._ending is not None:
                    return
        except ProtocolError as error:
            session.fail(error.reason, str(error))
            self.close(error.reason)  # in case that the session has not
        except Exception:
            # A bug of ours costs this connection, and no other.
            _log.failure("A session failed on a packet")
            session.fail(CloseReason.INTERNAL_ERROR)  # else it would go on writing to what is closed
            self.close(CloseReason.INTERNAL_ERROR)

    def connectionLost(self, reason: Failure) -> None:
        session, self._session, self._stream = self._session, None, None
        ending = self._ending
        if ending is not None:
            ending.lost()
        if session is not None:
            session.lost(ending.reason if ending is not None else reason_of(reason))

    # --- back-pressure

    def pauseProducing(self) -> None:
        if self._session is not None:
            self._session.pause_writing()

    def resumeProducing(self) -> None:
        if self._session is not None:
            self._session.resume_writing()

    def stopProducing(self) -> None:
        """``connectionLost`` says it."""


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

    # Twisted asks for nothing of a Protocol but IProtocol; its annotation names the class.
    def buildProtocol(self, addr: IAddress | None) -> TcpConnection:  # type: ignore[override]
        return TcpConnection(self)
