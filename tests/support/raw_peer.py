"""A client that sends and reads bytes, and knows nothing."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol, wrapClientTLS
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from imd.transport.server_check import ServerCheck
from tests.support.websocket_bytes import frame, upgrade

READ_SECONDS = 10.0  # that a test waits for bytes


class RawPeer(Protocol):
    """Bytes out, bytes in. Over WebSocket ``send`` masks one message, ``read`` gives frames as they are."""

    def __init__(self, *, reactor: Any, framed: bool) -> None:
        self.gone: Deferred[None] = Deferred()
        self._reactor = reactor
        self.framed = framed
        self._data = b""
        self._wanted = 0
        self._reader: Deferred[None] | None = None  # waits for ``_wanted`` bytes, or for the end

    @property
    def data(self) -> bytes:
        """What came and was not read."""
        return self._data

    async def send(self, packet: bytes) -> None:
        self.write(frame(packet) if self.framed else packet)

    def write(self, data: bytes) -> None:
        """Bytes as they are."""
        assert self.transport is not None
        self.transport.write(data)

    async def read(self, size: int) -> bytes:
        """The next ``size`` bytes; fewer when the peer hung up first."""
        if len(self._data) < size and not self.gone.called:
            self._wanted = size
            self._reader = Deferred()
            self._reader.addTimeout(READ_SECONDS, self._reactor)
            await self._reader
        data, self._data = self._data[:size], self._data[size:]
        return data

    async def read_to_end(self) -> bytes:
        """All that comes until the peer hangs up."""
        return await self.read(1 << 30)

    async def upgrade(self) -> None:
        self.write(upgrade())
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            byte = await self.read(1)
            assert byte, answer
            answer += byte
        assert answer.startswith(b"HTTP/1.1 101 "), answer

    async def close(self) -> None:
        if not self.gone.called:
            assert self.transport is not None
            self.transport.loseConnection()
            await self.gone

    def dataReceived(self, data: bytes) -> None:
        self._data += data
        if len(self._data) >= self._wanted:
            self._wake()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.gone.callback(None)
        self._wake()

    def _wake(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None and not reader.called:
            reader.callback(None)


async def connect_raw(*, reactor: Any, transport: str, port: int, ca_file: str, upgraded: bool = True) -> RawPeer:
    """A peer over ``transport``; for WebSocket after its upgrade, unless told otherwise."""
    framed = transport in ("ws", "wss")
    endpoint: Any = HostnameEndpoint(reactor, "127.0.0.1", port)
    if transport in ("tls", "wss"):
        endpoint = wrapClientTLS(ServerCheck("127.0.0.1", ca_file=ca_file), endpoint)
    peer: RawPeer = await connectProtocol(endpoint, RawPeer(reactor=reactor, framed=framed))
    if framed and upgraded:
        await peer.upgrade()
    return peer
