"""One HTTP request to a real server, by TCP or a unix socket, each on a connection of its own."""

from dataclasses import dataclass
from typing import Any

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, UNIXClientEndpoint, connectProtocol
from twisted.internet.error import ConnectError
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from tests.support.reactor import reactor

SECONDS = 10.0  # for a whole call, unless told otherwise


class CallFailed(Exception):
    """No connection, no answer in time, or half of one: whether the request was done is not known."""


@dataclass(frozen=True)
class Answer:
    """A response."""

    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class _Call(Protocol):
    """Writes the request, gathers until the server hangs up."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._data = b""
        self.ended: Deferred[bytes] = Deferred(lambda _: self._abort())

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self._request)

    def dataReceived(self, data: bytes) -> None:
        self._data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.ended.called:
            self.ended.callback(self._data)

    def _abort(self) -> None:
        transport: Any = self.transport
        transport.abortConnection()


async def http(
    method: str,
    base: str,
    target: str,
    body: bytes | None = None,
    *,
    headers: dict[str, str] | None = None,
    seconds: float = SECONDS,
) -> Answer:
    """Ask ``base`` (``http://host:port/``, or ``unix:path``) for ``target``. Raises :class:`CallFailed`."""
    fields = {"Host": "localhost", "Connection": "close"} | (headers or {})
    if body is not None:
        fields["Content-Length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    call = _Call(f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode() + (body or b""))
    asking: Deferred[bytes] = Deferred.fromCoroutine(_ask(_endpoint(base), call))
    overdue = reactor.callLater(seconds, asking.cancel)
    try:
        data = await asking
    except (ConnectError, CancelledError) as error:
        raise CallFailed(f"{method} {base} {target}: {error!r}") from None
    finally:
        if overdue.active():
            overdue.cancel()
    return _answer(data)


def _endpoint(base: str) -> Any:
    if base.startswith("unix:"):
        return UNIXClientEndpoint(reactor, base.removeprefix("unix:"))
    host, _, port = base.removeprefix("http://").rstrip("/").rpartition(":")
    return TCP4ClientEndpoint(reactor, host, int(port))  # HostnameEndpoint takes 0.3 s to say that nobody listens


async def _ask(endpoint: Any, call: _Call) -> bytes:
    await connectProtocol(endpoint, call)
    return await call.ended


def _answer(data: bytes) -> Answer:
    head, _, body = data.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    if not status or len(body) != int(fields.get("content-length", 0)):
        raise CallFailed(f"half an answer: {data[:200]!r}")
    return Answer(int(status.split()[1]), fields, body)
