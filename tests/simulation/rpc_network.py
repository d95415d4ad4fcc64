"""The network between processes: imd's own links and RPC servers, over connections in memory instead of ZeroMQ's."""

from errno import EHOSTUNREACH
from struct import pack
from typing import Any, cast

import zmq

from imd.interfaces import Instance
from imd.metrics import Metrics
from imd.protocol import rpc
from imd.service.links import CometLinks, Links, LogicLinks
from imd.transport.rpc_link import Link, LinkState
from imd.transport.rpc_server import RpcServer
from tests.simulation.world import Lane, Process, World

UP = [pack("=HI", int(zmq.EVENT_HANDSHAKE_SUCCEEDED), 0), b""]
DOWN = [pack("=HI", int(zmq.EVENT_DISCONNECTED), 0), b""]
SILENCE_SECONDS = 3.0  # after which heartbeats find out that a connection is dead
REDIAL_SECONDS = (0.1, 0.2, 0.4, 0.8, 1.6, 3.0)

LOGIC_ATTEMPT_SECONDS = 2.5
COMET_DEADLINE_SECONDS = 3.0


class Connection:
    """One connection between a link and a server. What has arrived is processed, whatever becomes of the connection."""

    __slots__ = ("alive", "back", "dialer", "forth", "name", "server")

    def __init__(self, name: str, dialer: "Dialer", server: "MemoryRpcServer", forth: Lane, back: Lane) -> None:
        self.name = name
        self.dialer = dialer
        self.server = server
        self.forth = forth
        self.back = back
        self.alive = True


class RpcNetwork:
    """Who listens where, and who is connected to whom."""

    def __init__(self, world: World, *, slow: float) -> None:
        self.world = world
        self._slow = slow
        self._chance = world.random("network")
        self._serial = 0
        self.listeners: dict[str, MemoryRpcServer] = {}  # by endpoint
        self.connections: dict[str, Connection] = {}  # that are alive, by name
        self.blocked: dict[frozenset[str], float] = {}  # two process names -> until when nothing passes
        self.answered: list[tuple[str, rpc.Batch, rpc.Outcomes]] = []  # what jobs have heard from comets: (comet, ...)

    def blocked_until(self, one: Process, other: Process) -> float:
        """Nothing passes between them before."""
        return self.blocked.get(frozenset((one.name, other.name)), 0.0)

    def connect(self, dialer: "Dialer", server: "MemoryRpcServer") -> Connection:
        """They are connected now."""
        self._serial += 1
        name = f"{dialer.process.name}>{server.process.name}#{self._serial}"
        forth, back = (Lane(self.world, f"{name}/{way}", slow=self._slow) for way in ("forth", "back"))
        connection = self.connections[name] = Connection(name, dialer, server, forth, back)
        return connection

    def cut(self, connection: Connection, *, silent: bool) -> None:
        """It ends, with what is on its way. ``silent``: only heartbeats find out."""
        if self.connections.pop(connection.name, None) is None:
            return
        connection.alive = False
        delay = SILENCE_SECONDS if silent else self._chance.random() * 0.01
        self.world.after(delay, connection.dialer.process.post, connection.dialer.lost, connection)

    def between(self, one: Process, other: Process) -> list[Connection]:
        """The connections of two processes."""
        both = {one.name, other.name}
        return [
            each for each in self.connections.values() if {each.dialer.process.name, each.server.process.name} == both
        ]

    def block(self, one: Process, other: Process, seconds: float) -> None:
        """Nothing passes for so long; connections that are silent for too long end."""
        until = self.world.now + seconds
        self.blocked[frozenset((one.name, other.name))] = until
        for connection in self.between(one, other):
            connection.forth.blocked_until = connection.back.blocked_until = until
            if seconds >= SILENCE_SECONDS:
                self.cut(connection, silent=True)

    def vanish(self, process: Process, *, silent: bool) -> None:
        """All its connections end, and nobody reaches it."""
        for endpoint in [at for at, server in self.listeners.items() if server.process is process]:
            del self.listeners[endpoint]
        for connection in list(self.connections.values()):
            if process in (connection.dialer.process, connection.server.process):
                self.cut(connection, silent=silent)

    def starve(self, process: Process) -> None:
        """It has been paused for so long that its peers give its connections up."""
        for connection in list(self.connections.values()):
            if process in (connection.dialer.process, connection.server.process):
                self.cut(connection, silent=False)


class _Deaf:
    """In place of a ZeroMQ socket monitor."""

    def close(self) -> None:
        """Nothing to do."""


class Dialer:
    """In place of a link's DEALER socket."""

    def __init__(self, network: RpcNetwork, process: Process, endpoint: str, link: "MemoryLink") -> None:
        self.process = process
        self._network = network
        self._endpoint = endpoint
        self._link = link
        self._connection: Connection | None = None  # None while it dials
        self._tries = 0
        self._closed = False
        self._redial(0.0)

    def send(self, parts: list[bytes]) -> None:
        """What goes into a dead connection is gone."""
        connection = self._connection
        assert connection is not None, "the link sends while it is up"
        if self.process.alive:
            self._network.world.at(connection.forth.arrival(), self._arrived, connection, parts)

    def close(self, linger_ms: int = 0) -> None:
        self._closed = True
        if self._connection is not None:
            self._network.cut(self._connection, silent=False)

    def drain(self, limit: int) -> None:
        """What has arrived was handed on already."""

    def lost(self, connection: Connection) -> None:
        """The connection is found to be dead."""
        if self._connection is connection and not self._closed:
            self._connection = None
            self._link._watched(DOWN)
            self._redial(0.1)

    @staticmethod
    def _arrived(connection: Connection, parts: list[bytes]) -> None:
        if connection.alive:
            connection.server.process.post(connection.server.received, connection, parts)

    def _redial(self, seconds: float) -> None:
        self.process.callLater(seconds + self.process.chance.random() * 0.02, self._dial)

    def _dial(self) -> None:
        if self._closed:
            return
        server = self._network.listeners.get(self._endpoint)
        blocked = (
            server is not None and self._network.blocked_until(self.process, server.process) > self.process.seconds()
        )
        if server is None or server.process.paused or blocked:
            self._redial(REDIAL_SECONDS[min(self._tries, len(REDIAL_SECONDS) - 1)])
            self._tries += 1
            return
        self._tries = 0
        self._connection = self._network.connect(self, server)
        self._link._watched(UP)


class MemoryLink(Link):
    """imd's link; only its sockets are others."""

    def __init__(
        self, network: RpcNetwork, process: Process, *, endpoint: str, metrics: Metrics, seconds: float
    ) -> None:
        super().__init__(
            context=cast(Any, None),
            reactor=cast(Any, process),
            endpoint=endpoint,
            metrics=metrics,
            deadline_seconds=seconds,
        )
        self._network = network
        self._process = process

    def open(self) -> None:
        self._state = LinkState.DOWN
        self._monitor = cast(Any, _Deaf())
        self._socket = cast(Any, Dialer(self._network, self._process, self._endpoint, self))

    def received(self, parts: list[bytes], request: rpc.Value | None) -> None:
        """A reply came. ``request``: the batch that it answers, if it is one, for the ledger."""
        if int.from_bytes(parts[0], "big") in self._pending and isinstance(request, rpc.Batch):
            outcomes = cast(rpc.Outcomes, rpc.load(rpc.Outcomes, parts[2]))
            self._network.answered.append((request.server, request, outcomes))
        self._received(parts)


class MemoryRpcServer(RpcServer):
    """imd's RPC server; only its socket is another."""

    def __init__(self, network: RpcNetwork, process: Process, *, handlers: Any, metrics: Metrics) -> None:
        super().__init__(
            context=cast(Any, None),
            reactor=cast(Any, process),
            endpoint=f"memory://{process.name}",
            handlers=handlers,
            metrics=metrics,
        )
        self.process = process
        self._network = network
        self._batches: dict[tuple[str, bytes], bytes] = {}  # (connection, request id) -> a batch that is in progress

    def open(self) -> None:
        self._closing = False
        self._socket = cast(Any, self)
        self._network.listeners[self.endpoint] = self

    def received(self, connection: Connection, parts: list[bytes]) -> None:
        """A request came."""
        if self._socket is not None:
            if parts[1] == rpc.Method.PUSH.value:
                self._batches[connection.name, parts[0]] = parts[3]
            self._received([connection.name.encode(), *parts])

    def send(self, parts: list[bytes]) -> None:
        """As the ROUTER socket does: mandatory."""
        name, reply = parts[0].decode(), parts[1:]
        body = self._batches.pop((name, reply[0]), None)
        connection = self._network.connections.get(name)
        if connection is None:
            raise zmq.ZMQError(EHOSTUNREACH)
        batch = None
        if body is not None and reply[1] == b"\0\0":
            batch = rpc.load(rpc.Batch, body)
        if self.process.alive:
            self._network.world.at(connection.back.arrival(), self._arrived, connection, reply, batch)

    @staticmethod
    def _arrived(connection: Connection, parts: list[bytes], batch: rpc.Value | None) -> None:
        if connection.alive:
            dialer = connection.dialer
            dialer.process.post(dialer._link.received, parts, batch)

    async def close(self, grace_seconds: float = 2.0) -> None:
        self._socket = cast(Any, _Replier(self))
        await super().close(grace_seconds)


class _Replier:
    """The server's socket while it closes."""

    def __init__(self, server: MemoryRpcServer) -> None:
        self._server = server

    def send(self, parts: list[bytes]) -> None:
        self._server.send(parts)

    def close(self, linger_ms: int = 0) -> None:
        self._server._network.vanish(self._server.process, silent=False)


class MemoryLinks(Links):
    """imd's links to a role, which dial in memory."""

    def __init__(self, network: RpcNetwork, process: Process, **rest: Any) -> None:
        super().__init__(context=cast(Any, None), reactor=process, **rest)
        self._network = network
        self._process = process

    def _dial(self, peer: Instance) -> Link:
        link = MemoryLink(
            self._network,
            self._process,
            endpoint=peer.rpc,
            metrics=self._metrics,
            seconds=self._deadline_seconds,
        )
        link.changed = self._count
        link.open()
        return link


class MemoryLogicLinks(LogicLinks):
    """As comet has them."""

    def __init__(self, network: RpcNetwork, process: Process, *, registry: Any, metrics: Metrics) -> None:
        super().__init__(registry=registry, reactor=process, context=None, metrics=metrics)
        self._links = MemoryLinks(
            network,
            process,
            role="logic",
            registry=registry,
            metrics=metrics,
            deadline_seconds=LOGIC_ATTEMPT_SECONDS,
        )


class MemoryCometLinks(CometLinks):
    """As job has them."""

    def __init__(self, network: RpcNetwork, process: Process, *, registry: Any, metrics: Metrics) -> None:
        super().__init__(registry=registry, reactor=process, context=None, metrics=metrics)
        self._links = MemoryLinks(
            network,
            process,
            role="comet",
            registry=registry,
            metrics=metrics,
            deadline_seconds=COMET_DEADLINE_SECONDS,
            changed=self._changed,
        )


def sums(pairs: list[tuple[str, rpc.Batch, rpc.Outcomes]]) -> dict[str, int]:
    """What outcomes add up to, by the labels that job counts."""
    total = {"delivered": 0, "filtered": 0, "scheduled": 0, "dropped": 0, "duplicate": 0, "deferred": 0}
    for _, _, outcomes in pairs:
        for outcome in outcomes.outcomes:
            total["delivered"] += outcome.delivered
            total["filtered"] += outcome.filtered
            total["scheduled"] += outcome.scheduled
            total["duplicate"] += outcome.duplicate
            total["deferred"] += outcome.deferred
            total["dropped"] += sum(count for _, count in outcome.dropped)
    return total
