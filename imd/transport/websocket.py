"""WebSocket, with or without TLS: one packet a message. Autobahn speaks the handshake and the frames (RFC 6455)."""

import re
from collections import deque
from collections.abc import Collection
from http import HTTPStatus
from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.types import ConnectionDeny, ConnectionRequest
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from imd.errors import CloseReason, ProtocolError
from imd.interfaces import Accept, Clock, SessionPort, Sink
from imd.protocol.packet import HEADER_BYTES, MAX_BODY_BYTES, decode_message
from imd.transport.direct import sink_of
from imd.transport.ending import Ending, reason_of
from imd.transport.stream import Stream, address_of

MAX_REQUEST_BYTES = 8192  # of the HTTP request that asks for the upgrade; browsers send about 600 and their cookies

# What a client is answered that must go before it was upgraded.
_STATUS = {
    CloseReason.HANDSHAKE_TIMEOUT: HTTPStatus.REQUEST_TIMEOUT,
    CloseReason.ADDRESS_LIMIT: HTTPStatus.TOO_MANY_REQUESTS,
    CloseReason.RATE_LIMITED: HTTPStatus.TOO_MANY_REQUESTS,
    CloseReason.SERVER_FULL: HTTPStatus.SERVICE_UNAVAILABLE,
    CloseReason.SERVER_STOPPING: HTTPStatus.SERVICE_UNAVAILABLE,
    CloseReason.BAD_WEBSOCKET: HTTPStatus.BAD_REQUEST,
}
_log = Logger()


class WebSocketConnection:
    """One client as its session sees it. A class of its own: autobahn has another meaning for ``transport``."""

    __slots__ = ("_frames", "address", "transport")

    framed = True

    def __init__(self, frames: "WebSocketFrames", address: str, *, tls: bool) -> None:
        self.transport = "wss" if tls else "ws"
        self.address = address
        self._frames = frames  # the same client as autobahn sees it

    @property
    def sink(self) -> Sink | None:
        """The socket, for whole frames after the upgrade; None under TLS, and when the connection is gone."""
        return sink_of(self._frames.transport)

    def write(self, data: bytes) -> None:
        """Send or queue whole frames, in order with autobahn's own. Nothing is written before the upgrade, nor after
        ``close``."""
        self._frames.send_frames(data)

    def close(self, reason: CloseReason) -> None:
        """End, with a close frame, or with an HTTP status before the upgrade. Only the first reason counts."""
        self._frames.end(reason)


@implementer(IPushProducer)
class WebSocketFrames(WebSocketServerProtocol):
    """One client as autobahn sees it. What autobahn says in camelCase becomes packets, failures and an end.

    Messages are kept here, not by autobahn, which remembers every empty fragment. Text need not be UTF-8: goim takes it as
    bytes, and packets are binary. After :meth:`end` autobahn gets no more bytes.
    """

    factory: "WebSocketFactory"
    transport: Stream  # type: ignore[assignment]  # of Twisted's interfaces none says it all, see Stream

    # Autobahn copies these to each connection and formats them for a debug line: 140 µs. They are on the class instead.
    CONFIG_ATTRS: list[str] = []

    _ping: bytes | None = None  # the last one that came while paused; the others need no answer (RFC 6455 §5.5.3)

    _NO_QUEUE: deque[Any] = deque()  # only chopped writes, which nobody asks for, use one; each is 624 bytes

    # What only the handshake needs: 3 KB a connection.
    _HANDSHAKE = (
        "http_request_data", "http_status_line", "http_headers", "http_request_uri", "http_request_path",
        "http_request_params", "http_request_host", "http_response_data", "websocket_protocols", "websocket_extensions",
        "_wskey",
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self._session: SessionPort | None = None  # None before accept, when refused, and after the loss
        self._ending: Ending | None = None  # None until ``end``
        self._message = bytearray()  # of fragments so far; at most one packet
        self._paused = False  # the kernel has enough: pings wait, so that their pongs need no memory
        self._refusal: tuple[int, list[tuple[str, str]]] | None = None  # status and headers of a failed upgrade

    # --- what the session asks for

    def send_frames(self, data: bytes) -> None:
        """Send or queue ``data`` as it is. Autobahn writes through as well, so the order is that of the calls."""
        if self.state == self.STATE_OPEN:
            self.transport.write(data)

    def end(self, reason: CloseReason) -> None:
        """Say why, and linger."""
        if self._ending is not None or not self.connected:
            return
        if self.state == self.STATE_OPEN:
            self.sendCloseFrame(reason.code, reason.label.encode())
        elif self.state == self.STATE_CONNECTING:
            self.transport.write(self._http_answer(reason))
        self._begin_ending(reason)

    def _begin_ending(self, reason: CloseReason) -> None:
        self.state = self.STATE_CLOSED  # ends autobahn's loop over what it has read
        self.data = b""
        self._ending = Ending(stream=self.transport, clock=self.factory.clock, tls=self.factory.tls, reason=reason)

    def _http_answer(self, reason: CloseReason) -> bytes:
        """An error without a body; nothing of the request is in it."""
        status, headers = self._refusal or (_STATUS.get(reason, HTTPStatus.INTERNAL_SERVER_ERROR).value, [])
        fields = [("Connection", "close"), ("Content-Length", "0"), *headers]
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {value}" for name, value in fields)]
        return "\r\n".join([*lines, "", ""]).encode()

    # --- what Twisted says

    def connectionMade(self) -> None:
        self.peer = address = address_of(self.transport)
        self.transport.setTcpNoDelay(True)
        self.transport.registerProducer(self, True)
        self._connectionMade()
        self._session = self.factory.accept(WebSocketConnection(self, address, tls=self.factory.tls))
        if self._session is None:
            self.end(CloseReason.SERVER_FULL)  # in case that whoever refused has not

    def dataReceived(self, data: bytes) -> None:
        if self._ending is not None:
            self._ending.drop(len(data))
            return
        if self.state == self.STATE_CONNECTING and self._asks_too_much(data):
            return
        try:
            self._dataReceived(data)
        except Exception as error:
            # Autobahn takes a handshake apart outside of any try, and what it stumbles over is the client's doing.
            if self.state != self.STATE_CONNECTING:
                _log.failure("Autobahn failed on a frame")
            self._fail(CloseReason.BAD_WEBSOCKET, f"the request cannot be read: {error!r}")

    def _asks_too_much(self, data: bytes) -> bool:
        """Refuse a request over the limit, whether it comes in pieces or whole."""
        request = self.data + data
        end = request.find(b"\r\n\r\n")
        if (len(request) if end < 0 else end) <= MAX_REQUEST_BYTES:
            return False
        self.failHandshake(
            f"a request of more than {MAX_REQUEST_BYTES} bytes", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        )
        return True

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._connectionLost(reason)  # type: ignore[arg-type]  # autobahn's annotation is wrong: it takes a Failure
        self.connected = 0
        session, self._session = self._session, None
        ending = self._ending
        if ending is not None:
            ending.lost()
        if session is not None:
            session.lost(ending.reason if ending is not None else reason_of(reason))

    # --- back-pressure

    def pauseProducing(self) -> None:
        self._paused = True
        if self._session is not None:
            self._session.pause_writing()

    def resumeProducing(self) -> None:
        self._paused = False
        ping, self._ping = self._ping, None
        if ping is not None:
            self.sendPong(ping)
        if self._session is not None and not self._paused:  # the pong may have been too much
            self._session.resume_writing()

    def stopProducing(self) -> None:
        """``connectionLost`` says it."""

    # --- what autobahn says: the upgrade

    def onConnect(self, request: ConnectionRequest) -> None:
        """The request is a WebSocket one. The answer None takes it, without a subprotocol."""
        if request.path != self.factory.path:
            raise ConnectionDeny(HTTPStatus.NOT_FOUND.value, f"no such path: {request.path}")
        if not self.factory.allows(request.origin):
            raise ConnectionDeny(HTTPStatus.FORBIDDEN.value, f"origin not allowed: {request.origin}")

    def _onOpen(self) -> None:
        for name in self._HANDSHAKE:
            self.__dict__.pop(name, None)
        self.send_queue = self._NO_QUEUE

    def failHandshake(self, reason: str, code: int = 400, responseHeaders: Any = None) -> None:
        """The upgrade is refused. ``reason`` may quote the client, so it goes to the session and not into the answer."""
        headers = list(responseHeaders or ())
        if code == HTTPStatus.UPGRADE_REQUIRED:
            # A plain GET: is there something at its path at all?
            if self.http_request_path == self.factory.path:
                headers += [("Upgrade", "websocket")]
            else:
                code = HTTPStatus.NOT_FOUND
        self._refusal = (int(code), headers)
        self._fail(CloseReason.BAD_WEBSOCKET, reason)

    # --- what autobahn says: frames

    def _onMessageBegin(self, isBinary: bool) -> None:
        self._message.clear()

    def _onMessageFrameBegin(self, length: int) -> None:
        size = len(self._message) + length
        if size > HEADER_BYTES + self.factory.max_body_bytes:
            self._fail(CloseReason.PACKET_TOO_LARGE, f"a message of {size} bytes")

    def _onMessageFrameData(self, payload: bytes) -> None:
        self._message += payload

    def _onMessageFrameEnd(self) -> None:
        """The message goes on, or ``_onMessageEnd`` follows."""

    def _onMessageEnd(self) -> None:
        session = self._session
        if session is None or self._ending is not None:
            return
        try:
            session.packet_received(decode_message(bytes(self._message), self.factory.max_body_bytes))
        except ProtocolError as error:
            self._fail(error.reason, str(error))
        except Exception:
            # A bug of ours costs this connection, and no other.
            _log.failure("A session failed on a packet")
            self._fail(CloseReason.INTERNAL_ERROR, "")
        self._message.clear()

    def onPing(self, payload: bytes) -> None:
        if self._paused:
            self._ping = payload
        else:
            self.sendPong(payload)

    def dropConnection(self, abort: bool = False) -> None:
        """Autobahn has answered the client's close frame. The session hears of it now, not at the loss some seconds later:
        what it writes until then would reach nobody."""
        if self._ending is None:
            self._fail(CloseReason.PEER_CLOSED, "")

    def _protocol_violation(self, reason: str) -> bool:
        self._fail(CloseReason.BAD_WEBSOCKET, reason)
        return True  # read no further

    def _invalid_payload(self, reason: str) -> bool:
        return self._protocol_violation(reason)

    def _fail(self, reason: CloseReason, detail: str) -> None:
        if self._session is not None and self._ending is None:
            self._session.fail(reason, detail)
        self.end(reason)  # in case that the session has not


class WebSocketFactory(WebSocketServerFactory):
    """Makes a :class:`WebSocketFrames` for each client. With ``tls`` it must be listened to through TLS."""

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
        """``origins``: which pages may connect, such as ``https://*.example.com``; ``*`` = any. Clients that are no
        browsers send no origin and are not asked for one."""
        super().__init__(server="", reactor=clock)
        self.accept = accept
        self.clock = clock
        self.max_body_bytes = max_body_bytes  # of a packet from a client
        self.path = path
        self.tls = tls
        self._origins = [_pattern(origin) for origin in origins]
        self.setProtocolOptions(
            webStatus=False,
            utf8validateIncoming=False,
            maxFramePayloadSize=HEADER_BYTES + max_body_bytes,
            maxMessagePayloadSize=HEADER_BYTES + max_body_bytes,
            failByDrop=False,
            openHandshakeTimeout=0,  # the session's timer covers the upgrade
            closeHandshakeTimeout=0,  # Ending's does the rest
            autoPingInterval=0,  # the heartbeat is the client's task
            allowNullOrigin=True,  # origins are looked at in ``allows``, which knows the right status
            trustXForwardedFor=0,
        )
        self.protocol = self._protocol_with_options()

    def _protocol_with_options(self) -> type[WebSocketServerProtocol]:
        """:class:`WebSocketFrames`, with what its ``CONFIG_ATTRS`` do not copy."""
        options = {name: getattr(self, name) for name in WebSocketServerProtocol.CONFIG_ATTRS}
        # A plain function would become a method.
        accept_compression = staticmethod(options.pop("perMessageCompressionAccept"))
        members = {**options, "perMessageCompressionAccept": accept_compression}
        return type("WebSocketFrames", (WebSocketFrames,), members)

    def allows(self, origin: str) -> bool:
        """Whether a page from ``origin`` may connect; empty = no page."""
        return not origin or any(pattern.fullmatch(origin.lower()) for pattern in self._origins)


def _pattern(origin: str) -> re.Pattern[str]:
    """``*`` alone stands for anything, within an origin for a part of it."""
    if origin == "*":
        return re.compile(r".*", re.DOTALL)
    return re.compile(r"[^/]*".join(re.escape(part) for part in origin.lower().split("*")))
