"""What became of one push, for receivers of every kind, in a cluster."""

import os
import socket
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from imd.protocol.operation import Operation
from imd.protocol.packet import Packet, encode
from tests.support.back_end import accept, numbered
from tests.support.cluster import Cluster
from tests.support.command import Command
from tests.support.following_client import follow
from tests.support.http_call import http
from tests.support.listening_client import listen
from tests.support.raw_peer import RawPeer, connect_raw
from tests.support.reactor import reactor
from tests.support.system_case import SystemCase

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"
MIDS = {"mids": [7, 8, 9, 10, 11]}
OUTBOX_BYTES = 200_000
BODY_BYTES = 60_000


class FateTests(SystemCase):
    """Member 7 has two devices, 8 is away, 9 accepts other operations, 10 does not read, 11 reads and does not ack."""

    def setUp(self) -> None:
        self.folder = os.path.abspath(self.mktemp())
        os.mkdir(self.folder)

    def test_each_device(self) -> Deferred[None]:
        """GET /v1/messages/{id} and imdctl trace say acked, queued, dropped, written, and later expired, and why; the trace is
        the back end's."""

        async def run() -> None:
            cluster = await self.cluster()
            logic, comet1, comet2 = (cluster[id] for id in ("logic1", "comet1", "comet2"))
            await follow(self, [comet1.urls["tcp"]], mid=7, key="phone")
            await follow(self, [comet2.urls["ws"]], mid=7, key="pad")
            away = await follow(self, [comet1.urls["tcp"]], mid=8, key="away")
            await away.end()
            await listen(self, comet1.urls["tcp"], mid=9, key="picky", accepts=(1001,))
            await self.stalled(cluster)
            await self.enter(cluster, 11, "silent")
            id = await self.push(logic.urls["http"])
            fate = await self.settled(logic.urls["http"], id)
            self.assertEqual(
                self.states(fate),
                {
                    ("7", "phone"): ("acked", ""),
                    ("7", "pad"): ("acked", ""),
                    ("8", ""): ("queued", "not_connected"),
                    ("9", "picky"): ("dropped", "filtered"),
                    ("10", "stalled"): ("dropped", "slow_consumer"),
                    ("11", "silent"): ("written", ""),
                },
            )
            self.assertEqual(fate["traceparent"], f"00-{TRACE_ID}-{int(id):016x}-01")
            back = await follow(self, [comet2.urls["tcp"]], mid=8, key="away", places=away.steady.places)
            await self.until(logic.urls["http"], id, ("8", "away"), ("acked", ""))
            self.assertEqual(len(back.bodies), 1)
            await accept(logic.urls["http"], numbered("next", 3, MIDS))
            for whose in (("10", "stalled"), ("11", "silent")):
                await self.until(logic.urls["http"], id, whose, ("expired", "left_the_window"))
            self.assertEqual(self.states(await self.fate(logic.urls["http"], id))["7", "pad"], ("acked", ""))
            await self.told_to_people(logic.urls["http"], id)

        return self.later(run)

    async def cluster(self) -> Cluster:
        cluster = Cluster(comet={"outbox_bytes": OUTBOX_BYTES}, inboxes={"count": 3})
        self.addCleanup(cluster.end)
        cluster.start_products()
        await cluster.start("comet1", "comet2", "logic1", "job1")
        return cluster

    async def enter(self, cluster: Cluster, mid: int, key: str, version: int = 2) -> RawPeer:
        """A client that acks nothing."""
        peer = await connect_raw(reactor=reactor, transport="tcp", port=cluster["comet1"].port("tcp"), ca_file="")
        self.addCleanup(self.later, peer.close)
        auth = msgspec.json.encode({"mid": mid, "key": key, "accepts": [1000]})
        await peer.send(encode(Packet(Operation.AUTH, auth, 1, version)))
        self.assertEqual(len(await peer.read(16)), 16)
        return peer

    async def stalled(self, cluster: Cluster) -> None:
        """Of version 1. As much waits for it as may; the next push is too much."""
        peer = await self.enter(cluster, 10, "stalled", version=1)
        transport: Any = peer.transport
        transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # the kernel shall not read for it
        transport.pauseProducing()
        to, waits = {"keys": ["stalled"]}, 0.0
        while waits < OUTBOX_BYTES - BODY_BYTES:
            push = {"to": to, "op": 1000, "body": "f" * BODY_BYTES}
            await accept(cluster["logic1"].urls["http"], [push])
            before, waits = -1.0, 0.0
            while waits != before:  # the kernel may take it yet
                await deferLater(reactor, 0.02)
                before, waits = waits, (await cluster["comet1"].metrics())["imd_outbox_bytes"]

    async def push(self, logic: str) -> str:
        """With a trace of the back end's; its id."""
        body = msgspec.json.encode({"to": MIDS, "op": 1000, "body": "x" * BODY_BYTES})
        answer = await http("POST", logic, "/v1/push", body, headers={"traceparent": PARENT})
        self.assertEqual(answer.status, 200, answer.body)
        return str(answer.json()["id"])

    def states(self, fate: Any) -> dict[tuple[str, str], tuple[str, str]]:
        """(member, device) -> (state, reason)."""
        return {
            (each["mid"], each.get("device", "")): (each["state"], each.get("reason", "")) for each in fate["devices"]
        }

    async def fate(self, logic: str, id: str) -> Any:
        answer = await http("GET", logic, f"/v1/messages/{id}")
        return answer.json() if answer.status == 200 else {"devices": []}

    async def settled(self, logic: str, id: str) -> Any:
        """Once everybody has been told of, and both devices have acked."""
        ends, fate = reactor.seconds() + 15, await self.fate(logic, id)
        states = self.states(fate)
        while len(states) < 6 or "acked" not in states["7", "phone"] or "acked" not in states["7", "pad"]:
            self.assertLess(reactor.seconds(), ends, fate)
            await deferLater(reactor, 0.1)
            fate = await self.fate(logic, id)
            states = self.states(fate)
        return fate

    async def until(self, logic: str, id: str, whose: tuple[str, str], wanted: tuple[str, str]) -> None:
        ends, found = reactor.seconds() + 15, None
        while found != wanted:
            self.assertLess(reactor.seconds(), ends, found)
            await deferLater(reactor, 0.1)
            found = self.states(await self.fate(logic, id)).get(whose)

    async def told_to_people(self, logic: str, id: str) -> None:
        """Each device in a line of its own, and the trace id."""
        command = Command("trace", id, "--url", logic.rstrip("/"), folder=self.folder, environ={})
        self.addCleanup(command.end)
        ended = await command.ended()
        self.assertEqual(ended.status, 0, ended.err)
        self.assertIn(TRACE_ID, ended.out)
        for line in ("member 7, phone +acked", "member 11, silent +expired"):
            self.assertRegex(ended.out, line)
