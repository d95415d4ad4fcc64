"""A store that lost messages: whoever was away is told so, and nobody else."""

import os
import shutil
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from tests.support.back_end import accept, bodies, numbered
from tests.support.cluster import Cluster, together
from tests.support.following_client import FollowingClient, follow
from tests.support.http_call import CallFailed, http
from tests.support.ports import reserve_port
from tests.support.reactor import eventually, reactor
from tests.support.system_case import SystemCase

ROOM = "chat://1"
KEEP = "{ keep = true }"
TO = ({"room": ROOM}, {"mids": [1, 2, 3]})
PROCESSES = ("comet1", "comet2", "logic1", "job1")
Lose = Callable[[str], None]  # given a copy of the data that is older than some messages


class Clients:
    """``early`` left before the copy was made, ``late`` after it, ``stay`` is connected all the time."""

    def __init__(self, urls: tuple[str, ...]) -> None:
        self.urls = urls
        self.early: FollowingClient
        self.late: FollowingClient
        self.stay: FollowingClient


class StoreLossTests(SystemCase):
    """Redis in a cluster, and SQLite alone. Clients follow a room and their inbox."""

    timeout = 240

    def test_redis(self) -> Deferred[None]:
        """Emptied while it runs or while it is down, or put back to an older state, whether or not it has grown beyond what was
        lost before they come back, with logic or everything restarted meanwhile: each client is told once of each timeline,
        those that were connected are sent away for it, and all go on. Killed with a log on its disk: nobody is told."""

        async def run() -> None:
            cluster = await self.cluster()
            for name, lose, grown, restarted, told in (
                ("FLUSHALL", lambda copy: cluster.redis.command("FLUSHALL"), 0, (), True),
                ("emptied", self.restarting(cluster, empty=True), 0, (), True),
                ("emptied, and grown", self.restarting(cluster, empty=True), 30, (), True),
                ("killed", self.killing(cluster), 0, (), False),
                ("killed, and grown", self.killing(cluster), 30, (), False),
                ("back", self.restarting(cluster), 0, (), True),
                ("back, and grown", self.restarting(cluster), 30, (), True),
                ("back, logic new", self.restarting(cluster), 0, ("logic1",), True),
                ("back, logic new, and grown", self.restarting(cluster), 30, ("logic1",), True),
                ("back, all new, and grown", self.restarting(cluster), 30, PROCESSES, True),
                ("killed, all new", self.killing(cluster), 0, PROCESSES, False),
            ):
                with self.subTest(name):
                    await self.lose(cluster, lose, grown, restarted, told)

        return self.later(run)

    async def cluster(self) -> Cluster:
        cluster = Cluster(durable=True, rooms={"chat": KEEP}, comet={"timeline_check_seconds": 1})
        self.addCleanup(cluster.end)
        cluster.start_products()
        for id in ("comet1", "comet2"):  # clients come back to where they were
            cluster.make(id, comet={name: f"127.0.0.1:{reserve_port()}" for name in ("tcp", "websocket")}).start()
        await cluster.start("logic1", "job1")
        await together(cluster[id].ready() for id in PROCESSES)
        return cluster

    def killing(self, cluster: Cluster) -> Lose:
        """kill -9, and start."""

        def lose(copy: str) -> None:
            cluster.redis.kill()
            cluster.redis.start()

        return lose

    def restarting(self, cluster: Cluster, *, empty: bool = False) -> Lose:
        """Killed, its data replaced, started."""

        def lose(copy: str) -> None:
            cluster.redis.kill()
            cluster.redis.restore(None if empty else copy)
            cluster.redis.start()

        return lose

    async def lose(self, cluster: Cluster, lose: Lose, grown: int, restarted: tuple[str, ...], told: bool) -> None:
        """One loss, from the first message to the last."""
        clients = await self.follow_until(cluster)
        copy = cluster.redis.copy()
        await self.push(cluster, "after the copy", 5)
        await self.got(clients.late, clients.stay, count=20)
        await clients.late.end()
        if restarted:
            await deferLater(reactor, 1.5)  # what is seen of the store is written each second
        for id in restarted:
            cluster[id].kill()
        lose(copy)
        await together(cluster[id].start().ready() for id in restarted)
        await self.pushable(cluster)
        if grown:
            await self.push(cluster, "grown", grown)
        back = [await self.returns(cluster, client, mid) for mid, client in enumerate((clients.early, clients.late), 1)]
        await eventually(lambda: clients.stay.steady.connected and len(clients.stay.gone) == 2 * told)
        await self.push(cluster, "last", 1)
        for client in (*back, clients.stay):
            await eventually(lambda client=client: client.bodies.count(b"last 0") == 2)  # type: ignore[misc]
            self.assertEqual(sorted(missed.timeline for missed in client.gone), ["", ROOM] if told else [])
        if told and not restarted:
            self.assertIn("timeline_reset", " ".join(map(str, clients.stay.troubles)))
        if not told:
            wanted = [*bodies(numbered("after the copy", 5, {})), *bodies(numbered("grown", grown, {})), b"last 0"]
            self.assertEqual([sorted(client.bodies) for client in back[:1]], [sorted(2 * wanted)])
        for client in (*back, clients.stay):
            await client.end()

    async def follow_until(self, cluster: Cluster) -> Clients:
        """All three have some messages, and the first has left."""
        urls = tuple(cluster[id].urls[transport] for id in ("comet1", "comet2") for transport in ("tcp", "ws"))
        clients = Clients(urls)
        made = [await follow(self, urls[mid:], mid=mid, key=f"k{mid}", rooms=[ROOM]) for mid in (1, 2, 3)]
        clients.early, clients.late, clients.stay = made
        await self.push(cluster, "before the copy", 5)
        await self.got(*made, count=10)
        await clients.early.end()
        return clients

    async def got(self, *clients: FollowingClient, count: int) -> None:
        for client in clients:
            await eventually(lambda client=client: len(client.bodies) == count)  # type: ignore[misc]

    async def push(self, cluster: Cluster, name: str, count: int) -> None:
        for to in TO:
            await accept(cluster["logic1"].urls["http"], numbered(name, count, to))

    async def pushable(self, cluster: Cluster) -> None:
        """Until logic takes pushes again."""
        url, body = cluster["logic1"].urls["http"], b'{"to": {"keys": ["nobody"]}, "op": 1, "body": ""}'
        status, ends = 0, reactor.seconds() + 15
        while status != 200:
            self.assertLess(reactor.seconds(), ends)
            try:
                status = (await http("POST", url, "/v1/push", body, seconds=2)).status
            except CallFailed:
                await deferLater(reactor, 0.1)

    async def returns(self, cluster: Cluster, client: FollowingClient, mid: int) -> FollowingClient:
        """With the places that it had."""
        urls = [cluster["comet2"].urls["ws"], cluster["comet1"].urls["tcp"]]
        return await follow(self, urls, mid=mid, key=f"k{mid}", rooms=[ROOM], places=client.steady.places)

    def test_sqlite(self) -> Deferred[None]:
        """An older copy of the file, or none, in its place: the same. After a kill -9 of everything nobody is told."""

        async def run() -> None:
            imd = await self.start(rooms={"chat": KEEP})
            for change, grown, told in ((None, 0, False), ("old", 0, True), ("old", 30, True), ("none", 30, True)):
                client = await follow(self, [imd.urls["tcp"]], mid=1, key="k1", rooms=[ROOM])
                for number in (0, 1):
                    for to in TO:
                        await accept(imd.urls["http"], numbered("before", 5, to))
                    await self.got(client, count=10 * number + 10)
                    if not number:
                        await imd.stop()
                        copy = self.copied(f"{imd.folder}/var")
                        await imd.start().ready()
                        client = await self.again(imd, client)
                await client.end()
                if change is None:
                    imd.kill()
                else:
                    await imd.stop()
                    self.replaced(f"{imd.folder}/var", copy if change == "old" else None)
                await imd.start().ready()
                for to in TO:
                    await accept(imd.urls["http"], numbered("grown", grown, to))
                client = await self.again(imd, client)
                await accept(imd.urls["http"], numbered("last", 1, TO[0]))
                await eventually(lambda client=client: b"last 0" in client.bodies)  # type: ignore[misc]
                gone = sorted(missed.timeline for missed in client.gone)
                self.assertEqual(gone, ["", ROOM] if told else [], (change, grown))
                await client.end()

        return self.later(run)

    async def again(self, imd: Any, client: FollowingClient) -> FollowingClient:
        await client.end()
        found = await follow(self, [imd.urls["tcp"]], mid=1, key="k1", rooms=[ROOM], places=client.steady.places)
        found.bodies[:0] = client.bodies
        return found

    def copied(self, folder: str) -> str:
        copy: str = os.path.abspath(self.mktemp())
        shutil.copytree(folder, copy)
        return copy

    def replaced(self, folder: str, copy: str | None) -> None:
        """The database is; what remembers it from outside is not."""
        for name in os.listdir(folder):
            if name.startswith("imd.sqlite") and not name.endswith("witness"):
                os.unlink(f"{folder}/{name}")
                if copy is not None:
                    shutil.copy(f"{copy}/{name}", f"{folder}/{name}")
