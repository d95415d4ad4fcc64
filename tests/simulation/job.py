"""A job's process, composed as ``imd.service.job`` does it."""

from typing import TYPE_CHECKING

from imd.interfaces import Instance, Location
from imd.job.dispatch import Dispatcher
from imd.metrics import Metrics
from imd.service.registration import Registration
from tests.simulation.products import RemotePresence, RemoteRooms
from tests.simulation.registry import RemoteRegistry
from tests.simulation.rpc_network import MemoryCometLinks
from tests.simulation.store import StoreLink
from tests.simulation.store_remote import RemoteBroker, RemoteTimelines, RemoteTraces
from tests.simulation.world import Process

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation


class JobProcess:
    """One start of one job."""

    role = "job"

    def __init__(self, sim: "Simulation", name: str, *, start: int) -> None:
        self.sim = sim
        self.name = name
        self.process = Process(sim.world, f"{name}/{start}")
        self.boot = int(sim.world.wall() * 1000)
        self.metrics = Metrics()
        self.listening = False
        self.stopped = False
        self.busy = False  # giving up what a lost session had
        registry = RemoteRegistry(sim.ensemble, self.process)
        self.registration = Registration(registry=registry, clock=self.process, describe=self.describe)
        self.links = MemoryCometLinks(sim.network, self.process, registry=registry, metrics=self.metrics)
        self.metrics.process.set(1, f"{name}@{self.boot}")
        link = StoreLink(sim.store, self.process)
        self.dispatcher = Dispatcher(
            broker=RemoteBroker(link, self.metrics),
            presence=RemotePresence(sim.storage, self.process),
            rooms=RemoteRooms(sim.storage, self.process),
            comets=self.links,
            clock=self.process,
            now_ms=lambda: int(sim.world.wall() * 1000),
            metrics=self.metrics,
            settings=sim.plan.job,
            job=Location(name, self.boot),
            timelines=RemoteTimelines(link),
            traces=RemoteTraces(link),
        )

    def describe(self) -> Instance:
        """As the registry names it."""
        return Instance("job", self.name, self.boot, "")

    async def open(self) -> None:
        """Start as its daemon does."""
        await self.registration.open()
        await self.links.open()
        await self.dispatcher.open()
        self.sim.coordinator.join(self.process, self.dispatcher.assigned)
        self.listening = True
        self.sim.world.note(self.process.name, "serves")

    async def close(self) -> None:
        """Stop as its daemon does."""
        self.listening = False
        await self.sim.coordinator.leave(self.process)
        await self.dispatcher.close()
        await self.links.close()
        await self.registration.close()
        self.stopped = True
