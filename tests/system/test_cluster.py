"""Two comets, two logics, two jobs, Redis and ZooKeeper, all real: what docs/delivery.md says of them, and of their ends."""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from imd.errors import CloseReason, PeerUnavailable
from tests.support.cluster import LEASE_SECONDS, SESSION_SECONDS, Cluster, together
from tests.support.http_call import http
from tests.support.listening_client import ListeningClient, listen
from tests.support.ports import reserve_port
from tests.support.push_load import PushLoad, in_order
from tests.support.raw_peer import RawPeer, connect_raw
from tests.support.reactor import eventually, reactor
from tests.support.system_case import SystemCase

TRANSPORTS = ("tcp", "tls", "ws", "wss")
EVERYBODY = ("comet1", "comet2", "logic1", "logic2", "job1", "job2")
NEW_COMETS = 4
SLACK_SECONDS = 6.0  # for a renewal's round and a busy machine


class ClusterCase(SystemCase):
    """A cluster of its own for each test."""

    def cluster(self, **sections: Any) -> Cluster:
        """Nothing runs yet."""
        cluster = Cluster(**sections)
        self.addCleanup(cluster.end)
        return cluster

    async def running(self, *ids: str, **sections: Any) -> Cluster:
        """With these processes; all of them by default."""
        cluster = self.cluster(**sections).start_products()
        await cluster.start(*(ids or EVERYBODY))
        return cluster

    async def becomes(self, wanted: Any, ask: Callable[[], Any], seconds: float = 15.0) -> None:
        """Ask until the answer is ``wanted``."""
        ends = reactor.seconds() + seconds
        while (found := await ask()) != wanted:
            self.assertLess(reactor.seconds(), ends, f"wanted {wanted!r}, it stays {found!r}")
            await deferLater(reactor, 0.05)

    async def in_room(self, cluster: Cluster, room: str, count: int, witness: ListeningClient, seconds: float) -> None:
        """The room's count is right at every logic that lives and in a heartbeat's reply."""
        logics = [id for id, process in cluster.processes.items() if process.role == "logic" and process.running]

        async def counts() -> list[int]:
            return [*[await cluster.online(room, logic) for logic in logics], await witness.client.heartbeat()]

        await self.becomes([count] * (len(logics) + 1), counts, seconds)


class DeliveryTests(ClusterCase):
    def test_every_target(self) -> Deferred[None]:
        """Keys, members with devices on both comets, a room and all reach everybody they mean, over all four transports on
        both comets; the counts of rooms agree wherever they are asked for."""

        async def run() -> None:
            cluster = await self.running(comet=self.tls())
            places = [(comet, name) for comet in ("comet1", "comet2") for name in TRANSPORTS]
            clients = dict(zip(places, await together(self.join(cluster, *place) for place in places), strict=True))
            for place in places:
                await cluster.push(f"keys?operation=1000&keys={'-'.join(place)}", "-".join(place).encode())
            for mid, name in enumerate(TRANSPORTS, 1):
                await cluster.push(f"mids?operation=1000&mids={mid}", f"mid {name}".encode(), "logic2")
            await cluster.push("room?operation=1000&type=live&room=r", b"room")
            await cluster.push("all?operation=1000", b"all", "logic2")
            for place, client in clients.items():
                wanted = ["-".join(place), f"mid {place[1]}", "room", "all"]
                await client.got(*(body.encode() for body in wanted))
                self.assertEqual(len(client.bodies), len(wanted), client.bodies)
            await self.in_room(cluster, "r", 8, clients["comet1", "tcp"], 5)
            top = await http("GET", cluster["logic2"].urls["http"], "/goim/online/top?type=live&limit=5")
            self.assertEqual(top.json()["data"], [{"room_id": "r", "count": 8}])

            async def total() -> Any:
                return (await http("GET", cluster["logic1"].urls["http"], "/goim/online/total")).json()["data"]

            await self.becomes({"ip_count": 2, "conn_count": 8}, total)

        return self.later(run)

    async def join(self, cluster: Cluster, comet: str, name: str) -> ListeningClient:
        who = {"mid": TRANSPORTS.index(name) + 1, "key": f"{comet}-{name}", "room": "live://r"}
        return await listen(self, cluster[comet].urls[name], ca_file=self.certificates.ca, **who)

    def test_same_key(self) -> Deferred[None]:
        """Of two connections with one key on two comets the newer wins; the older is told 4030, and its end takes nothing
        from the newer one."""

        async def run() -> None:
            cluster = await self.running("comet1", "comet2", "logic1", "job1")
            older = await self.raw(cluster, "comet1")
            newer = await listen(self, cluster["comet2"].urls["tcp"], key="k", mid=7)
            frame = await older.read_to_end()
            self.assertEqual(frame[2:4], (4030).to_bytes(2, "big"))
            self.assertEqual(frame[4:], CloseReason.REPLACED.label.encode())
            await older.close()
            for number in range(20):
                await cluster.push("keys?operation=1000&keys=k", b"key %d" % number)
                await cluster.push("mids?operation=1000&mids=7", b"mid %d" % number)
            await newer.until(lambda: len(newer.bodies) >= 40)

        return self.later(run)

    async def raw(self, cluster: Cluster, comet: str) -> RawPeer:
        """A WebSocket client with the key k, authenticated."""
        peer = await connect_raw(reactor=reactor, transport="ws", port=cluster[comet].port("ws"), ca_file="")
        body = b'{"key":"k","mid":7}'
        await peer.send(bytes.fromhex("0000%04x 0010 0001 00000007 00000001" % (16 + len(body))) + body)
        await peer.read(18)
        return peer

    def test_new_comet(self) -> Deferred[None]:
        """Whatever is pushed once a client has seen op 8 arrives, even on a comet that accepts its first connection."""

        async def run() -> None:
            cluster = await self.running("logic1", "logic2", "job1", "job2")
            for number in range(NEW_COMETS):
                port = reserve_port()
                comet = cluster.make(f"comet{number}", comet={"tcp": f"127.0.0.1:{port}"}).start()
                client = await self.first(f"tcp://127.0.0.1:{port}")
                targets = (
                    *("all?operation=1000", "room?operation=1000&type=live&room=r"),
                    *("keys?operation=1000&keys=k", "mids?operation=1000&mids=7"),
                )
                logics = ("logic1", "logic2")
                pushes = [(target, logic, f"{target} {logic}".encode()) for target in targets for logic in logics]
                await together(cluster.push(target, body, logic) for target, logic, body in pushes)
                await client.got(*(body for _, _, body in pushes))
                self.assertEqual(len(client.bodies), len(pushes))
                await client.client.close()
                comet.kill()

        return self.later(run)

    async def first(self, url: str) -> ListeningClient:
        """The first client of all, as soon as somebody listens there."""
        ends = reactor.seconds() + 20
        while True:
            try:
                return await listen(self, url, key="k", mid=7, room="live://r")
            except PeerUnavailable:
                self.assertLess(reactor.seconds(), ends, "nobody listens")
                await deferLater(reactor, 0.005)


class FailOverTests(ClusterCase):
    def test_kills_under_load(self) -> Deferred[None]:
        """A comet, a logic and a job die one after another while a back end pushes: whoever stays connected gets every accepted
        push, the first copies in order; who was on the dead comet comes back elsewhere; the counts are right again
        within the lease."""

        async def run() -> None:
            cluster = await self.running()
            stay = [await self.join(cluster, "comet1", n, name) for n, name in enumerate(("tcp", "ws"), 1)]
            lost = [await self.join(cluster, "comet2", n, "tcp") for n in (3, 4, 5)]
            await self.in_room(cluster, "r", 5, stay[0], 10)
            load = self.load(cluster)
            await self.more(load)

            cluster["comet2"].kill()
            for client in lost:
                await client.client.closed()
            back = [await self.join(cluster, "comet1", n, "ws") for n in (4, 5)]
            began = reactor.seconds()
            await self.in_room(cluster, "r", 4, stay[0], LEASE_SECONDS + SLACK_SECONDS)
            print(f"\ncomet killed: counts right after {reactor.seconds() - began:.1f} s")
            await self.more(load)
            await back[0].got(load.accepted["room"][-1], load.accepted["mid"][-1])

            cluster["logic2"].kill()
            await self.more(load)
            late = await self.join(cluster, "comet1", 6, "tcp")

            job = "job1" if await self.owns(cluster, "job1") else "job2"
            cluster[job].kill()
            began = reactor.seconds()
            await self.more(load)
            await late.got(load.accepted["room"][-1], seconds=SESSION_SECONDS + SLACK_SECONDS)
            print(f"job killed: pushes again after {reactor.seconds() - began:.1f} s")

            await cluster["comet2"].start().ready()
            await cluster["logic2"].start().ready()
            await cluster[job].start().ready()
            home = await self.join(cluster, "comet2", 3, "tcp")
            await self.more(load)
            await load.stop()
            await self.complete(load, stay)
            await home.got(load.accepted["room"][-1], load.accepted["mid"][-1], load.accepted["all"][-1])
            await self.in_room(cluster, "r", 6, home, LEASE_SECONDS + SLACK_SECONDS)
            print(
                f"{load.count} pushes, the slowest took {load.longest_seconds:.2f} s; {len(load.refused)} tries failed"
            )

        return self.later(run)

    def test_restarts_under_load(self) -> Deferred[None]:
        """Whatever is stopped in order and started again, one after another, costs those who stay nothing: every push once, in
        order. Who was on a comet that stops is out of the counts at once."""

        async def run() -> None:
            cluster = await self.running()
            stay = [await self.join(cluster, "comet1", n, name) for n, name in enumerate(("ws", "tcp"), 1)]
            other = await self.join(cluster, "comet2", 3, "ws")
            await self.in_room(cluster, "r", 3, stay[0], 5)
            load = self.load(cluster)
            for id in ("logic1", "job1", "comet2", "logic2", "job2"):
                await self.more(load, 40)
                self.assertEqual(await cluster[id].stop(), 0, cluster[id].log)
                self.assertNotIn("Traceback", cluster[id].log)
                if id == "comet2":
                    self.assertIn("server_stopping", str(other.client.trouble))
                    await self.in_room(cluster, "r", 2, stay[0], LEASE_SECONDS / 2)
                await self.more(load, 40)
                await cluster[id].start().ready()
                load.logics = [cluster[logic].urls["http"] for logic in ("logic1", "logic2")]
            await load.stop()
            await self.complete(load, stay)
            for client in stay:
                self.assertEqual(len(client.bodies), len(set(client.bodies)), "some came twice")
            print(f"\n{load.count} pushes, the slowest took {load.longest_seconds:.2f} s")

        return self.later(run)

    def test_hangs_under_load(self) -> Deferred[None]:
        """A logic that hangs for a while costs nothing but time: what it had taken and a back end repeated elsewhere comes
        once. A job that hangs for longer than its session costs no push; some may come twice, and then late."""

        async def run() -> None:
            cluster = await self.running()
            stay = [await self.join(cluster, comet, n, "ws") for n, comet in enumerate(("comet1", "comet2"), 1)]
            load = self.load(cluster)
            await self.more(load, 40)
            cluster["logic1"].pause()
            await self.more(load, 12)  # every other round waits for it, in vain
            await self.join(cluster, "comet1", 3, "tcp")
            cluster["logic1"].resume()
            await self.more(load, 40)
            await load.stop()
            await self.complete(load, stay)
            for client in stay:
                self.assertEqual(len(client.bodies), len(set(client.bodies)), "some came twice")

            load = self.load(cluster)
            cluster["job1"].pause()
            began = reactor.seconds()
            await eventually(lambda: reactor.seconds() - began > 2 * SESSION_SECONDS)
            await self.more(load, 40)
            cluster["job1"].resume()
            await self.more(load, 40)
            await load.stop()
            for name in ("room", "mid", "all"):
                for client in stay:
                    await client.got(*load.accepted[name], seconds=SESSION_SECONDS + SLACK_SECONDS)

        return self.later(run)

    def test_products_under_load(self) -> Deferred[None]:
        """ZooKeeper is away for longer than its sessions last, then Redis hangs for longer than leases do: connections stay,
        every accepted push arrives in order, and the counts are right again."""

        async def run() -> None:
            cluster = await self.running()
            stay = [await self.join(cluster, comet, n, "ws") for n, comet in enumerate(("comet1", "comet2"), 1)]
            load = self.load(cluster)
            cluster.zookeeper.kill()
            began = reactor.seconds()
            await eventually(lambda: reactor.seconds() - began > 2 * SESSION_SECONDS and load.count > 80)
            self.assertEqual(load.refused, [])
            cluster.zookeeper.start()
            await together(process.ready() for process in cluster.processes.values())
            await self.more(load)

            cluster.redis.pause()
            began = reactor.seconds()
            await eventually(lambda: reactor.seconds() - began > LEASE_SECONDS + 1)
            self.assertEqual([await client.client.heartbeat() for client in stay], [2, 2])
            cluster.redis.resume()
            await together(process.ready() for process in cluster.processes.values())
            await self.more(load)
            await load.stop()
            await self.complete(load, stay)
            await self.in_room(cluster, "r", 2, stay[0], LEASE_SECONDS + SLACK_SECONDS)
            print(f"\n{load.count} pushes, the slowest took {load.longest_seconds:.2f} s; {set(load.refused)}")

        return self.later(run)

    def load(self, cluster: Cluster) -> PushLoad:
        """To everything that the clients of :meth:`join` are reached by, the first one by its key too."""
        targets: dict[str, object] = {
            "room": {"room": "live://r"},
            "mid": {"mids": [7]},
            "all": {"all": True},
            "key": {"keys": ["k1"]},
        }
        load = PushLoad(logics=[cluster[id].urls["http"] for id in ("logic1", "logic2")], targets=targets)
        self.addCleanup(load.cancel)
        return load.start()

    async def join(self, cluster: Cluster, comet: str, number: int, name: str) -> ListeningClient:
        return await listen(self, cluster[comet].urls[name], mid=7, key=f"k{number}", room="live://r")

    async def more(self, load: PushLoad, count: int = 80) -> None:
        """Wait until so many more pushes were accepted."""
        wanted = load.count + count
        await eventually(lambda: load.count >= wanted, 30)

    async def owns(self, cluster: Cluster, job: str) -> bool:
        return (await cluster[job].metrics())["imd_partitions_owned"] > 0

    async def complete(self, load: PushLoad, clients: list[ListeningClient]) -> None:
        """Everything that was accepted is there, in order; who is no target of a push does not get it."""
        for client in clients:
            last = [bodies[-1] for name, bodies in load.accepted.items() if name != "key"]
            await client.got(*last, seconds=SESSION_SECONDS + SLACK_SECONDS)
            for name, accepted in load.accepted.items():
                if name != "key":
                    self.assertEqual(in_order(client.bodies, accepted), "", name)
        self.assertEqual(in_order(clients[0].bodies, load.accepted["key"]), "", "key")

    def test_comet_that_hangs(self) -> Deferred[None]:
        """A comet that is stopped for longer than its lease is as dead; when it goes on, its clients are counted and reached
        again, but for one whose key is somebody else's by then."""

        async def run() -> None:
            cluster = await self.running("comet1", "comet2", "logic1", "logic2", "job1")
            witness = await listen(self, cluster["comet2"].urls["tcp"], room="live://r")
            stays = await listen(self, cluster["comet1"].urls["tcp"], key="stays", mid=7, room="live://r")
            moves = await listen(self, cluster["comet1"].urls["ws"], key="moves", mid=8, room="live://r")
            await self.in_room(cluster, "r", 3, witness, 10)
            cluster["comet1"].pause()
            await self.in_room(cluster, "r", 1, witness, LEASE_SECONDS + SLACK_SECONDS)
            moved = await listen(self, cluster["comet2"].urls["tcp"], key="moves", mid=8, room="live://r")
            cluster["comet1"].resume()
            await moves.client.closed()
            await self.in_room(cluster, "r", 3, witness, SLACK_SECONDS + SESSION_SECONDS)
            await cluster["comet1"].troubles_are(lambda troubles: not troubles)
            await self.until_reached(cluster, stays, "keys?operation=1000&keys=stays")
            await cluster.push("mids?operation=1000&mids=7&mids=8", b"mid")
            await together([stays.got(b"mid"), moved.got(b"mid")])
            await cluster.push("room?operation=1000&type=live&room=r", b"room")
            await together([stays.got(b"room"), moved.got(b"room"), witness.got(b"room")])

        return self.later(run)

    async def until_reached(self, cluster: Cluster, client: ListeningClient, target: str) -> None:
        """Jobs learn of a comet's return a moment after presence."""

        async def reached() -> bool:
            await cluster.push(target, b"probe")
            return b"probe" in client.bodies

        await self.becomes(True, reached)


class ProductTests(ClusterCase):
    def test_redis_away(self) -> Deferred[None]:
        """Without Redis processes start, say why they are not ready, and are once it is there. When it goes, pushes are
        refused with 503 and Retry-After while connections stay; when it is back, everything is."""

        async def run() -> None:
            cluster = self.cluster()
            cluster.zookeeper.start()
            ids = ("comet1", "logic1", "job1")
            made = [cluster.make(id).start() for id in ids]
            for process in made:
                await process.troubles_are(bool)
            await cluster["logic1"].troubles_are(lambda troubles: "redis" in str(troubles).lower())
            cluster.redis.start()
            await together(process.ready() for process in made)
            client = await listen(self, cluster["comet1"].urls["tcp"], key="k", room="live://r")
            await self.reaches(cluster, client, b"before")

            cluster.redis.kill()
            refusal = await http(
                "POST", cluster["logic1"].urls["http"], "/v1/push", b'{"to":{"all":true},"op":1,"body":""}'
            )
            self.assertEqual(refusal.status, 503)
            self.assertGreaterEqual(int(refusal.headers["retry-after"]), 1)
            await cluster["logic1"].troubles_are(lambda troubles: "redis" in str(troubles).lower())
            await client.client.heartbeat()

            cluster.redis.start()
            await together(process.ready() for process in made)
            await self.in_room(cluster, "r", 1, client, LEASE_SECONDS + SLACK_SECONDS)
            await self.reaches(cluster, client, b"after")
            self.assertIsNone(client.client.trouble)

        return self.later(run)

    async def reaches(self, cluster: Cluster, client: ListeningClient, body: bytes) -> None:
        for number, target in enumerate(("keys?operation=1000&keys=k", "room?operation=1000&type=live&room=r")):
            await cluster.push(target, body + b"%d" % number)
        await client.got(body + b"0", body + b"1")

    def test_zookeeper_away(self) -> Deferred[None]:
        """While ZooKeeper is away everything goes on; when it is back, new processes are found."""

        async def run() -> None:
            cluster = await self.running("comet1", "logic1", "job1")
            client = await listen(self, cluster["comet1"].urls["tcp"], key="k", room="live://r")
            cluster.zookeeper.kill()
            for id in ("comet1", "logic1", "job1"):
                await cluster[id].troubles_are(lambda troubles: "zookeeper" in str(troubles).lower())
            other = await listen(self, cluster["comet1"].urls["ws"], key="other", room="live://r")
            await self.reaches(cluster, client, b"away")
            await other.got(b"away1")
            cluster.zookeeper.start()
            await together(cluster[id].ready() for id in ("comet1", "logic1", "job1"))
            await self.reaches(cluster, client, b"back")
            await cluster.start("comet2", "job2")
            await listen(self, cluster["comet2"].urls["tcp"], key="k", room="live://r")
            await client.client.closed()

        return self.later(run)

    def test_any_order(self) -> Deferred[None]:
        """A comet that is started before the first logic waits, says so, and serves when one is there; a job as well."""

        async def run() -> None:
            cluster = self.cluster().start_products()
            comet = cluster.make("comet1").start()
            await comet.troubles_are(lambda troubles: "logic links" in troubles)
            await cluster.start("job1")
            await cluster.start("logic1")
            await comet.ready()
            client = await listen(self, comet.urls["tcp"], key="k", room="live://r")
            await self.reaches(cluster, client, b"hi")

        return self.later(run)

    def test_same_id(self) -> Deferred[None]:
        """A second comet under a living one's id ends with one line; the first one does not notice."""

        async def run() -> None:
            cluster = await self.running("comet1", "logic1", "job1")
            client = await listen(self, cluster["comet1"].urls["tcp"], key="k", room="live://r")
            first = cluster["comet1"]
            second = cluster.make("comet1")
            self.addCleanup(first.end)
            self.assertNotEqual(await second.start().exited(), 0)
            self.assertIn("comet1", second.log)
            self.assertIn("--id", second.log)
            self.assertNotIn("Traceback", second.log)
            self.assertNotIn("is ready", second.log)
            cluster.processes["comet1"] = first
            self.addCleanup(second.end)
            await first.ready()
            await self.reaches(cluster, client, b"hi")

        return self.later(run)
