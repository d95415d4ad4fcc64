"""``python -m benchmarks routing``: what a push to a room costs job, with more comets, of which more or fewer host the room."""

import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import click
import zmq
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from benchmarks.document import Document, Group, Mark, Plot, Run, Stopwatch, Table
from benchmarks.output import Output, output_options
from benchmarks.program import Program, ProgramFailed
from benchmarks.progress import Progress
from benchmarks.simulated_comets import endpoints
from imd.backend.broker_memory import BrokerMemory
from imd.backend.leases_memory import LeasesMemory
from imd.backend.presence_memory import PresenceMemory
from imd.backend.rooms_memory import RoomsMemory
from imd.interfaces import CometClient, Location
from imd.job.dispatch import Dispatcher
from imd.metrics import Metrics
from imd.protocol.push import Push, Target
from imd.transport.rpc_client import RpcCometClient
from imd.transport.rpc_link import Link

ROOM = "live://bench"
BOOT = 1
COMETS = (2, 8, 32)
WARM_PUSHES = 50
PATIENCE_SECONDS = 30.0
COLUMNS = ("comets", "host it", "requests a push", "µs a push", "µs a request")
READING = """\
One job, and comets that only answer, over ZeroMQ. Pushes to one room follow each other, so that none are merged. µs: of job's
CPU time, user and system, its ZeroMQ thread and a broker in memory included; a push that nobody hosts shows what the rest
costs. A push is sent to the comets that host its room and to no other: they count it."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one room."""

    comets: int
    hosts: int  # of them
    pushes: int
    requests: int  # that those who host it got
    astray: int  # that the others got
    us_per_push: float

    @property
    def requests_per_push(self) -> float:
        return self.requests / self.pushes

    @property
    def refusals(self) -> list[str]:
        """Why it proves nothing; empty when it does."""
        found = []
        if self.astray:
            found.append(f"{self.astray} requests went to comets that do not host the room")
        if self.requests != self.pushes * self.hosts:
            found.append(f"{self.requests} requests for {self.pushes} pushes to {self.hosts} comets")
        return found


class Comets:
    """:class:`imd.interfaces.Comets`: all of them are there."""

    def __init__(self, links: Sequence[Link]) -> None:
        self._links = links
        self._all: dict[str, tuple[int, CometClient]] = {
            server_of(number): (BOOT, RpcCometClient(link)) for number, link in enumerate(links)
        }

    def find(self, server: str) -> tuple[int, CometClient] | None:
        return self._all.get(server)

    def all(self) -> Mapping[str, tuple[int, CometClient]]:
        return self._all

    def reachable(self) -> bool:
        return all(link.up for link in self._links)


class Broker(BrokerMemory):
    """Tells when a push was committed."""

    committed: Deferred[None] | None = None  # who waits for that

    async def commit(self, partition: int, tokens: Sequence[bytes], fence: int = 0) -> None:
        await super().commit(partition, tokens, fence)
        waiting, self.committed = self.committed, None
        if waiting is not None:
            waiting.callback(None)


class Cluster:
    """A job in this process, and comets in another."""

    def __init__(self, *, reactor: Any, count: int, scratch: Path) -> None:
        self._reactor = reactor
        self._count = count
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._pushed = 0
        folder = scratch / str(count)
        folder.mkdir()
        command = [sys.executable, "-m", "benchmarks.simulated_comets", "--folder", str(folder), "--count", str(count)]
        self._program = Program(command, log=scratch / "comets.log")
        metrics = Metrics()
        self._links = [
            Link(context=self._context, reactor=reactor, endpoint=endpoint, metrics=metrics)
            for endpoint in endpoints(folder, count)
        ]
        leases = LeasesMemory(clock=reactor, lease_seconds=3600.0)
        self._leases = leases
        self._rooms = RoomsMemory(leases=leases)
        self._broker = Broker(partitions=1, clock=reactor, metrics=metrics)
        self._job = Dispatcher(
            broker=self._broker,
            presence=PresenceMemory(leases=leases),
            rooms=self._rooms,
            comets=Comets(self._links),
            clock=reactor,
            now_ms=_now_ms,
            metrics=metrics,
        )

    async def open(self) -> None:
        """Raises :class:`ProgramFailed`."""
        self._program.wait_for("listening")
        for link in self._links:
            link.open()
        ends = time.monotonic() + PATIENCE_SECONDS
        while not all(link.up for link in self._links):
            if time.monotonic() > ends:
                raise ProgramFailed("the simulated comets cannot be reached")
            await deferLater(self._reactor, 0.01)
        for number in range(self._count):
            await self._leases.renew(Location(server_of(number), BOOT))
        await self._broker.open()
        await self._job.open()
        await self._job.assigned(frozenset([0]))

    async def measure(self, hosts: int, pushes: int) -> Cost:
        """With so many of the comets hosting the room."""
        for number in range(self._count):
            location = Location(server_of(number), BOOT)
            await (self._rooms.host if number < hosts else self._rooms.unhost)(location, ROOM)
        await self._push(WARM_PUSHES)
        self._program.ask("look", "look")
        began = time.process_time()
        await self._push(pushes)
        spent = time.process_time() - began
        requests: list[int] = self._program.ask("look", "look")["requests"]
        astray = sum(requests[hosts:])
        return Cost(self._count, hosts, pushes, sum(requests) - astray, astray, 1e6 * spent / pushes)

    async def close(self) -> None:
        await self._job.close()
        await self._broker.close()
        for link in self._links:
            link.close()
        self._context.destroy(linger=0)
        self._program.end()

    async def _push(self, count: int) -> None:
        """One after the other."""
        for _ in range(count):
            self._pushed += 1
            push = Push(self._pushed, _now_ms(), Target.ROOM, 1000, b"x" * 100, room=ROOM)
            done: Deferred[None] = Deferred()
            self._broker.committed = done
            await self._broker.publish([(0, push)])
            await done.addTimeout(PATIENCE_SECONDS, self._reactor)


def server_of(number: int) -> str:
    """Its id."""
    return f"c{number}"


def shares(comets: int) -> list[int]:
    """How many of them host the room: none, one, half, all."""
    return sorted({0, 1, comets // 2, comets})


def _now_ms() -> int:
    return int(time.time() * 1000)


async def measure(
    *, reactor: Any, comets: Sequence[int], pushes: int, windows: int, scratch: Path, say: Say
) -> list[Cost]:
    """All sizes. Raises :class:`ProgramFailed`."""
    found: list[Cost] = []
    for count in comets:
        cluster = Cluster(reactor=reactor, count=count, scratch=scratch)
        try:
            await cluster.open()
            for hosts in shares(count):
                for _ in range(windows):
                    found.append(await cluster.measure(hosts, pushes))
                    say(f"{count} comets, {hosts} host the room: {found[-1].us_per_push:.0f} µs a push")
        finally:
            await cluster.close()
    return found


def document(costs: Sequence[Cost], run: Run) -> Document:
    """A line for each share of each size."""
    cases = dict.fromkeys((each.comets, each.hosts) for each in costs)
    rows: list[tuple[str, ...]] = []
    groups: dict[int, list[Mark]] = {}
    nobody = 0.0
    for comets, hosts in cases:
        of_case = [each for each in costs if (each.comets, each.hosts) == (comets, hosts)]
        refusals = [reason for each in of_case for reason in each.refusals]
        if refusals:
            rows.append(("", f"refused: {'; '.join(dict.fromkeys(refusals))}", *[""] * (len(COLUMNS) - 1)))
            continue
        spent = median(each.us_per_push for each in of_case)
        nobody = spent if not hosts else nobody
        each = f"{(spent - nobody) / hosts:.0f}" if hosts else ""
        rows.append(("", str(comets), str(hosts), f"{of_case[0].requests_per_push:g}", f"{spent:.0f}", each))
        groups.setdefault(comets, []).append(Mark(f"{hosts} host the room", (spent,)))
    title = "What a push to a room costs job"
    plot = Plot(
        "routing", title, "µs", "bars", tuple(Group(f"{size} comets", tuple(marks)) for size, marks in groups.items())
    )
    return Document(
        runs=(run,),
        tables=(Table("routing", title, COLUMNS, tuple(rows), READING),),
        plots=(plot,) if groups else (),
        raw={"routing": [asdict(each) for each in costs]},
    )


@click.command("routing")
@click.option("--comets", "-c", multiple=True, type=click.IntRange(1, 200), default=COMETS, show_default=True)
@click.option("--pushes", type=click.IntRange(min=1), default=500, show_default=True, help="Of each window.")
@click.option("--windows", type=click.IntRange(min=1), default=3, show_default=True, help="Of each case.")
@output_options
def command(
    comets: tuple[int, ...], pushes: int, windows: int, json: Path | None, html: Path | None, svg: Path | None
) -> None:
    """A room's pushes, by how many comets there are and host it.

    \b
    python -m benchmarks routing
    python -m benchmarks routing -c 8 -c 64 --pushes 2000

    A real job sends over ZeroMQ to comets that only answer. None, one, half and all of them host the room.
    """
    from twisted.internet import reactor  # when it is needed: nobody else's import may choose it

    watch = Stopwatch()
    found: list[Cost] = []
    failures: list[BaseException] = []
    with Progress() as say, tempfile.TemporaryDirectory(prefix="imd-bench-") as scratch:
        work = measure(reactor=reactor, comets=comets, pushes=pushes, windows=windows, scratch=Path(scratch), say=say)
        done = Deferred.fromCoroutine(work)
        done.addCallbacks(found.extend, lambda failure: failures.append(failure.value))
        done.addBoth(lambda _: reactor.callLater(0, reactor.stop))
        reactor.run()
    if failures:
        raise click.ClickException(str(failures[0]))
    Output(json, html, svg).publish(document(found, watch.run()), believable=not any(each.refusals for each in found))
