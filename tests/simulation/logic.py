"""A logic's process, composed as ``imd.service.logic`` does it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from imd.interfaces import Instance
from imd.logic.ids import IdMaker
from imd.logic.push_request import PushRequest, PushResult
from imd.metrics import Metrics
from imd.protocol.room_type import Send
from imd.protocol.rpc import Method
from imd.service.registration import Registration
from tests.simulation.products import RemoteLeases, RemotePresence, RemoteRooms
from tests.simulation.registry import RemoteRegistry
from tests.simulation.rpc_network import MemoryRpcServer
from tests.simulation.store import StoreLink
from tests.simulation.store_remote import RemoteBroker, RemoteTimelines, RemoteTraces
from tests.simulation.world import Process
from tests.support.brain import Brain

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation


class LogicProcess:
    """One start of one logic."""

    role = "logic"

    def __init__(self, sim: "Simulation", name: str, *, start: int) -> None:
        self.sim = sim
        self.name = name
        self.process = Process(sim.world, f"{name}/{start}")
        self.boot = int(sim.world.wall() * 1000)
        self.metrics = Metrics()
        self.listening = False
        self.stopped = False
        self.busy = False  # giving up what a lost session had
        self._registry = RemoteRegistry(sim.ensemble, self.process)
        self._ids = IdMaker(now=sim.world.wall)
        self.metrics.process.set(1, f"{name}@{self.boot}")
        link = StoreLink(sim.store, self.process)
        brain = Brain(
            presence=RemotePresence(sim.storage, self.process),
            rooms=RemoteRooms(sim.storage, self.process),
            leases=RemoteLeases(sim.storage, self.process),
            broker=RemoteBroker(link, self.metrics),
            timelines=RemoteTimelines(link),
            traces=RemoteTraces(link),
            ids=self._ids,
            now=sim.world.wall,
            metrics=self.metrics,
            rules=sim.plan.rules,
            to_members=Send.MEMBERS,
            name=f"logic/{name}",
        )
        connections = brain.connections
        handlers = {
            Method.CONNECT: connections.connect,
            Method.DISCONNECT: connections.disconnect,
            Method.CONNECT_MANY: connections.connect_many,
            Method.DISCONNECT_MANY: connections.disconnect_many,
            Method.RENEW: connections.renew,
            Method.RECEIVE: connections.receive,
            Method.HOST: connections.host,
            Method.READ: connections.read,
            Method.ACK: connections.ack,
            Method.SEND: connections.send,
            Method.REFRESH: connections.refresh,
            Method.ATTEND: connections.attend,
        }
        self.rpc = MemoryRpcServer(sim.network, self.process, handlers=handlers, metrics=self.metrics)
        self._pusher = brain.pusher
        self._notes = brain.notes
        self.registration = Registration(registry=self._registry, clock=self.process, describe=self.describe)

    def describe(self) -> Instance:
        """As the registry names it."""
        return Instance("logic", self.name, self.boot, self.rpc.endpoint)

    async def open(self) -> None:
        """Start as its daemon does."""
        self._ids.take(await self._registry.lease_worker_id())
        self.rpc.open()
        await self.registration.open()
        self.listening = True
        self.sim.world.note(self.process.name, "serves")

    async def close(self) -> None:
        """Stop as its daemon does."""
        self.listening = False
        await self.registration.close()
        await self.rpc.close()
        await self._notes.close()
        self.stopped = True

    async def push(self, requests: Sequence[PushRequest]) -> list[PushResult]:
        """What a back end asks for over HTTP."""
        return await self._pusher.push(requests, pusher="back end")
