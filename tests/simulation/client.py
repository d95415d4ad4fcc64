"""Clients: they come, change rooms, read slowly, hang up, vanish, and come again; and remember all that they saw."""

from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from imd.protocol.operation import Operation
from imd.protocol.packet import Packet, PacketDecoder, encode
from tests.simulation.client_network import Stream
from tests.simulation.comet import CometProcess

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation

FOREVER = 1e9
OPERATIONS = (1000, 1001, 1002)


class Receipt(NamedTuple):
    """A push that a client read."""

    at: float
    operation: int
    body: bytes


class Stay:
    """A client in a room: surely from ``since`` to ``until``, by what it saw and sent."""

    __slots__ = ("room", "since", "until")

    def __init__(self, room: str, since: float) -> None:
        self.room = room
        self.since = since
        self.until = FOREVER


class Visit:
    """One connection of a client, from dialling to its end."""

    version = 1

    def __init__(
        self, sim: "Simulation", client: "Client", comet: CometProcess, *, serial: int, key: str, mid: int
    ) -> None:
        self.client = client
        self.comet = comet
        self.name = f"{client.name}.{serial}"
        self.address = client.address
        self.key = key  # empty = comet makes one, which the client does not know
        self.mid = mid
        self.began_at = sim.world.now  # op 7 was sent
        self.opened_at = FOREVER  # op 8 was read
        self.ended_at = FOREVER  # for the client
        self.comet_ended_at = FOREVER  # for the comet: nothing is written after
        self.slow: list[tuple[float, float]] = []  # when it did not read
        self.stays: list[Stay] = []
        self.accepts: dict[int, float] = {}  # operation -> since when; until the end
        self.received: list[Receipt] = []
        self.inbox: list[bytes] = []  # version 2: what came as its member's
        self._sim = sim
        self._decoder = PacketDecoder(max_body_bytes=1 << 20)
        self._moving: list[str] = []  # rooms that op 12 asked for, and op 13 has not answered
        self.stream = Stream(
            sim.world,
            comet=comet.process,
            factory=comet.factory,
            visit=self,
            slow=sim.plan.slow,
            high_bytes=sim.plan.high_bytes,
        )

    @property
    def over(self) -> bool:
        """For the client."""
        return self.ended_at < FOREVER

    def send(self, operation: int, body: bytes = b"") -> None:
        """A packet to the comet."""
        self.stream.send(encode(Packet(operation, body, 1, self.version)))

    def authenticate(self) -> None:
        """Op 7."""
        client = self.client
        body = {
            "mid": self.mid,
            "key": self.key,
            "room_id": client.room,
            "platform": "sim",
            "accepts": client.accepts,
        }
        self.send(Operation.AUTH, msgspec.json.encode(body))

    def comet_ends(self) -> None:
        """The comet's end of it is over."""
        self.comet_ended_at = min(self.comet_ended_at, self._sim.world.now)

    def read(self, data: bytes) -> None:
        """Bytes came."""
        if self.over:
            return
        for packet in self._decoder.feed(data):
            self._packet(packet)

    def hung_up(self) -> None:
        """The comet ended it."""
        if not self.over:
            self.stream.close()
            self.lost("comet ended it")

    def lost(self, words: str) -> None:
        """It is over."""
        if not self.over:
            self.ended_at = self._sim.world.now
            self._sim.world.note(self.name, words)
            self.client.ended(self)

    def enter(self, room: str) -> None:
        """Ask for another room."""
        if self.stays:
            self.stays[-1].until = min(self.stays[-1].until, self._sim.world.now)
        self._moving.append(room)
        self.send(Operation.CHANGE_ROOM, room.encode())

    def _packet(self, packet: Packet) -> None:
        now = self._sim.world.now
        if packet.operation in OPERATIONS:
            self.received.append(Receipt(now, packet.operation, packet.body))
            self._sim.world.note(self.name, f"reads {packet.body.decode()}")
        elif packet.operation == Operation.AUTH_REPLY:
            self._sim.world.note(self.name, "is in")
            self.opened_at = now
            self.accepts = dict.fromkeys(self.client.accepts, now)
            self.stays.append(Stay(self.client.room, now))
            self.client.opened(self)
        elif packet.operation == Operation.CHANGE_ROOM_REPLY:
            room = self._moving.pop(0)
            assert packet.body.decode() == room, "op 13 answers in order"
            self._sim.world.note(self.name, f"is in {room or 'no room'}")
            self.client.room = room
            if not self._moving:
                self.stays.append(Stay(room, now))
        elif packet.operation == Operation.SUB_REPLY:
            for operation in packet.body.split(b","):
                self.accepts.setdefault(int(operation), now)


class Client:
    """Somebody with a device. Lives outside of every process; everything that it does is drawn from its own chance."""

    visit_type: type[Visit] = Visit

    def __init__(self, sim: "Simulation", *, number: int, keys: list[str], mid: int) -> None:
        self.name = f"client{number}"
        self.address = f"192.0.2.{number + 1}"
        self.room = ""
        self.accepts: tuple[int, ...] = OPERATIONS
        self.visits: list[Visit] = []
        self._sim = sim
        self._keys = keys  # it takes one of them each time
        self._mid = mid
        self._chance: Random = sim.world.random(self.name)
        self._visit: Visit | None = None  # the one that is not over
        self._resting = False  # it does not come again
        self.calm = False  # it stays, and only keeps its heartbeats

    def begin(self) -> None:
        """Come for the first time."""
        self._sim.world.after(self._chance.random() * 3, self._dial)

    def become_calm(self) -> None:
        """From now on it stays, and does next to nothing."""
        self.calm = True

    def rest(self) -> None:
        """Hang up and never come again."""
        self._resting = True
        if self._visit is not None:
            self._visit.stream.close()
            self._visit.lost("hangs up for good")

    def opened(self, visit: Visit) -> None:
        """It is in."""
        self._beat(visit)
        self._next(visit)

    def ended(self, visit: Visit) -> None:
        """It is over: come again some time."""
        if self._visit is visit:
            self._visit = None
            pause = self.pause_seconds(visit) + self._chance.choice((0.05, 0.3, 1.5, 4.0)) * self._chance.random()
            self._sim.world.after(pause, self._dial)

    def pause_seconds(self, visit: Visit) -> float:
        """That it was told to stay away, at least."""
        return 0.0

    def prepare(self) -> None:
        """It is about to dial: where does it want to be?"""
        chance = self._chance
        self.room = chance.choice(self._sim.plan.rooms) if chance.random() < 0.8 else ""

    def choose(self, comets: Sequence[CometProcess]) -> CometProcess:
        """Which one it dials."""
        return self._chance.choice(comets)

    def _dial(self) -> None:
        if self._visit is not None or self._resting or (self.calm and self._sim.taken(self._keys[0])):
            return
        comets = self._sim.open_comets()
        if not comets:
            self._sim.world.after(0.5, self._dial)
            return
        chance, plan = self._chance, self._sim.plan
        comet = self.choose(comets)
        if not self.calm:
            self.prepare()
            self.accepts = OPERATIONS if chance.random() < 0.8 else OPERATIONS[: chance.randrange(3)]
        visit = self._visit = self.visit_type(
            self._sim, self, comet, serial=len(self.visits) + 1, key=chance.choice(self._keys), mid=self._mid
        )
        self.visits.append(visit)
        self._sim.world.note(
            visit.name, f"dials {comet.process.name} as {visit.key or 'nobody'}/{visit.mid}, {self.room}"
        )
        visit.authenticate()
        self._sim.world.after(plan.limits.handshake_seconds + 2, self._give_up, visit)

    def _give_up(self, visit: Visit) -> None:
        if not visit.over and visit.opened_at == FOREVER:
            visit.stream.close()
            visit.lost("waited in vain")

    def _beat(self, visit: Visit) -> None:
        if not visit.over:
            visit.send(Operation.HEARTBEAT)
            self._sim.world.after(self._sim.plan.limits.heartbeat_seconds, self._beat, visit)

    def _next(self, visit: Visit) -> None:
        self._sim.world.after(self._chance.expovariate(self._sim.plan.client_rate), self._act, visit)

    def _act(self, visit: Visit) -> None:
        """Do something, unless calm."""
        if visit.over or self.calm:
            return
        self.act(visit, self._chance.choice(self._sim.plan.acts))
        self._next(visit)

    def act(self, visit: Visit, act: str) -> None:
        """Do this."""
        chance, plan, world = self._chance, self._sim.plan, self._sim.world
        if act == "room":
            room = chance.choice(plan.rooms) if chance.random() < 0.9 else ""
            world.note(visit.name, f"asks for {room or 'no room'}")
            visit.enter(room)
        elif act == "sub":
            visit.send(Operation.SUB, b"1001,1002")
        elif act == "send":
            visit.send(Operation.SEND, b"hello")
        elif act == "slow":
            self._read_not(visit, chance.expovariate(0.3))
        elif act == "close":
            visit.stream.close()
            visit.lost("hangs up")
        elif act == "reset":
            visit.stream.break_off()
        elif act == "vanish":
            visit.stream.vanish(chance.uniform(1, 30))
            visit.lost("vanishes")

    def _read_not(self, visit: Visit, seconds: float) -> None:
        world = self._sim.world
        if not visit.stream.reading:
            return
        world.note(visit.name, f"does not read for {seconds:.1f} s")
        visit.stream.reading = False
        # what it gets when it reads again is late, not lost; but a policy may have dropped some
        visit.slow.append((world.now, world.now + seconds + 1))
        world.after(seconds, visit.stream.read_again)
