"""What a client's connection is on any transport: a Connection for its session, a protocol and a producer for Twisted."""

from collections.abc import Iterator
from typing import Any, Protocol

from twisted.internet.interfaces import IProtocol, IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from imd.errors import CloseReason, ProtocolError
from imd.interfaces import Accept, Clock, SessionPort, Sink
from imd.protocol.packet import Packet
from imd.transport.direct import sink_of
from imd.transport.ending import Ending, reason_of
from imd.transport.stream import Stream, address_of

_log = Logger()


class Settings(Protocol):
    """What all connections of one factory share."""

    @property
    def accept(self) -> Accept: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def tls(self) -> bool: ...
    @property
    def transport(self) -> str:
        """As of :class:`imd.interfaces.Connection`."""


@implementer(IProtocol, IPushProducer)
class ClientConnection:
    """Subclasses say how bytes become packets, and what a client hears at the end.

    No subclass of Twisted's ``Protocol``: that one has no slots, and there are 100,000 of these.
    """

    __slots__ = ("_ending", "_session", "_settings", "_stream", "address")

    framed = False

    def __init__(self, settings: Settings) -> None:
        self.address = ""  # known once it is connected
        self._settings = settings
        self._session: SessionPort | None = None  # None before accept, when refused, and after the loss
        self._stream: Stream | None = None  # None before it is connected and after the loss
        self._ending: Ending | None = None  # None until ``close``

    def _packets(self, data: bytes) -> Iterator[Packet]:
        """The packets that ``data`` completes. Raises :class:`ProtocolError` at the first fault, after those before it. It is
        not called again after that, nor after ``close``, whereupon nobody may ask for more of what it yields."""
        raise NotImplementedError

    def _farewell(self, reason: CloseReason) -> None:
        """Write what a client is told of the end. The stream is there."""

    # --- what the session asks for

    @property
    def transport(self) -> str:
        return self._settings.transport

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
        stream, settings = self._stream, self._settings
        if stream is not None and self._ending is None:
            self._farewell(reason)
            self._ending = Ending(stream=stream, clock=settings.clock, tls=settings.tls, reason=reason)

    # --- what Twisted says

    def makeConnection(self, transport: Any) -> None:
        stream: Stream = transport
        self._stream = stream
        self.address = address_of(stream)
        stream.registerProducer(self, True)
        self._session = self._settings.accept(self)
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
            for packet in self._packets(data):
                session.packet_received(packet)
                if self._ending is not None:
                    return
        except ProtocolError as error:
            self._fail(error.reason, str(error))
        except Exception:
            # A bug of ours costs this connection, and no other.
            _log.failure("A session failed on a packet")
            self._fail(CloseReason.INTERNAL_ERROR)

    def _fail(self, reason: CloseReason, detail: str = "") -> None:
        """End for a fault, or for the peer's end. The session must hear it, or it would go on writing to what is closed."""
        if self._session is not None:
            self._session.fail(reason, detail)
        self.close(reason)  # in case that the session has not

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
