"""A comet's process, composed as ``imd.service.comet`` does it."""

from collections import Counter
from typing import TYPE_CHECKING

from imd.comet.server import Server
from imd.errors import Fenced, ImdError
from imd.interfaces import Instance, Location
from imd.metrics import Metrics
from imd.protocol import rpc
from imd.service.leased_server import LeasedServer
from imd.service.offer import Offer
from imd.service.registration import Registration
from tests.simulation.client_network import MemoryFactory
from tests.simulation.descriptors import Descriptors
from tests.simulation.registry import RemoteRegistry
from tests.simulation.rpc_network import MemoryLogicLinks, MemoryRpcServer
from tests.simulation.world import Process

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation


class CometProcess:
    """One start of one comet."""

    role = "comet"

    def __init__(self, sim: "Simulation", name: str, *, start: int) -> None:
        self.sim = sim
        self.name = name
        self.process = Process(sim.world, f"{name}/{start}")
        self.boot = int(sim.world.wall() * 1000)
        self.metrics = Metrics()
        self.listening = False
        self.stopped = False  # in good order
        self.busy = False  # giving up what a lost session had
        self.fences: dict[int, int] = {}  # partition -> the highest fence of which something was taken
        self.metrics.process.set(1, f"{name}@{self.boot}")
        self.outcomes: Counter[tuple[str, str]] = Counter()  # (target, outcome) -> what job was told
        descriptors = Descriptors(sim.world)
        registry = RemoteRegistry(sim.ensemble, self.process)
        self.links = MemoryLogicLinks(sim.network, self.process, registry=registry, metrics=self.metrics)
        self.server = Server(
            server=name,
            boot=self.boot,
            logic=self.links,
            clock=self.process,
            metrics=self.metrics,
            make_key=lambda: f"{self.process.chance.getrandbits(64):016x}",
            random=self.process.chance.random,
            now_ms=lambda: int(sim.world.wall() * 1000),
            limits=sim.plan.limits,
            arm=descriptors.arm,
            refused=self._refused,
        )
        self.rpc = MemoryRpcServer(
            sim.network, self.process, handlers={rpc.Method.PUSH: self._push}, metrics=self.metrics
        )
        self.leased = LeasedServer(self.server, clock=self.process, unnamed=registry.trouble)
        self.registration = Registration(registry=registry, clock=self.process, describe=self.describe, offered=False)
        self.offer = Offer(self.registration)
        self.factory = MemoryFactory(descriptors=descriptors, accept=self.server.accept, clock=self.process)

    @property
    def location(self) -> Location:
        """As presence names it."""
        return Location(self.name, self.boot)

    def describe(self) -> Instance:
        """As the registry names it."""
        return Instance("comet", self.name, self.boot, self.rpc.endpoint, conn_count=self.server.conn_count)

    async def open(self) -> None:
        """Start as its daemon does."""
        await self.links.open()
        self.rpc.open()
        await self.registration.open()
        await self.leased.open()
        self.listening = True
        await self.offer.open()
        self.sim.world.note(self.process.name, f"listens, boot {self.boot}")

    async def close(self) -> None:
        """Stop as its daemon does."""
        await self.offer.close()
        self.listening = False
        await self.leased.close()
        await self.registration.close()
        await self.rpc.close()
        await self.links.close()
        self.stopped = True

    async def _push(self, batch: rpc.Batch) -> rpc.Outcomes:
        newest = self.fences.get(batch.partition, 0)
        self.fences[batch.partition] = max(newest, batch.fence)
        words = f"batch of partition {batch.partition} with the fence {batch.fence}"
        try:
            outcomes = await self.server.push(batch)
        except Fenced:
            if batch.fence >= newest:
                self.sim.world.fault(f"{self.process.name} refused a {words}, and no newer owner was here")
            raise
        if batch.fence < newest:
            self.sim.world.fault(f"{self.process.name} delivered a {words}, after a newer owner's {newest}")
        for item, outcome in zip(batch.items, outcomes.outcomes, strict=True):
            target = item.kind.name.lower()
            self.outcomes[target, "delivered"] += outcome.delivered
            self.outcomes[target, "filtered"] += outcome.filtered
            self.outcomes[target, "scheduled"] += outcome.scheduled
            self.outcomes[target, "duplicate"] += outcome.duplicate
            self.outcomes[target, "deferred"] += outcome.deferred
            for reason, count in outcome.dropped:
                self.outcomes["drop", reason] += count
        return outcomes

    def _refused(self, error: ImdError) -> None:
        """Its daemon ends the process."""
        self.sim.world.note(self.process.name, f"must not serve: {error}")
        self.process.callLater(0, self.sim.crash, self)
