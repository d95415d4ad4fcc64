"""An HTTP client without a socket: bytes into a site's channel, answers out of it."""

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

import msgspec
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from imd.metrics import Metrics
from imd.transport.http import HttpSite
from imd.transport.http_channel import Channel
from imd.transport.http_route import Route

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Answer:
    """A response as a client reads it."""

    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class HttpWire:
    """One connection to a site."""

    def __init__(self, site: HttpSite, peer: str = LOOPBACK, host: str = LOOPBACK) -> None:
        self.transport = StringTransport(
            hostAddress=IPv4Address("TCP", host, 3111), peerAddress=IPv4Address("TCP", peer, 50000)
        )
        channel = site.buildProtocol(None)
        assert channel is not None, "the site refused the connection"
        self.channel: Channel = channel
        self.channel.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        self.channel.dataReceived(data)

    def lose(self) -> None:
        self.channel.connectionLost(Failure(ConnectionDone()))

    @property
    def ended(self) -> bool:
        """Whether the server has hung up."""
        return bool(self.transport.disconnecting or self.transport.disconnected)

    def answers(self, head: bool = False) -> list[Answer]:
        """What has come back and was not taken yet; ``head``: answers to HEAD, whose length is of no body."""
        data, found = self.transport.value(), []
        self.transport.clear()
        while data:
            lines, _, rest = data.partition(b"\r\n\r\n")
            status, *headers = lines.decode("latin-1").split("\r\n")
            fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in headers)}
            size = 0 if head else int(fields.get("content-length", 0))
            assert len(rest) >= size, (status, len(rest), size)
            found.append(Answer(int(status.split()[1]), fields, rest[:size]))
            data = rest[size:]
        return found

    def ask(self, method: str, target: str, body: bytes | None = None, **headers: str) -> Answer:
        """One request, whole, and its answer, which must be there at once."""
        fields = {"Host": "localhost:3111"} | {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            fields["Content-Length"] = str(len(body))
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self.send(f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + (body or b""))
        [answer] = self.answers(head=method == "HEAD")
        return answer


def site_of(*routes: Route, clock: Clock | None = None, metrics: Metrics | None = None, **limits: Any) -> HttpSite:
    """A site on a fake clock."""
    return HttpSite(routes, clock=clock or Clock(), metrics=metrics or Metrics(), **limits)


def wait(coroutine: Coroutine[Any, Any, Any]) -> Deferred[Any]:
    """A coroutine under way."""
    return Deferred.fromCoroutine(coroutine)
