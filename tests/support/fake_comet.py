"""A comet for web tests: autobahn speaking the packets, no session behind it."""

from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.internet.defer import Deferred

from imd.protocol.body import decode_auth
from imd.protocol.operation import Operation
from imd.protocol.packet import Packet, decode_message, encode
from imd.protocol.push import Push, Target
from tests.support.reactor import reactor


class _Link(WebSocketServerProtocol):
    """One client."""

    room = ""

    @property
    def comet(self) -> "FakeComet":
        comet: FakeComet = self.factory.comet
        return comet

    def abort(self) -> None:
        transport: Any = self.transport
        transport.abortConnection()

    def onOpen(self) -> None:
        self.comet.links.add(self)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        packet = decode_message(payload)
        self.comet.received.append(packet)
        if packet.operation == Operation.AUTH:
            auth = decode_auth(packet.body)
            if self.comet.refusing:
                self.sendClose(*self.comet.refusing)
                return
            self.room = auth.room_id
            self.reply(packet, Operation.AUTH_REPLY)
        elif packet.operation == Operation.CHANGE_ROOM:
            self.room = packet.body.decode()
            self.reply(packet, Operation.CHANGE_ROOM_REPLY, packet.body)
        elif packet.operation == Operation.HEARTBEAT and not self.comet.silent:
            here = sum(link.room == self.room for link in self.comet.links)
            self.reply(packet, Operation.HEARTBEAT_REPLY, here.to_bytes(4, "big"))

    def reply(self, packet: Packet, operation: int, body: bytes = b"") -> None:
        self.sendMessage(encode(Packet(operation, body, packet.sequence, packet.version)), True)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self.comet.links.discard(self)
        self.comet.left()


class FakeComet:
    """Listens on a free port of loopback; what is pushed reaches the clients that are in the room."""

    def __init__(self) -> None:
        self.links: set[_Link] = set()
        self.received: list[Packet] = []  # everything from every client
        self.refusing: tuple[int, str] | None = None  # (close code, reason) for op 7
        self.silent = False  # heartbeats are not answered
        self.port = 0
        self._listener: Any = None  # None = not listening
        self._alone: Deferred[None] | None = None  # somebody waits for the last client to go

    def start(self) -> None:
        """Listen, on the same port as before if there was one."""
        factory: Any = WebSocketServerFactory()
        factory.noisy = False
        factory.protocol = _Link
        factory.comet = self
        factory.setProtocolOptions(autoPingInterval=0, openHandshakeTimeout=0, closeHandshakeTimeout=0)
        self._listener = reactor.listenTCP(self.port, factory, interface="127.0.0.1")
        self.port = self._listener.getHost().port

    async def stop(self) -> None:
        """As a crash: connections are cut, nobody is told."""
        if self._listener is not None:
            listener, self._listener = self._listener, None
            await listener.stopListening()
        if self.links:
            self._alone = Deferred()
            for link in tuple(self.links):
                link.abort()
            await self._alone

    def left(self) -> None:
        if self._alone is not None and not self.links:
            alone, self._alone = self._alone, None
            alone.callback(None)

    def push(self, *pushes: Push) -> None:
        """Deliver, all in one message."""
        for link in self.links:
            packets = b"".join(push.packet for push in pushes if push.target is Target.ALL or push.room == link.room)
            if packets:
                link.sendMessage(encode(Packet(Operation.RAW, packets)), True)
