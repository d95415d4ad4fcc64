"""The kill matrix of docs/delivery.md: each process killed and stopped, one at a time, while clients and a back end go on.

``make kill-matrix CLIENTS=1000`` does it with as many clients, and shows what it measured; VICTIMS="comet Redis" for some rows.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from tests.docs.page import Page
from tests.support.cluster import LEASE_SECONDS, SESSION_SECONDS, Cluster
from tests.support.crowd import IMPATIENT_SECONDS, Crowd, CrowdClient
from tests.support.kept_load import PATIENCE_SECONDS, KeptLoad
from tests.support.reactor import eventually, reactor
from tests.support.system_case import SystemCase
from tests.support.twistd import Twistd
from tests.system.test_ledger import ledger

CLIENTS = int(os.environ.get("CLIENTS", "100"))
RATE = 80.0  # pushes a second
CUTS = 4.0  # clients a second that change their network
BEAT_SECONDS = 3.0  # between a client's heartbeats
REDIS_SECONDS = 3.0  # that it may take: a disk that is slow for a second is no fault
DEAD_SECONDS = 2.0  # from a kill -9 to the start
STOPPED_SECONDS = {
    "comet": max(BEAT_SECONDS + IMPATIENT_SECONDS, LEASE_SECONDS) + 1,  # its lease ends, and some clients go
    "logic": PATIENCE_SECONDS + 1,
    "job": 2 * SESSION_SECONDS + 1,  # the other one takes over
    "Redis": max(REDIS_SECONDS, LEASE_SECONDS) + 1,
    "ZooKeeper": 2 * SESSION_SECONDS,  # every session ends
}
SIGNALS = ("SIGSTOP", "kill -9")
VICTIMS = os.environ.get("VICTIMS", "").split() or list(STOPPED_SECONDS)
STEADY_SECONDS = 1.0  # of load before a fault, and after its end


class Measured(NamedTuple):
    """What a row came to. The first five are the cells of its line in the page, as far as they are words."""

    fault: str
    connections: str
    refused: str
    told: str
    seconds: float  # from the last push that was accepted until everybody had everything
    pushes: int
    lost: int  # connections that others ended
    longest_push_seconds: float  # that the back end needed for one
    longest_wait_seconds: float  # from a push's 200 until a client had it
    words: Sequence[str]  # what came instead of a 200


class KillMatrixTests(SystemCase):
    """Two comets, two logics, two jobs, Redis with its log synced, ZooKeeper; pushes to members and to kept rooms."""

    timeout = 1200

    def test_the_matrix(self) -> Deferred[None]:
        """After each fault every client has handled every accepted push exactly once and in order, nobody was told that
        something is lost, the ledger is at zero, and the page says what else there was to see."""

        async def run() -> None:
            self.page = Page("docs/delivery.md").rows("The kill matrix")
            await self.begin()
            measured = []
            for signal in SIGNALS:
                for victim in VICTIMS:
                    measured.append(await self.row(signal, victim))
                    print("\n" * (len(measured) == 1) + _line(measured[-1]), flush=True)
            wanted = {row[0]: row[:4] for row in self.page}
            self.assertEqual([list(each[:4]) for each in measured], [wanted[each.fault] for each in measured])
            self.assertEqual(list(wanted), [f"{signal}: {victim}" for signal in SIGNALS for victim in STOPPED_SECONDS])

        return self.later(run)

    # --- the cluster, its clients

    async def begin(self) -> None:
        self.cluster = Cluster(
            durable=True,
            rooms={"chat": "{ keep = true }"},
            comet={"heartbeat_seconds": BEAT_SECONDS},
            redis={"timeout_seconds": REDIS_SECONDS},
        )
        self.addCleanup(self.cluster.end)
        self.cluster.start_products()
        await self.cluster.start("comet1", "comet2", "logic1", "logic2", "job1", "job2")
        self.urls: dict[str, list[str]] = {"tcp": [], "ws": [], "http": []}
        self.look_for_urls()
        self.crowd = Crowd(count=CLIENTS, urls=self.urls)
        self.addCleanup(self.later, self.crowd.end)
        await eventually(lambda: self.crowd.connected == CLIENTS, 60)

    def look_for_urls(self) -> None:
        """Of the processes as they run now."""
        for transport, urls in self.urls.items():
            found = [process.urls.get(transport, "") for process in self.cluster.processes.values()]
            urls[:] = filter(None, found)

    # --- one fault

    async def row(self, signal: str, victim: str) -> Measured:
        crowd, before = self.crowd, [client.lost for client in self.crowd.clients]
        crowd.clear()
        load = KeptLoad(logics=self.urls["http"], targets=crowd.targets(), rate=RATE).start()
        self.addCleanup(load.cancel)
        cutting = Deferred.fromCoroutine(self.cut())
        cutting.addErrback(lambda failure: failure.trap(CancelledError))
        self.addCleanup(cutting.cancel)
        await deferLater(reactor, STEADY_SECONDS)
        urls = set(self.cluster[f"{victim}2"].urls.values()) if victim.islower() else set()
        theirs = [client for client in crowd.clients if client.steady.connected and client.url in urls]
        await self.fault(signal, victim)
        await deferLater(reactor, STEADY_SECONDS)
        cutting.cancel()
        last = await load.stop()
        bound = self.bound(f"{signal}: {victim}")
        try:
            await eventually(lambda: crowd.has(load.accepted), bound)
        except AssertionError as error:
            raise AssertionError(f"{signal}: {victim}: {error}\n{self.story(load)}") from None
        seconds = reactor.seconds() - last
        await eventually(lambda: crowd.connected == CLIENTS, bound)
        self.assertEqual(list(crowd.faults(load.accepted))[:10], [])
        self.assertEqual([client.running.result for client in crowd.clients if client.running.called], [], "gave up")
        await self.assert_sound()
        lost = [client.lost - n for client, n in zip(crowd.clients, before, strict=True)]
        return Measured(
            fault=f"{signal}: {victim}",
            connections=_connections([c for c, n in zip(crowd.clients, lost, strict=True) if n], theirs),
            refused=_refused(load.refused, urls),
            told="somebody" if any(client.gone for client in crowd.clients) else "nobody",
            seconds=seconds,
            pushes=load.count,
            lost=sum(lost),
            longest_push_seconds=load.longest_seconds,
            longest_wait_seconds=crowd.longest_wait_seconds(load.accepted_at),
            words=sorted({words.partition(": ")[2] for words in load.refused}),
        )

    async def cut(self) -> None:
        """Clients change their networks, in turns, until cancelled."""
        turn = 0
        while True:
            self.crowd.clients[turn % CLIENTS].cut()
            turn += 7
            await deferLater(reactor, 1 / CUTS)

    async def fault(self, signal: str, victim: str) -> None:
        """From its beginning to its end."""
        products: dict[str, Any] = {"Redis": self.cluster.redis, "ZooKeeper": self.cluster.zookeeper}
        process = products.get(victim) or self.cluster[f"{victim}2"]
        if signal == "SIGSTOP":
            process.pause()
            await deferLater(reactor, STOPPED_SECONDS[victim])
            process.resume()
            return
        process.kill()
        await deferLater(reactor, DEAD_SECONDS)
        process.start()
        if isinstance(process, Twistd):
            await process.ready()
            self.look_for_urls()

    # --- what it came to

    def bound(self, fault: str) -> float:
        """Seconds, as the page has it."""
        return next(float(row[4].removesuffix(" s")) for row in self.page if row[0] == fault)

    def story(self, load: KeptLoad) -> str:
        """For whoever has to find out why."""
        behind = [client for client in self.crowd.clients if not self.crowd.has_all(client, load.accepted)]
        words = [f"{len(behind)} clients lack something; {self.crowd.connected} of {CLIENTS} are connected"]
        words += [f"{client.url} {client.steady.places} {client.troubles[-3:]}" for client in behind[:3]]
        words += list(self.crowd.faults(load.accepted))[:5]
        words += [f"--- {process}\n{process.log[-3000:]}" for process in self.cluster.processes.values()]
        return "\n".join(words)

    async def assert_sound(self) -> None:
        """All are ready, the ledger is at zero, and no process said that it has a fault."""
        processes = list(self.cluster.processes.values())
        for process in processes:
            await process.ready()
        found = await ledger(*processes)
        differences = {each["layer"]: each for each in found["accounts"] if each["difference"]}
        self.assertEqual((differences, found["status"]), ({}, 0), found["said"])
        for process in processes:
            self.assertNotIn("Traceback", process.log)


def _connections(lost: Sequence[CrowdClient], theirs: Sequence[CrowdClient]) -> str:
    """Whose ended, in the page's words."""
    impatient = {client for client in theirs if not client.patient}
    if not lost:
        return "none"
    if set(lost) == set(theirs):
        return "its own"
    if set(lost) <= impatient:  # some of them changed their network meanwhile
        return "of its impatient clients"
    odd = [client for client in lost if client not in impatient]
    return f"{len(lost)}, among them {[(client in theirs, client.troubles[-2:]) for client in odd[:5]]}"


def _refused(words: Sequence[str], urls: set[str]) -> str:
    """Where a push was not answered with 200, in the page's words."""
    tests: Sequence[tuple[str, Callable[[str], bool]]] = (
        ("none", lambda _: False),
        ("at that logic", lambda each: each.partition(": ")[0] in urls),
        ("everywhere: 503", lambda each: each.partition(": ")[2].startswith("503 ")),
    )
    for called, test in tests:
        if all(map(test, words)):
            return called
    return f"{len(words)}: {sorted(set(words))[:5]}"


def _line(row: Measured) -> str:
    return (
        f"{row.fault:<20} {row.connections:<26} {row.refused:<17} told {row.told:<9} all had all after {row.seconds:5.1f} s; "
        f"{row.pushes} pushes, slowest {row.longest_push_seconds:.1f} s; {row.lost} connections lost; "
        f"longest wait {row.longest_wait_seconds:.1f} s {'; '.join(row.words)[:400]}"
    )
