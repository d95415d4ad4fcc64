"""The ledger of a real process, after pushes of every kind to clients of every kind."""

import os
import socket
from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.utils import getProcessOutputAndValue

from tests.ctl.test_push import IMDCTL
from tests.support.cluster import Cluster, together
from tests.support.following_client import FollowingClient, follow
from tests.support.http_call import CallFailed, http
from tests.support.listening_client import ListeningClient, listen
from tests.support.push_load import PushLoad
from tests.support.raw_peer import connect_raw
from tests.support.reactor import eventually, reactor
from tests.support.system_case import SystemCase
from tests.support.twistd import Twistd

AUTH = b'{"key":"stalled","room":"live://r","accepts":[1000],"mid":9}'
STALLED = bytes.fromhex("%08x 0010 0001 00000007 00000001" % (16 + len(AUTH))) + AUTH
ROUNDS = 6


async def ledger(*processes: Twistd, wait: int = 30) -> dict[str, Any]:
    """What ``imdctl ledger --json`` says of them, with its exit status and what it wrote to stderr."""
    admins = [word for process in processes for word in ("--admin", process.admin)]
    command = (*IMDCTL[1:], "ledger", *admins, "--wait", str(wait), "--json")
    out, err, status = await getProcessOutputAndValue(IMDCTL[0], command, env=dict(os.environ), reactor=reactor)
    assert out, err
    found: dict[str, Any] = msgspec.json.decode(out)
    return {**found, "status": status, "said": err.decode()}


class LedgerTests(SystemCase):
    """``twistd imd``, and ``imdctl ledger``. Of processes that stood still: tests/system/test_kill_matrix.py."""

    following: Sequence[FollowingClient] = ()

    def test_every_push_is_accounted_for(self) -> Deferred[None]:
        """Known, unknown, filtered and stalled receivers, clients that go in between, repeated and refused pushes,
        broadcasts at once and at a pace: every difference ends at zero, and a kill -9 in between loses no entry."""

        async def run() -> None:
            imd = await self.start(comet={"outbox_bytes": 200_000})
            await self.traffic(imd)
            found = await ledger(imd)
            self.assert_balanced(found)
            self.assert_all_happened(found)
            imd.kill()
            await imd.start().ready()
            await self.push(imd, {"to": {"keys": ["nobody"], "all": True}, "op": 1000, "body": "x"})
            self.assert_balanced(await ledger(imd))

        return self.later(run)

    def test_what_a_dead_process_left(self) -> Deferred[None]:
        """Entries that a killed process had accepted are the next one's, which accounts for them."""

        async def run() -> None:
            imd = await self.start()
            rooms = [{"to": {"room": f"live://{n}"}, "op": 1, "body": "x" * 500} for n in range(500)]
            await together(self.push(imd, rooms) for _ in range(8))
            imd.kill()
            await imd.start().ready()
            self.assert_balanced(await ledger(imd))

        return self.later(run)

    def test_a_cluster(self) -> Deferred[None]:
        """Two comets, two jobs and a logic add up, also after Redis was away in the middle of it: what it did not answer is
        unsure, and nothing else is missing."""

        async def run() -> None:
            cluster = Cluster()
            self.addCleanup(cluster.end)
            cluster.start_products()
            await cluster.start("comet1", "comet2", "logic1", "job1", "job2")
            logic, comets = cluster["logic1"], (cluster["comet1"], cluster["comet2"])
            for number in range(6):
                url = comets[number % 2].urls["tcp"]
                await listen(self, url, key=f"k{number}", mid=number, room="live://r")
            requests = [
                {"to": {"room": "live://r", "keys": ["k0", "k1", "x"], "mids": [2, 3, 4, 99]}, "op": 1000, "body": "x"},
                {"to": {"all": True}, "op": 7, "body": "x", "speed": 100},
            ]
            for _ in range(10):
                await self.push(logic, requests)
            cluster.redis.pause()
            trying = together(self.try_to_push(logic, requests) for _ in range(10))
            await deferLater(reactor, 2)
            cluster.redis.resume()
            await trying
            await logic.ready()
            await self.push(logic, requests)
            found = await ledger(*cluster.processes.values())
            self.assert_balanced(found)
            fan_out = next(each for each in found["accounts"] if each["layer"] == "fan-out")
            self.assertGreaterEqual(fan_out["out"]["delivered"], 11 * 11)
            self.assertGreaterEqual(fan_out["out"]["filtered"], 11 * 6)

        return self.later(run)

    def test_a_killed_comet(self) -> Deferred[None]:
        """kill -9 under load: what the others have counted balances, with its successor and without it."""
        return self.later(lambda: self.killed("comet2"))

    def test_a_killed_logic(self) -> Deferred[None]:
        """What it had accepted is the store's to account for."""
        return self.later(lambda: self.killed("logic2"))

    def test_a_killed_job(self) -> Deferred[None]:
        """Its partitions are another's, and what it had taken."""
        return self.later(lambda: self.killed("job2"))

    async def killed(self, id: str) -> None:
        """The ledger of those that live: while ``id`` is gone, and when it is back."""
        cluster, load = await self.loaded()
        victim = cluster[id]
        victim.kill()
        await deferLater(reactor, 3)
        await load.stop()
        others = [process for process in cluster.processes.values() if process is not victim]
        await self.assert_handled(load)
        found = await ledger(*others)
        self.assert_balanced(found)
        self.assert_said(id, found)
        kept = next(each for each in found["accounts"] if each["layer"] == "timelines")
        self.assertGreaterEqual(kept["in"]["kept"], 4 * len(load.accepted["members"]) + len(load.accepted["chat"]))
        load = self.load(cluster)
        await victim.start().ready()
        await deferLater(reactor, 2)
        await load.stop()
        await self.assert_handled(load)
        found = await ledger(*cluster.processes.values())
        self.assert_balanced(found)
        self.assert_said(id, found)

    def assert_said(self, id: str, found: dict[str, Any]) -> None:
        """Of what is missing: a store has counted it, or its end of a pair is left out by name."""
        layers = {remark.split(":")[0] for remark in found["remarks"]}
        wanted = {"comet2": {"hand over"}, "logic2": {"append"}, "job2": {"hand over", "commit"}}[id]
        self.assertEqual(layers, wanted, found["remarks"])
        for remark in found["remarks"]:
            self.assertTrue("hand over" not in remark or f" {id}@" in remark, remark)

    async def assert_handled(self, load: PushLoad) -> None:
        """Every accepted kept push, by every client of version 2, exactly once and in order."""
        for client in self.following:
            for name in ("members", "chat"):
                wanted = load.accepted[name]
                await eventually(partial(self.has, client, wanted[-1]), 30)
                handled = [body for body in client.bodies if body.startswith(name.encode())]
                self.assertEqual((handled, client.gone), (wanted, []), client.troubles)

    @staticmethod
    def has(client: FollowingClient, body: bytes) -> bool:
        return body in client.bodies

    async def loaded(self) -> tuple[Cluster, PushLoad]:
        """A cluster of six with clients, and pushes for everybody: kept, live, and for nobody."""
        cluster = Cluster(rooms={"chat": "{ keep = true }"})
        self.addCleanup(cluster.end)
        cluster.start_products()
        await cluster.start("comet1", "comet2", "logic1", "logic2", "job1", "job2")
        urls = [cluster[id].urls[transport] for id, transport in (("comet1", "tcp"), ("comet2", "ws"))]
        for number in range(8):
            await listen(self, urls[number % 2], key=f"k{number}", mid=number, room="chat://1")
        self.following = [
            await follow(self, urls[::step], mid=mid, key=f"v2-{mid}-{step}", rooms=("chat://1",))
            for mid in (1, 2, 3)
            for step in (1, -1)
        ]
        load = self.load(cluster)
        await deferLater(reactor, 2)
        return cluster, load

    def load(self, cluster: Cluster) -> PushLoad:
        """Begun."""
        targets: dict[str, object] = {
            "members": {"mids": [1, 2, 3, 404]},
            "chat": {"room": "chat://1"},
            "live": {"room": "live://1"},
            "keys": {"keys": ["k0", "k1", "k2", "k3", "nobody"]},
            "all": {"all": True},
        }
        for client in self.following:
            client.bodies.clear()
        logics = [process.urls["http"] for process in cluster.processes.values() if process.role == "logic"]
        load = PushLoad(logics=[url for url in logics if url], targets=targets).start()
        self.addCleanup(load.cancel)
        return load

    async def try_to_push(self, imd: Twistd, request: Any) -> None:
        """Accepted or not."""
        try:
            await http("POST", imd.urls["http"], "/v1/push", msgspec.json.encode(request), seconds=10)
        except CallFailed:
            return

    async def traffic(self, imd: Twistd) -> None:
        """Ends when all is written that was sent, as far as the clients read."""
        clients = [await self.client(imd, number) for number in range(8)]
        peer = await connect_raw(reactor=reactor, transport="tcp", port=imd.port("tcp"), ca_file="")
        await peer.send(STALLED)
        await peer.read(16)
        stalled: Any = peer.transport
        stalled.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # the kernel shall not read for it
        stalled.pauseProducing()
        flood = [{"to": {"keys": ["stalled"]}, "op": 1000, "body": "f" * 60_000} for _ in range(14)]
        for number in range(ROUNDS):
            await together(
                self.push(imd, request, status)
                for request, status in (
                    (flood, 200),
                    (flood, 200),
                    ({"to": {"room": "live://r"}, "op": 1000, "body": "r" * 60_000}, 200),
                    ({"to": {"keys": ["k1", "k2", "k3", "nobody", "stalled"]}, "op": 1000, "body": "k"}, 200),
                    ({"to": {"mids": [1, 2, 3, 9, 404]}, "op": 1000, "body": "m" * 60_000}, 200),
                    ({"to": {"all": True}, "op": 1001, "body": "a"}, 200),
                    ({"to": {"all": True}, "op": 1000, "body": "a", "speed": 50}, 200),
                    (
                        {"to": {"rooms": ["live://r", "live://none"]}, "op": 1, "body": "once", "idempotency_key": "i"},
                        200,
                    ),
                    ({"to": {"keys": [""]}, "op": 1, "body": "refused"}, 400),
                    ([{"to": {"room": "live://r"}, "op": 1000, "body": f"{n}"} for n in range(100)], 200),
                )
            )
            leaver = clients.pop()
            await leaver.client.close()
            clients.append(await self.client(imd, 20 + number))
        stalled.resumeProducing()
        stalled.abortConnection()
        await self.push(imd, {"to": {"all": True}, "op": 1000, "body": "last"})
        await together(client.got(b"last") for client in clients if client.client.trouble is None)

    async def client(self, imd: Twistd, number: int) -> ListeningClient:
        accepts = (1000,) if number % 2 else (1001,)
        url = imd.urls["tcp" if number % 3 else "ws"]
        return await listen(self, url, key=f"k{number}", mid=number, room="live://r", accepts=(*accepts, 1000))

    async def push(self, imd: Twistd, request: Any, status: int = 200) -> None:
        answer = await http("POST", imd.urls["http"], "/v1/push", msgspec.json.encode(request), seconds=60)
        self.assertEqual(answer.status, status, answer.body)

    def assert_balanced(self, found: dict[str, Any]) -> None:
        differences = {each["layer"]: each for each in found["accounts"] if each["difference"]}
        self.assertEqual((differences, found["status"]), ({}, 0), found["said"])

    def assert_all_happened(self, found: dict[str, Any]) -> None:
        """It balanced something."""
        out = {each["layer"]: each["out"] for each in found["accounts"]}
        for layer, names in (
            ("api", ("accepted", "repeated", "bad_request")),
            ("publish", ("stored", "repeated")),
            ("route", ("answered", "not_connected")),
            ("fan-out", ("delivered", "filtered")),
        ):
            for name in names:
                self.assertGreater(out[layer].get(name, 0), 0, (layer, name, out[layer]))
        held = next(each for each in found["accounts"] if each["layer"] == "outbox")
        self.assertGreater(sum(held["in"].values()), 0, "the stalled client held nothing")
