"""Thousands of plain version-1 clients in one process, that only count what they are pushed."""

import json
from collections import Counter
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from imd.protocol.operation import Operation
from imd.protocol.packet import Packet, PacketDecoder, encode
from imd.service.file_limit import raise_file_limit
from tests.support.cluster import together
from tests.support.reactor import eventually, reactor

AT_ONCE = 100  # connections that are being made


class Listener(Protocol):
    """One client."""

    def __init__(self, key: str, room: str) -> None:
        self.key = key
        self.entered: Deferred[None] = Deferred()
        self.gone = False
        self.received: Counter[bytes] = Counter()  # body -> how often
        self._room = room
        self._decoder = PacketDecoder(1 << 20)

    def connectionMade(self) -> None:
        auth = json.dumps({"key": self.key, "room_id": self._room, "accepts": [1000]}).encode()
        assert self.transport is not None
        self.transport.write(encode(Packet(Operation.AUTH, auth, 1)))

    def dataReceived(self, data: bytes) -> None:
        for packet in self._decoder.feed(data):
            if packet.operation == Operation.AUTH_REPLY:
                self.entered.callback(None)
            else:
                self.received[packet.body[:16]] += 1  # bodies differ at their beginning

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.gone = True
        if not self.entered.called:
            self.entered.errback(reason)


class Audience:
    """``count`` clients on one port, with the keys "k0", "k1"…, in one room."""

    def __init__(self, count: int, *, port: int, room: str) -> None:
        self.listeners = [Listener(f"k{number}", room) for number in range(count)]
        self._port = port

    async def enter(self) -> "Audience":
        """Returns when all are in."""
        raise_file_limit(len(self.listeners))
        for start in range(0, len(self.listeners), AT_ONCE):
            await together(map(self._enter, self.listeners[start : start + AT_ONCE]))
        return self

    async def _enter(self, listener: Listener) -> None:
        await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", self._port), listener)
        await listener.entered

    @property
    def keys(self) -> list[str]:
        return [listener.key for listener in self.listeners]

    def have(self, body: bytes) -> int:
        """How many have got a push with this beginning, once."""
        return sum(listener.received[body[:16]] == 1 for listener in self.listeners)

    async def leave(self) -> None:
        """A clean-up: returns when all are gone."""
        for listener in self.listeners:
            transport: Any = listener.transport
            if transport is not None:
                transport.abortConnection()
        await eventually(lambda: all(each.gone or each.transport is None for each in self.listeners))
