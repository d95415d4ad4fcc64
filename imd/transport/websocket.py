"""WebSocket, with or without TLS: one packet a message."""

from collections.abc import Collection, Iterator
from enum import Enum
from typing import NoReturn

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

from imd.errors import CloseReason, ProtocolError
from imd.interfaces import Accept, Clock
from imd.protocol.packet import HEADER_BYTES, MAX_BODY_BYTES, Packet, decode_message
from imd.protocol.websocket_frame import FrameDecoder, Opcode, close_frame, close_reply, control_frame
from imd.transport.connection import ClientConnection
from imd.transport.websocket_upgrade import END_OF_REQUEST, MAX_REQUEST_BYTES, Answer, Upgrades, refusal, too_large


class _Stage(Enum):
    """What the client may be written."""

    ASKING = 1  # an answer to its request, which is not whole yet
    OPEN = 2  # frames
    ANSWERED = 3  # nothing: it has had its refusal, or the last frame


class WebSocketConnection(ClientConnection):
    """One client. What it sends before the upgrade is kept, within the limit, until its request is whole."""

    __slots__ = ("_decoder", "_paused", "_ping", "_request", "_stage")

    _settings: "WebSocketFactory"

    framed = True

    def __init__(self, settings: "WebSocketFactory") -> None:
        super().__init__(settings)
        self._decoder: FrameDecoder | None = None  # None unless a frame, or a message, is not complete
        self._paused = False  # the kernel has enough: pings wait, so that their pongs need no memory
        self._ping: bytes | None = None  # the last that came while paused; others need no answer (RFC 6455 §5.5.3)
        self._request = b""  # of the upgrade, so far
        self._stage = _Stage.ASKING

    # --- what the session asks for

    def write(self, data: bytes) -> None:
        """Send or queue whole frames. Nothing is written before the upgrade, nor after ``close``."""
        if self._stage is _Stage.OPEN:
            super().write(data)

    def _farewell(self, reason: CloseReason) -> None:
        """A close frame, or before the upgrade an HTTP status."""
        if self._stage is _Stage.OPEN:
            self._say_last(close_frame(reason.code, reason.label))
        elif self._stage is _Stage.ASKING:
            self._say_last(refusal(reason))

    def _say_last(self, data: bytes) -> None:
        super().write(data)
        self._stage = _Stage.ANSWERED
        self._decoder = None  # nothing more is read

    # --- what the client says

    def _packets(self, data: bytes) -> Iterator[Packet]:
        if self._stage is _Stage.ASKING:
            data = self._ask(data)
            if not data:
                return
        decoder = self._decoder or FrameDecoder(HEADER_BYTES + self._settings.max_body_bytes)
        for opcode, payload in decoder.feed(data):
            if opcode is Opcode.BINARY:
                yield decode_message(payload, self._settings.max_body_bytes)
            elif opcode is Opcode.CLOSE:
                self._say_last(close_reply(payload))
                # Now, not at the loss some seconds later: what the session writes until then would reach nobody.
                self._fail(CloseReason.PEER_CLOSED)
                return
            elif not self._may_send_frames():
                return
            elif opcode is Opcode.PING:
                self._answer_ping(payload)
        self._decoder = decoder if decoder.unfinished else None

    def _ask(self, data: bytes) -> bytes:
        """Go on with the request; answers what came behind it. Raises :class:`ProtocolError` when it is refused."""
        request, self._request = self._request + data, b""
        size = request.find(END_OF_REQUEST)
        if (len(request) if size < 0 else size) > MAX_REQUEST_BYTES:
            self._refuse(too_large())
        if size < 0:
            self._request = request
            return b""
        size += len(END_OF_REQUEST)
        answer = self._settings.upgrades.answer(request[:size])
        if answer.fault is not None:
            self._refuse(answer)
        super().write(answer.data)
        self._stage = _Stage.OPEN
        return request[size:]

    def _refuse(self, answer: Answer) -> NoReturn:
        self._say_last(answer.data)
        raise ProtocolError(CloseReason.BAD_WEBSOCKET, answer.fault or "")

    def _may_send_frames(self) -> bool:
        """Another frame came that is no message; False: it was one too many, and the session has ended."""
        assert self._session is not None
        self._session.frame_received()
        return self._ending is None

    def _answer_ping(self, payload: bytes) -> None:
        if self._paused:
            self._ping = payload
        else:
            self.write(control_frame(Opcode.PONG, payload))

    # --- back-pressure

    def pauseProducing(self) -> None:
        self._paused = True
        super().pauseProducing()

    def resumeProducing(self) -> None:
        self._paused = False
        ping, self._ping = self._ping, None
        if ping is not None:
            self._answer_ping(ping)
        if not self._paused:  # the pong may have been too much
            super().resumeProducing()


class WebSocketFactory(Factory):
    """Makes a :class:`WebSocketConnection` for each client. With ``tls`` it must be listened to through TLS."""

    noisy = False

    def __init__(
        self,
        *,
        accept: Accept,
        clock: Clock,
        origins: Collection[str],
        max_body_bytes: int = MAX_BODY_BYTES,
        path: str = "/sub",
        tls: bool = False,
    ) -> None:
        """``origins`` as for :class:`Upgrades`."""
        self.accept = accept
        self.clock = clock
        self.max_body_bytes = max_body_bytes  # of a packet from a client
        self.tls = tls
        self.transport = "wss" if tls else "ws"
        self.upgrades = Upgrades(clock=clock, origins=origins, path=path)

    # Twisted asks for nothing of a Protocol but IProtocol; its annotation names the class.
    def buildProtocol(self, addr: IAddress | None) -> WebSocketConnection:  # type: ignore[override]
        return WebSocketConnection(self)
