"""The upgrade of an HTTP request to WebSocket (RFC 6455 §4).

What nearly everybody sends is answered here. Autobahn reads whatever else comes, says what is wrong with it, and speaks nothing
after it.
"""

import re
from collections.abc import Collection
from http import HTTPStatus
from typing import Any, NamedTuple

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.types import ConnectionDeny, ConnectionRequest

from imd.errors import CloseReason
from imd.interfaces import Clock
from imd.protocol.websocket_request import read_upgrade, upgraded

MAX_REQUEST_BYTES = 8192  # of the HTTP request that asks for the upgrade; browsers send about 600 and their cookies
END_OF_REQUEST = b"\r\n\r\n"

# What a client is answered that must go before it was upgraded.
_STATUS = {
    CloseReason.HANDSHAKE_TIMEOUT: HTTPStatus.REQUEST_TIMEOUT,
    CloseReason.ADDRESS_LIMIT: HTTPStatus.TOO_MANY_REQUESTS,
    CloseReason.RATE_LIMITED: HTTPStatus.TOO_MANY_REQUESTS,
    CloseReason.SERVER_FULL: HTTPStatus.SERVICE_UNAVAILABLE,
    CloseReason.SERVER_STOPPING: HTTPStatus.SERVICE_UNAVAILABLE,
    CloseReason.BAD_WEBSOCKET: HTTPStatus.BAD_REQUEST,
}


class Answer(NamedTuple):
    """To a request."""

    data: bytes  # for the client
    fault: str | None  # why it is refused, in words that may quote the client; None = the connection is upgraded


def refusal(reason: CloseReason) -> bytes:
    """The HTTP answer to who must go before the upgrade."""
    return _http_error(_STATUS.get(reason, HTTPStatus.INTERNAL_SERVER_ERROR))


def too_large() -> Answer:
    """To a request of more than MAX_REQUEST_BYTES."""
    status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    return Answer(_http_error(status), f"a request of more than {MAX_REQUEST_BYTES} bytes")


def _http_error(status: HTTPStatus, *headers: tuple[str, str]) -> bytes:
    """Without a body; nothing of the request is in it."""
    fields = [("Connection", "close"), ("Content-Length", "0"), *headers]
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", *(f"{name}: {value}" for name, value in fields)]
    return "\r\n".join([*lines, "", ""]).encode()


class _Handshake(WebSocketServerProtocol):
    """One request as autobahn sees it. It lives for one call, and knows no transport."""

    factory: "Upgrades"

    # Autobahn copies these to each connection and formats them for a debug line: 140 µs. They are on the class instead.
    CONFIG_ATTRS: list[str] = []

    def __init__(self) -> None:
        super().__init__()
        self.answer = Answer(b"", "no answer")

    def read(self, request: bytes) -> Answer:
        """The answer to a whole request."""
        self._connectionMade()
        self.data = request
        try:
            self.processHandshake()
        except Exception as error:
            # Autobahn takes a request apart outside of any try, and what it stumbles over is the client's doing.
            self.failHandshake(f"the request cannot be read: {error!r}")
        return self.answer

    def onConnect(self, request: ConnectionRequest) -> None:
        """The request is a WebSocket one. The answer None takes it, without a subprotocol."""
        if request.path != self.factory.path:
            raise ConnectionDeny(HTTPStatus.NOT_FOUND.value, f"no such path: {request.path}")
        if not self.factory.allows(request.origin):
            raise ConnectionDeny(HTTPStatus.FORBIDDEN.value, f"origin not allowed: {request.origin}")

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:
        """The upgrade."""
        self.answer = Answer(data, None)

    def _onOpen(self) -> None:
        """``sendData`` has said it."""

    def failHandshake(self, reason: str, code: int = 400, responseHeaders: Any = None) -> None:
        """The upgrade is refused."""
        headers = list(responseHeaders or ())
        if code == HTTPStatus.UPGRADE_REQUIRED:
            # A plain GET: is there something at its path at all?
            if self.http_request_path == self.factory.path:
                headers += [("Upgrade", "websocket")]
            else:
                code = HTTPStatus.NOT_FOUND
        self.answer = Answer(_http_error(HTTPStatus(code), *headers), reason)


class Upgrades(WebSocketServerFactory):
    """Which requests are upgraded: those for one path, from clients that are no browsers and from pages that may connect."""

    noisy = False

    def __init__(self, *, clock: Clock, origins: Collection[str], path: str) -> None:
        """``origins``: which pages may connect, such as ``https://*.example.com``; ``*`` = any. Clients that are no
        browsers send no origin and are not asked for one."""
        super().__init__(server="", reactor=clock)
        self.path = path
        self._origins = [_pattern(origin) for origin in origins]
        self.setProtocolOptions(
            webStatus=False,
            openHandshakeTimeout=0,  # the session's timer covers the upgrade
            autoPingInterval=0,
            allowNullOrigin=True,  # origins are looked at in ``allows``, which knows the right status
            trustXForwardedFor=0,
        )
        self._kind = self._handshake_with_options()

    def _handshake_with_options(self) -> type[_Handshake]:
        """:class:`_Handshake`, with what its ``CONFIG_ATTRS`` do not copy."""
        options = {name: getattr(self, name) for name in WebSocketServerProtocol.CONFIG_ATTRS}
        # A plain function would become a method.
        accept_compression = staticmethod(options.pop("perMessageCompressionAccept"))
        members = {**options, "perMessageCompressionAccept": accept_compression, "factory": self}
        return type("Handshake", (_Handshake,), members)

    def answer(self, request: bytes) -> Answer:
        """To a request, which ends with END_OF_REQUEST. Keeps nothing of it."""
        found = read_upgrade(request)
        if found is not None and found.path == self.path and self.allows(found.origin):
            return Answer(upgraded(found.key), None)
        return self.ask_autobahn(request)

    def ask_autobahn(self, request: bytes) -> Answer:
        """The same answer in five times the time, and to any request."""
        return self._kind().read(request)

    def allows(self, origin: str) -> bool:
        """Whether a page from ``origin`` may connect; empty = no page."""
        return not origin or any(pattern.fullmatch(origin.lower()) for pattern in self._origins)


def _pattern(origin: str) -> re.Pattern[str]:
    """``*`` alone stands for anything, within an origin for a part of it."""
    if origin == "*":
        return re.compile(r".*", re.DOTALL)
    return re.compile(r"[^/]*".join(re.escape(part) for part in origin.lower().split("*")))
