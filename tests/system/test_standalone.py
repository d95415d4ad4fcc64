"""``twistd imd`` alone: every way in, every way out, what a kill leaves, and how it says no."""

import os
import sqlite3
import time
from contextlib import closing
from typing import Any

from twisted.internet.defer import Deferred

from imd.protocol.push import Push, load
from tests.support.cluster import together
from tests.support.http_call import CallFailed, http
from tests.support.listening_client import ListeningClient, listen
from tests.support.raw_peer import connect_raw
from tests.support.reactor import reactor
from tests.support.system_case import SystemCase
from tests.support.twistd import Twistd

TRANSPORTS = ("tcp", "tls", "ws", "wss")
AUTH = bytes.fromhex("00000033 0010 0001 00000007 00000001") + b'{"key":"hands-on","accepts":[1000]}'
GREETED = bytes.fromhex("00000010 0010 0001 00000008 00000001")


class ServingTests(SystemCase):
    def test_every_way(self) -> Deferred[None]:
        """Clients over all four transports get pushes to a key, a member, a room and all; the counters say so."""

        async def run() -> None:
            imd = await self.start(comet=self.tls())
            clients = await together(self.client(imd, number, name) for number, name in enumerate(TRANSPORTS, 1))
            for number, name in enumerate(TRANSPORTS, 1):
                await self.push(imd, f"keys?operation=1000&keys=k-{name}", f"key {name}")
                await self.push(imd, f"mids?operation=1000&mids={number}", f"mid {number}")
            await self.push(imd, "room?operation=1000&type=live&room=r", "room")
            await self.push(imd, "all?operation=1000", "all")
            sent = b'[{"to": {"room": "live://r", "keys": ["k-tcp"]}, "op": 1000, "body": "v1"}]'
            self.assertEqual((await http("POST", imd.urls["http"], "/v1/push", sent)).status, 200)
            for number, (name, client) in enumerate(zip(TRANSPORTS, clients, strict=True), 1):
                wanted = [f"key {name}", f"mid {number}", "room", "all", "v1"] + (["v1"] if name == "tcp" else [])
                await client.until(lambda c=client, w=wanted: len(c.bodies) >= len(w))
                self.assertEqual(sorted(client.bodies), sorted(body.encode() for body in wanted))
                self.assertEqual(await client.client.heartbeat(), 4)
            figures = await imd.metrics()
            self.assertEqual(sum(count for name, count in figures.items() if name.startswith("imd_connections{")), 4)
            self.assertEqual(figures['imd_packets_handed_over_total{outcome="delivered"}'], 4 + 4 + 4 + 4 + 4 + 1)

        return self.later(run)

    def test_goim_endpoints(self) -> Deferred[None]:
        """goim's five questions have goim's answers; its four pushes refuse what goim refuses."""

        async def run() -> None:
            imd = await self.start(comet={"renew_seconds": 1})
            await listen(self, imd.urls["tcp"], room="live://r")
            await self.answers(imd, "online/room?type=live&rooms=r&rooms=s", {"r": 1, "s": 0})
            total = (await http("GET", imd.urls["http"], "/goim/online/total")).json()["data"]
            self.assertEqual(sorted(total), ["conn_count", "ip_count"])  # as of the last report, up to 10 s ago
            await self.answers(imd, "online/top?type=live&limit=3", [{"room_id": "r", "count": 1}])
            nodes = (await http("GET", imd.urls["http"], "/goim/nodes/weighted?platform=web")).json()["data"]
            self.assertEqual((nodes["heartbeat"], nodes["heartbeat_max"]), (240, 2))
            [comet] = (await http("GET", imd.urls["http"], "/goim/nodes/instances")).json()["data"]
            self.assertEqual(comet["appid"], "goim.comet")
            for target in ("keys?operation=1", "mids?mids=x", "room?operation=1&type=live", "all"):
                refusal = await http("POST", imd.urls["http"], f"/goim/push/{target}", b"x")
                self.assertEqual(refusal.json()["code"], -400)

        return self.later(run)

    def test_bytes(self) -> Deferred[None]:
        """A client that only knows goim's bytes is answered byte for byte, on all four transports."""

        async def run() -> None:
            imd = await self.start(comet=self.tls())
            for name in TRANSPORTS:
                peer = await connect_raw(
                    reactor=reactor, transport=name, port=imd.port(name), ca_file=self.certificates.ca
                )
                self.addCleanup(self.later, peer.close)
                prefix = b"\x82\x10" if name in ("ws", "wss") else b""
                await peer.send(AUTH)
                self.assertEqual(await peer.read(len(prefix + GREETED)), prefix + GREETED)
                await self.push(imd, "keys?operation=1000&keys=hands-on", "hi")
                inner = bytes.fromhex("00000012 0010 0001 000003e8 00000000 6869")
                framed = bytes.fromhex("82 22 00000022 0010 0001 00000009 00000000") + inner
                wanted = framed if prefix else inner
                self.assertEqual(await peer.read(len(wanted)), wanted)

        return self.later(run)

    async def client(self, imd: Twistd, number: int, name: str) -> ListeningClient:
        ca_file = self.certificates.ca
        return await listen(self, imd.urls[name], ca_file=ca_file, mid=number, key=f"k-{name}", room="live://r")

    async def push(self, imd: Twistd, target: str, body: str) -> None:
        answer = await http("POST", imd.urls["http"], f"/goim/push/{target}", body.encode())
        self.assertEqual((answer.status, answer.json()["code"]), (200, 0), answer)

    async def answers(self, imd: Twistd, target: str, wanted: Any) -> None:
        """Counts of a room come with a renewal, of connections with a report: soon, not at once."""
        found: list[Any] = []

        async def ask() -> None:
            found.append((await http("GET", imd.urls["http"], f"/goim/{target}")).json()["data"])

        ends = reactor.seconds() + 15
        while not found or found[-1] != wanted:
            self.assertLess(reactor.seconds(), ends, f"{target}: {found[-1:]}")
            await ask()


class KillTests(SystemCase):
    def test_kill(self) -> Deferred[None]:
        """kill -9 under load: every accepted push had reached the client, or is in the file and taken again after the
        restart, where it is delivered or counted as dropped."""

        async def run() -> None:
            imd = await self.start()
            for _ in range(5):  # a kill may find nothing under way
                accepted, received = await self.hammer(imd)
                left = self.left(imd)
                self.assertGreater(len(accepted), 100)
                self.assertEqual(accepted - received - {push.body for push in left}, set(), "accepted, and lost")
                began = time.monotonic()
                await imd.start().ready()
                seconds = time.monotonic() - began
                print(
                    f"\nafter kill -9: ready in {seconds:.2f} s; {len(accepted)} accepted, {len(left)} were under way"
                )
                self.assertLess(seconds, 10)
                taken = await self.settled(imd, len(left))
                self.assertEqual(taken, len(left))
                if left:
                    return
            self.fail("never was anything under way")

        return self.later(run)

    async def hammer(self, imd: Twistd) -> tuple[set[bytes], set[bytes]]:
        """Pushes from many sides, a kill in the middle: what was accepted, what a client got."""
        client = await listen(self, imd.urls["tcp"], room="live://r")
        accepted: set[bytes] = set()

        async def push(side: int) -> None:
            for number in range(1000):
                body = b"%d-%d" % (side, number)
                try:
                    answer = await http("POST", imd.urls["http"], "/goim/push/room?operation=1&type=live&room=r", body)
                except CallFailed:
                    return
                self.assertEqual(answer.status, 200)
                accepted.add(body)
                if len(accepted) == 300:
                    imd.kill()

        await together(push(side) for side in range(20))
        await client.client.closed()
        return accepted, set(client.bodies)

    def left(self, imd: Twistd) -> list[Push]:
        """What the file holds."""
        with closing(sqlite3.connect(f"{imd.folder}/var/imd.sqlite")) as database:
            return [load(data) for (data,) in database.execute("SELECT push FROM broker_entry ORDER BY seq")]

    async def settled(self, imd: Twistd, wanted: int) -> int:
        """How many pushes were taken off the broker, once as many are settled."""
        ends = reactor.seconds() + 10
        while True:
            figures = await imd.metrics()
            taken, settled, dropped = (
                figures.get(name, 0)
                for name in (
                    'imd_pushes_taken_total{target="room"}',
                    'imd_pushes_settled_total{target="room"}',
                    'imd_drops_total{layer="job",reason="not_connected"}',
                )
            )
            if taken == settled == dropped == wanted:
                return int(taken)
            self.assertLess(reactor.seconds(), ends, figures)


class StopTests(SystemCase):
    def test_stop(self) -> Deferred[None]:
        """SIGTERM: it ends within seconds with status 0, and its clients are told that the server stops (4050)."""

        async def run() -> None:
            imd = await self.start()
            peer = await connect_raw(reactor=reactor, transport="ws", port=imd.port("ws"), ca_file="")
            await peer.send(AUTH)
            await peer.read(2 + len(GREETED))
            tcp = await listen(self, imd.urls["tcp"])
            began = time.monotonic()
            stopping = Deferred.fromCoroutine(imd.stop())
            frame = await peer.read_to_end()
            self.assertEqual(frame, b"\x88\x11" + (4050).to_bytes(2, "big") + b"server_stopping")
            await tcp.client.closed()
            await peer.close()
            self.assertEqual(await stopping, 0, imd.log)
            self.assertLess(time.monotonic() - began, 8)
            self.assertNotIn("Traceback", imd.log)

        return self.later(run)

    def test_stop_while_clients_are_stuck(self) -> Deferred[None]:
        """A client that does not read, one that never says who it is, and an HTTP request without an end do not keep it."""

        async def run() -> None:
            imd = await self.start()
            stuck = [
                await connect_raw(reactor=reactor, transport="tcp", port=imd.port(name), ca_file="")
                for name in ("tcp", "tcp", "ws", "http")
            ]
            await stuck[0].send(AUTH)
            await stuck[0].read(len(GREETED))
            transport: Any = stuck[0].transport
            transport.pauseProducing()
            big = b"x" * 60000
            for _ in range(100):
                await http("POST", imd.urls["http"], "/goim/push/keys?operation=1000&keys=hands-on", big)
            stuck[3].write(b"POST /goim/push/all?operation=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
            began = time.monotonic()
            self.assertEqual(await imd.stop(30), 0, imd.log)
            self.assertLess(time.monotonic() - began, 25)
            self.assertNotIn("Traceback", imd.log)
            transport.abortConnection()
            for peer in stuck:
                await peer.close()

        return self.later(run)

    def test_restart(self) -> Deferred[None]:
        """Stopped and started on the same ports it serves again at once; the client's loss says why."""

        async def run() -> None:
            imd = await self.start()
            ports = {"tcp": imd.port("tcp"), "websocket": imd.port("ws")}
            client = await listen(self, imd.urls["tcp"], key="k")
            await imd.stop()
            await client.client.closed()
            again = self.make(comet={name: f"127.0.0.1:{port}" for name, port in ports.items()})
            began = time.monotonic()
            await again.start().ready()
            print(f"\nrestart: {time.monotonic() - began:.2f} s")
            self.assertLess(time.monotonic() - began, 10)
            back = await listen(self, again.urls["tcp"], key="k")
            await http("POST", again.urls["http"], "/goim/push/keys?operation=1000&keys=k", b"again")
            await back.got(b"again")

        return self.later(run)


class RefusalTests(SystemCase):
    """Each ends with one line that names what is wrong and what would be right, and a status that is not 0."""

    def test_port_in_use(self) -> Deferred[None]:
        """A second one on the same port."""

        async def run() -> None:
            imd = await self.start()
            address = f"127.0.0.1:{imd.port('tcp')}"
            await self.refused(self.make(comet={"tcp": address}), f"comet.tcp = {address}: cannot listen there")

        return self.later(run)

    def test_same_file(self) -> Deferred[None]:
        """A second one on the same SQLite file."""

        async def run() -> None:
            imd = await self.start()
            path = f"{imd.folder}/var/imd.sqlite"
            await self.refused(self.make(broker={"path": path}), path)
            self.assertTrue(imd.running)

        return self.later(run)

    def test_misspelt_key(self) -> Deferred[None]:
        """A key that does not exist, on the command line and in a file."""

        async def run() -> None:
            await self.refused(self.make(comet={"tpc": "127.0.0.1:0"}), "tpc")
            path = self.file("[comet]\ntpc = '127.0.0.1:0'\n")
            await self.refused(self.make(arguments=("--config", path)), f"{path}: ", "comet.tpc")

        return self.later(run)

    def test_certificates(self) -> Deferred[None]:
        """A certificate that is not there, and one that is none."""

        async def run() -> None:
            tls = self.tls()
            await self.refused(
                self.make(comet=tls | {"certificate": "/nowhere.pem"}), "comet.certificate: no such file"
            )
            nonsense = self.file("nonsense")
            await self.refused(self.make(comet=tls | {"certificate": nonsense}), nonsense)
            other = self.certificates.other_key
            await self.refused(self.make(comet=tls | {"private_key": other}), other)

        return self.later(run)

    def test_config(self) -> Deferred[None]:
        """A configuration that is not there, cannot be read, or is no TOML."""

        async def run() -> None:
            await self.refused(self.make(arguments=("--config", "/nowhere.toml")), "/nowhere.toml")
            folder = os.path.dirname(self.file(""))
            await self.refused(self.make(arguments=("--config", folder)), folder)
            path = self.file("[comet\n")
            await self.refused(self.make(arguments=("--config", path)), path)

        return self.later(run)

    def test_folder(self) -> Deferred[None]:
        """A database that cannot be made where it should be."""

        async def run() -> None:
            path = self.file("") + "/imd.sqlite"
            await self.refused(self.make(broker={"path": path}), path)

        return self.later(run)

    def file(self, text: str) -> str:
        """The path of a new file."""
        path: str = os.path.abspath(self.mktemp())
        with open(path, "w") as file:
            file.write(text)
        return path

    async def refused(self, process: Twistd, *words: str) -> None:
        process.start()
        self.assertNotEqual(await process.exited(), 0)
        for word in words:
            self.assertIn(word, process.log)
        lines = [line for line in process.log.strip().splitlines() if not line.endswith(" has stopped")]
        self.assertEqual(len(lines), 1, process.log)
