"""What stands around comet in tests: connections, logic, and a comet between them."""

from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from imd.comet.channel import Channel
from imd.comet.limits import Limits
from imd.comet.outbox import Outbox
from imd.comet.reservoir import Reservoir
from imd.comet.server import Server
from imd.comet.session import Session
from imd.errors import CloseReason, ImdError
from imd.interfaces import Sink
from imd.metrics import Metrics
from imd.protocol import rpc
from imd.protocol.operation import Operation
from imd.protocol.packet import Packet, encode, walk
from imd.protocol.rpc import (
    Batch,
    Connect,
    Connected,
    Disconnect,
    Done,
    Host,
    Item,
    Kind,
    Outcome,
    Outcomes,
    Receive,
    Renew,
    Renewed,
)
from imd.protocol.timeline import Message, Place
from imd.transport.battery import SocketBattery

SERVER = "comet-1"
BOOT = 1_700_000_000_000
NOW_MS = 1_700_000_100_000  # when a test's clock shows 0


class FakeConnection:
    """A client's transport that keeps what is written. A test ends it: :meth:`lose`."""

    def __init__(self, address: str = "192.0.2.1", *, framed: bool = False, transport: str = "tcp") -> None:
        self.address = address
        self.framed = framed
        self.transport = transport
        self.writes: list[bytes] = []
        self.closes: list[CloseReason] = []
        self.session: Session | None = None  # set by Comet.accept
        self.sink: Sink | None = None  # every byte goes by ``write``
        self.faulty = False  # raise on write, as a bug would
        self.full_after: int | None = None  # pause the session after so many more writes

    def write(self, data: bytes) -> None:
        if self.faulty:
            raise ZeroDivisionError("as a bug would")
        self.writes.append(data)
        if self.full_after is not None and self.session is not None:
            self.full_after -= 1
            if self.full_after <= 0:
                self.full_after = None
                self.session.pause_writing()

    def close(self, reason: CloseReason) -> None:
        self.closes.append(reason)

    def lose(self, reason: CloseReason = CloseReason.PEER_CLOSED) -> None:
        """The connection is gone: after our close, or by the peer."""
        assert self.session is not None
        self.session.lost(self.closes[0] if self.closes else reason)

    @property
    def written(self) -> bytes:
        """All that was written, and forgets it."""
        data = b"".join(self.writes)
        self.writes.clear()
        return data

    def packets(self) -> list[Packet]:
        """The packets written to a TCP client since the last look."""
        return list(walk(self.written, extensions=True))

    def operations(self) -> list[int]:
        """Their operations."""
        return [packet.operation for packet in self.packets()]


class FakeSink:
    """A kernel that takes as much as a test says."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.room = 1000
        self.error: OSError | None = None  # instead

    def send(self, data: bytes, /) -> int:
        if self.error is not None:
            raise self.error
        if not self.room:
            raise BlockingIOError
        part = data[: self.room]
        self.room -= len(part)
        self.taken.append(part)
        return len(part)

    def fileno(self) -> int:
        return -1  # nothing of the kernel's is behind it


class FakeLogic:
    """Answers at once: everybody is let in as asked. ``held`` methods wait for :meth:`release`, ``failing`` ones fail."""

    def __init__(self) -> None:
        self.calls: list[Any] = []  # requests, in order
        self.held: set[type] = set()  # requests of these types wait
        self.failing: dict[type, ImdError] = {}  # requests of these types fail with it
        self.connected: dict[str, Any] = {}  # fields of Connected that differ from what was asked
        self.renewed = Renewed()  # what the next renewals answer; its rooms are added by ``elsewhere``
        self.elsewhere: dict[str, int] = {}  # room -> members on other comets
        self.timelines: dict[str, list[Message]] = {}  # what ``read`` finds; see ``keep``
        self.epoch = "e"  # of all of them
        self.sent = rpc.Sent(1, 2)  # what ``send`` answers
        self.refreshed = rpc.Refreshed()  # what ``refresh`` answers
        self._waiting: list[tuple[Any, Deferred[None]]] = []

    def of(self, kind: type) -> list[Any]:
        """The requests of one type."""
        return [call for call in self.calls if isinstance(call, kind)]

    def keep(self, timeline: str, *bodies: bytes, operation: int = 1000) -> list[Message]:
        """Append messages; answers them."""
        messages = self.timelines.setdefault(timeline, [])
        first = messages[-1].seq + 1 if messages else 1
        made = [
            Message(first + n, 1000 + first + n, 5000 + first + n, operation, body) for n, body in enumerate(bodies)
        ]
        messages += made
        return made

    def release(self, kind: type, error: ImdError | None = None) -> None:
        """Answer the oldest waiting request of this type."""
        entry = next(entry for entry in self._waiting if isinstance(entry[0], kind))
        self._waiting.remove(entry)
        if error is None:
            entry[1].callback(None)
        else:
            entry[1].errback(error)

    def waiting(self, kind: type) -> int:
        """How many of this type wait."""
        return sum(isinstance(request, kind) for request, _ in self._waiting)

    async def _answer(self, request: Any) -> None:
        self.calls.append(request)
        if type(request) in self.held:
            waiting: Deferred[None] = Deferred()
            self._waiting.append((request, waiting))
            await waiting
        if type(request) in self.failing:
            raise self.failing[type(request)]

    async def connect(self, request: Connect) -> Connected:
        await self._answer(request)
        fields = {"key": request.key, "mid": request.mid, "room": request.room, "accepts": request.accepts}
        return Connected(**{**fields, **self.connected})

    async def disconnect(self, request: Disconnect) -> Done:
        await self._answer(request)
        return Done()

    async def renew(self, request: Renew) -> Renewed:
        renewed = self.renewed
        await self._answer(request)
        rooms = tuple((room, count + self.elsewhere.get(room, 0)) for room, count in request.rooms)
        return msgspec.structs.replace(renewed, rooms=rooms)

    async def receive(self, request: Receive) -> Done:
        await self._answer(request)
        return Done()

    async def host(self, request: Host) -> Done:
        await self._answer(request)
        return Done()

    async def read(self, request: rpc.Read) -> rpc.Pages:
        await self._answer(request)
        return rpc.Pages(tuple(map(self._page, request.follows)))

    def _page(self, follow: rpc.Follow) -> rpc.Page:
        """As a timeline store answers; its window begins at the first message that the timeline has."""
        messages = self.timelines.get(follow.timeline, [])
        head = Place(messages[-1].seq if messages else 0, self.epoch)
        if follow.after < 0:
            return rpc.Page(follow.timeline, head)
        if follow.epoch != self.epoch:
            return rpc.Page(follow.timeline, head, recovered=False)
        left = [message for message in messages if message.seq > follow.after]
        recovered = follow.after <= head.seq and (not left or left[0].seq == follow.after + 1)
        return rpc.Page(follow.timeline, head, recovered, tuple(left[: follow.limit]), len(left) > follow.limit)

    async def ack(self, request: rpc.Acks) -> Done:
        await self._answer(request)
        return Done()

    async def send(self, request: rpc.Send) -> rpc.Sent:
        await self._answer(request)
        return self.sent

    async def refresh(self, request: rpc.Refresh) -> rpc.Refreshed:
        await self._answer(request)
        return self.refreshed

    async def attend(self, request: rpc.Attendances) -> Done:
        await self._answer(request)
        return Done()


class TurnClock(Clock):
    """A clock that can run one reactor turn: ``advance(0)`` also runs what is put off to the next."""

    def turn(self) -> None:
        """Run what is due now, and not what that schedules."""
        for call in [call for call in self.calls if call.getTime() <= self.seconds()]:
            self.calls.remove(call)
            call.called = 1
            call.func(*call.args, **call.kw)


class Comet:
    """A server between fake connections, a fake logic and a clock."""

    def __init__(self, *, public: bool = False, **limits: Any) -> None:
        self.refusals: list[ImdError] = []  # why logic says that this comet must not serve
        self.clock = TurnClock()
        self.logic = FakeLogic()
        self.metrics = Metrics()
        self.keys = 0  # how many were made
        self.server = Server(
            server=SERVER,
            boot=BOOT,
            logic=self.logic,
            clock=self.clock,
            metrics=self.metrics,
            make_key=self._make_key,
            random=lambda: 0.5,
            now_ms=lambda: NOW_MS + int(1000 * self.clock.seconds()),
            limits=Limits(**limits),
            arm=SocketBattery,
            public=public,
            refused=self.refusals.append,
        )

    def _make_key(self) -> str:
        self.keys += 1
        return f"made-{self.keys}"

    def accept(self, connection: FakeConnection | None = None) -> FakeConnection:
        """A connection that was accepted, or refused: then it has no session."""
        connection = connection or FakeConnection()
        connection.session = self.server.accept(connection)
        return connection

    def client(
        self, key: str = "", *, connection: FakeConnection | None = None, version: int = 1, **auth: Any
    ) -> FakeConnection:
        """A client that has sent op 7; what was written about it is forgotten."""
        connection = self.accept(connection)
        send(connection, Operation.AUTH, msgspec.json.encode({"key": key, **auth}), version=version)
        connection.writes.clear()
        return connection

    def push(self, *items: Item) -> list[Outcome] | None:
        """The outcomes; None when they are not known yet, or the batch is refused (look at ``server.push`` for that)."""
        found: list[Outcomes] = []
        pushing = Deferred.fromCoroutine(self.server.push(Batch(SERVER, BOOT, items)))
        pushing.addCallbacks(found.append, lambda failure: failure.trap(ImdError))
        return list(found[0].outcomes) if found else None

    def closed(self, reason: CloseReason) -> float:
        """How many connections ended so."""
        return self.metrics.closed.value(reason.label)

    def dropped(self, reason: str) -> float:
        """How many pushed packets were dropped so."""
        return self.metrics.drops.value("comet", reason)


def send(connection: FakeConnection, operation: int, body: bytes = b"", *, sequence: int = 1, version: int = 1) -> None:
    """The client sends a packet."""
    assert connection.session is not None
    connection.session.packet_received(Packet(operation, body, sequence, version))


def pushed(body: bytes, operation: int = 1000) -> bytes:
    """The packet of a push, as its item carries it."""
    return encode(Packet(operation, body))


def to_keys(body: bytes, *keys: str, operation: int = 1000) -> Item:
    return Item(Kind.KEYS, pushed(body, operation), operation=operation, keys=keys)


def to_room(body: bytes, room: str = "live://1") -> Item:
    return Item(Kind.ROOM, pushed(body), operation=1000, room=room)


def to_all(body: bytes, *, operation: int = 1000, speed: int = 0) -> Item:
    return Item(Kind.ALL, pushed(body, operation), operation=operation, speed=speed)


class FakeSession:
    """What a channel closes."""

    def __init__(self) -> None:
        self.closes: list[CloseReason] = []

    def close(self, reason: CloseReason, detail: str = "") -> None:
        self.closes.append(reason)


def channel(
    key: str = "k", *, accepts: frozenset[int] = frozenset({1000}), connection: FakeConnection | None = None
) -> Channel:
    """A channel without a server, over a connection of its own."""
    reservoir = Reservoir(clock=Clock(), metrics=Metrics(), limit_bytes=10_000)
    outbox = Outbox(connection=connection or FakeConnection(), reservoir=reservoir)
    session: Any = FakeSession()
    return Channel(session=session, outbox=outbox, key=key, mid=0, accepts=accepts, version=1)
