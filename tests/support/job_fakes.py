"""A job on a fake clock: memory backends, comets that do as they are told."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.backend.broker_memory import BrokerMemory
from imd.backend.leases_memory import LeasesMemory
from imd.backend.presence_memory import PresenceMemory
from imd.backend.rooms_memory import RoomsMemory
from imd.backend.timelines_memory import TimelinesMemory
from imd.backend.traces_memory import TracesMemory
from imd.errors import Fenced, ImdError
from imd.interfaces import CometClient, Location
from imd.job.dispatch import Dispatcher
from imd.job.settings import JobSettings
from imd.ledger import Figures, balances
from imd.metrics import Metrics
from imd.protocol import rpc
from imd.protocol.packet import walk
from imd.protocol.push import Push, Target
from imd.protocol.trace import Step

NOW_MS = 1_700_000_000_000
BOOT = 1


def delivered(item: rpc.Item) -> rpc.Outcome:
    """Everybody got it."""
    return rpc.Outcome(delivered=item.count * max(1, len(item.keys)))


class FakeComet:
    """Keeps the batches it gets; answers at once, or when told."""

    def __init__(self) -> None:
        self.batches: list[rpc.Batch] = []  # every request, refused ones too
        self.error: ImdError | None = None  # raised instead of an answer
        self.holding = False  # answers wait in ``held``
        self.held: list[tuple[rpc.Batch, Deferred[rpc.Outcomes]]] = []
        self.outcome: Callable[[rpc.Item], rpc.Outcome] = delivered
        self.fences: dict[int, int] = {}  # the highest of each partition

    async def push(self, request: rpc.Batch) -> rpc.Outcomes:
        if request.fence < self.fences.get(request.partition, 0):
            raise Fenced("a newer owner was here")
        self.fences[request.partition] = request.fence
        self.batches.append(request)
        if self.error is not None:
            raise self.error
        if self.holding:
            reply: Deferred[rpc.Outcomes] = Deferred()
            self.held.append((request, reply))
            return await reply
        return self.answer(request)

    def answer(self, request: rpc.Batch) -> rpc.Outcomes:
        """An outcome an item."""
        return rpc.Outcomes(tuple(self.outcome(item) for item in request.items))

    def release(self) -> None:
        """Answer what is held, and what comes from now on."""
        self.holding = False
        while self.held:
            request, reply = self.held.pop(0)
            reply.callback(self.answer(request))

    def fail(self, error: ImdError) -> None:
        """The held requests end so."""
        while self.held:
            self.held.pop(0)[1].errback(error)

    @property
    def items(self) -> list[rpc.Item]:
        """Over all requests."""
        return [item for batch in self.batches for item in batch.items]

    @property
    def bodies(self) -> list[bytes]:
        """Of all packets, in the order they came."""
        return [packet.body for item in self.items for packet in walk(item.packets)]


class FakeComets:
    """The registry's comets."""

    def __init__(self) -> None:
        self.comets: dict[str, tuple[int, CometClient]] = {}
        self.cut_off = False  # no link is up

    def find(self, server: str) -> tuple[int, CometClient] | None:
        return self.comets.get(server)

    def all(self) -> Mapping[str, tuple[int, CometClient]]:
        return self.comets

    def reachable(self) -> bool:
        return not self.comets or not self.cut_off


class Switch:
    """A product in front of another that can be away."""

    def __init__(self, behind: Any) -> None:
        self.behind = behind
        self.error: Exception | None = None  # raised by every call instead
        self.local: set[str] = set()  # calls that do not need the product
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        what = getattr(self.behind, name)
        if not callable(what):
            return what

        async def call(*args: Any) -> Any:
            self.calls.append(name)
            if self.error is not None and name not in self.local:
                raise self.error
            return await what(*args)

        return call


class JobTestCase(SynchronousTestCase):
    """A dispatcher and all that it needs."""

    def setUp(self) -> None:
        """Two comets, ``a`` and ``b``, and nobody connected."""
        self.clock = Clock()
        self.metrics = Metrics()
        self.leases = LeasesMemory(clock=self.clock, lease_seconds=3600)
        self.presence = Switch(PresenceMemory(leases=self.leases))
        self.rooms = Switch(RoomsMemory(leases=self.leases))
        self.timelines = Switch(TimelinesMemory(metrics=Metrics(), now_ms=self.now_ms, make_epoch=lambda: "e"))
        self.store = BrokerMemory(
            partitions=4, clock=self.clock, metrics=Metrics(), timelines=self.timelines.behind, now_ms=self.now_ms
        )
        self.traces = Switch(TracesMemory(clock=self.clock))
        self.broker = Switch(self.store)
        self.run_now(self.store.open())
        self.comets = FakeComets()
        self.a, self.b = self.comet("a"), self.comet("b")
        self.next_id = 0

    def comet(self, server: str, boot: int = BOOT) -> FakeComet:
        """A comet that lives and is in the registry."""
        comet = FakeComet()
        self.comets.comets[server] = (boot, comet)
        self.run_now(self.leases.renew(Location(server, boot)))
        return comet

    def now_ms(self) -> int:
        """The date on the fake clock."""
        return NOW_MS + int(self.clock.seconds() * 1000)

    def dispatcher(self, partitions: Sequence[int] = (0,), **settings: Any) -> Dispatcher:
        """Job ``j``; it owns ``partitions``."""
        dispatcher = Dispatcher(
            broker=self.broker,
            presence=self.presence,
            rooms=self.rooms,
            comets=self.comets,
            clock=self.clock,
            now_ms=self.now_ms,
            metrics=self.metrics,
            settings=JobSettings(**settings),
            job=Location("j", 7),
            timelines=self.timelines,
            traces=self.traces,
        )
        self.run_now(dispatcher.assigned(frozenset(partitions)))
        return dispatcher

    def end(self, dispatcher: Dispatcher) -> None:
        """Close it; no call may be left on the clock, no push and no packet without an outcome."""
        closed = Deferred.fromCoroutine(dispatcher.close())
        self.clock.advance(60)
        self.successResultOf(closed)
        self.assertEqual([call for call in self.clock.getDelayedCalls() if call.active()], [])
        self.assert_accounted_for()

    def assert_accounted_for(self) -> None:
        """Job's part of the ledger: every push settled or to come again, every packet with its outcome, nothing under way."""
        figures = Figures()
        figures.add_all(self.metrics)
        for balance in balances(figures):
            if balance.layer in ("settle", "route"):
                self.assertEqual((balance.difference, balance.pending), (0, {}), balance)

    def run_now(self, coroutine: Any) -> Any:
        """The result of what needs no time."""
        return self.successResultOf(Deferred.fromCoroutine(coroutine))

    def advance(self, seconds: float) -> None:
        """Let time pass in small steps."""
        self.clock.pump([0.05] * round(seconds / 0.05))

    def attach(self, server: str, key: str, mid: int = 0, boot: int = BOOT) -> None:
        """A client connects."""
        self.run_now(self.presence.behind.attach(Location(server, boot), key, mid))

    def host(self, server: str, room: str, boot: int = BOOT) -> None:
        """A comet wants the room's pushes."""
        self.run_now(self.rooms.behind.host(Location(server, boot), room))

    def push(self, target: Target, body: bytes = b"hi", partition: int = 0, **fields: Any) -> Push:
        """One push, in the broker."""
        self.next_id += 1
        push = Push(self.next_id, NOW_MS, target, fields.pop("operation", 1000), body, **fields)
        self.publish([push], partition)
        return push

    def kept(self, target: Target, body: bytes = b"hi", partition: int = 0, **fields: Any) -> Push:
        """One push that its timelines keep, in the broker."""
        return self.push(target, body, partition, keep_count=100, keep_ms=60_000, **fields)

    def hops(self, push: Push) -> list[tuple[Step, str, str]]:
        """(step, device, reason) of what was noted of a traced push."""
        return [(hop.step, hop.device, hop.reason) for hop in self.run_now(self.traces.behind.read(push.id))]

    def publish(self, pushes: Sequence[Push], partition: int = 0) -> None:
        """These in one append."""
        self.run_now(self.store.publish([(partition, push) for push in pushes]))

    @property
    def waiting(self) -> int:
        """Pushes in the broker that were not committed."""
        entries: int = self.run_now(self.store.backlog()).entries
        return entries

    def drops(self, reason: str) -> float:
        """Packets that job dropped."""
        return self.metrics.drops.value("job", reason)

    def deferred(self, reason: str) -> float:
        """Kept packets that job left to their timelines."""
        return self.metrics.deferred.value(reason)
