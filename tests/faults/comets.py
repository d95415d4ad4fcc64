"""Several real comets on real sockets around one real logic and job, their products in memory, in this process."""

from collections.abc import Mapping
from itertools import count
from random import random
from time import time
from typing import Any

from twisted.internet.defer import Deferred

from imd.backend.broker_memory import BrokerMemory
from imd.backend.leases_memory import LeasesMemory
from imd.backend.presence_memory import PresenceMemory
from imd.backend.rooms_memory import RoomsMemory
from imd.backend.timelines_memory import TimelinesMemory
from imd.backend.traces_memory import TracesMemory
from imd.comet.limits import Limits
from imd.comet.server import Server
from imd.interfaces import CometClient
from imd.job.dispatch import Dispatcher
from imd.logic.ids import IdMaker
from imd.metrics import Metrics
from imd.transport.battery import SocketBattery
from imd.transport.tcp import TcpFactory
from tests.support.brain import Brain
from tests.support.raw_peer import RawPeer, connect_raw

LEASE_SECONDS = 0.6


class Comets:
    """``add`` comets, ``kill`` them; ``pusher`` pushes. :class:`imd.interfaces.Comets` for its own job. ``end`` when done."""

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        self.metrics = Metrics()
        leases = LeasesMemory(clock=reactor, lease_seconds=LEASE_SECONDS)
        self.rooms = RoomsMemory(leases=leases)
        self.presence = PresenceMemory(leases=leases)
        self.broker = BrokerMemory(partitions=4, clock=reactor, metrics=self.metrics, max_backlog_entries=1000)
        self._servers: dict[str, Server] = {}  # those in the registry
        self._dead: list[Server] = []
        self._ports: dict[str, Any] = {}
        self._peers: list[RawPeer] = []
        ids = IdMaker(now=reactor.seconds, worker_id=1)
        self._keys = count()
        timelines = TimelinesMemory(metrics=self.metrics, now_ms=lambda: int(reactor.seconds() * 1000), make_epoch=str)
        brain = Brain(
            presence=self.presence,
            rooms=self.rooms,
            leases=leases,
            broker=self.broker,
            timelines=timelines,
            traces=TracesMemory(clock=reactor),
            ids=ids,
            now=reactor.seconds,
            metrics=self.metrics,
        )
        self._logic, self.pusher = brain.connections, brain.pusher
        self.job = Dispatcher(
            broker=self.broker,
            presence=self.presence,
            rooms=self.rooms,
            comets=self,
            clock=reactor,
            now_ms=lambda: int(reactor.seconds() * 1000),
            metrics=self.metrics,
        )

    async def start(self, *names: str) -> None:
        """The job, and these comets."""
        await self.broker.open()
        await self.job.open()
        await self.job.assigned(frozenset(range(4)))
        for name in names:
            self.add(name)

    def add(self, name: str) -> None:
        """One more comet."""
        server = self._servers[name] = Server(
            server=name,
            boot=1,
            logic=self._logic,
            clock=self.reactor,
            metrics=Metrics(),
            make_key=lambda: f"made-{next(self._keys)}",
            random=random,
            now_ms=lambda: int(1000 * time()),
            limits=Limits(renew_seconds=0.2, full_cycle_seconds=0.4, linger_seconds=0.2),
            arm=SocketBattery,
        )
        factory = TcpFactory(accept=server.accept, clock=self.reactor)
        self._ports[name] = self.reactor.listenTCP(0, factory, interface="127.0.0.1")
        server.start()

    def kill(self, name: str) -> None:
        """As by SIGKILL, as far as others see: it says nothing more, and is out of the registry."""
        self._dead.append(self._servers.pop(name))
        self._dead[-1]._edge.renewal.stop()

    async def client(self, name: str) -> RawPeer:
        """Connected to this comet."""
        port = self._ports[name].getHost().port
        peer = await connect_raw(reactor=self.reactor, transport="tcp", port=port, ca_file="")
        self._peers.append(peer)
        return peer

    async def end(self) -> None:
        for peer in self._peers:
            await peer.close()
        for port in self._ports.values():
            stopping = port.stopListening()
            if isinstance(stopping, Deferred):
                await stopping
        for server in (*self._servers.values(), *self._dead):
            await server.stop()
        await self.job.close()
        await self.broker.close()

    # --- what job asks

    def find(self, server: str) -> tuple[int, CometClient] | None:
        found = self._servers.get(server)
        return None if found is None else (1, found)

    def all(self) -> Mapping[str, tuple[int, CometClient]]:
        return {name: (1, server) for name, server in self._servers.items()}

    def reachable(self) -> bool:
        return True
