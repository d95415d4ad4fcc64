"""One client in thousands that does not read. ``make stalled`` runs it with 10,000."""

import os
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from imd.protocol.body import Auth, encode_auth
from imd.protocol.operation import Operation
from imd.protocol.packet import Packet, encode
from tests.support.audience import Audience
from tests.support.back_end import accept, bodies
from tests.support.following_client import FollowingClient, follow
from tests.support.http_call import http
from tests.support.raw_peer import RawPeer, connect_raw
from tests.support.reactor import eventually, reactor
from tests.support.system_case import SystemCase
from tests.support.twistd import Twistd

CLIENTS = int(os.environ.get("CLIENTS", "2000"))
BODY_BYTES = 4000
HELD_BYTES = BODY_BYTES + 16 + 26 + 256  # of one in an outbox: with its header of version 2, and what it is charged for
PUSHES = 5
OUTBOX_BYTES = 1 << 20
FLOOD_BYTES = 10 << 20  # more than the kernel and an outbox hold
# What a process may grow by: an outbox, what is merged and under way, and what Python keeps of it. One copy of a push for each
# client would be 40 MB more for each push, with 10,000 of them.
GROWTH_BYTES = 48 << 20
SLOW = 'imd_connections_closed_total{reason="slow_consumer"}'
DROPS = 'imd_drops_total{layer="comet",reason="%s"}'


def body(name: str, number: int) -> str:
    """Its name is in its first 16 bytes."""
    return f"{name} {number:04}".ljust(16).ljust(BODY_BYTES, ".")


class StalledTests(SystemCase):
    """``twistd imd``, and as many clients as ``CLIENTS`` says."""

    def test_keys(self) -> Deferred[None]:
        """Pushes to all keys reach all others, once; the stalled one ends as a slow consumer, and what it did not get is
        counted."""
        return self.later(self.keys)

    def test_a_room(self) -> Deferred[None]:
        """Pushes to a room that drops the oldest reach all others, once; the stalled one loses older ones, counted, stays,
        and has the newest when it reads again."""
        return self.later(self.room)

    def test_an_inbox(self) -> Deferred[None]:
        """Kept pushes: the stalled one ends as a slow consumer, comes back and has every one, in order."""
        return self.later(self.inbox)

    async def keys(self) -> None:
        imd, audience = await self.entered("live://all")
        stalled = await self.stalled(imd, "stalled")
        before = imd.rss_bytes
        rounds = 0
        while not (await imd.metrics()).get(SLOW):
            self.assertLess(rounds, 10, "it does not end")
            await self.fill(imd, {"keys": ["stalled"]})  # the kernel may have taken some more
            await self.reach(imd, audience, {"keys": [*audience.keys, "stalled"]}, f"push{rounds}")
            rounds += 1
        figures = await imd.metrics()
        self.assertEqual(figures[SLOW], 1)
        self.assertGreater(figures[DROPS % "slow_consumer"], 0)
        self.assertGreater(figures[DROPS % "outbox_lost"], 0)
        self.assert_bounded(imd, before)
        self.read_again(stalled)  # else it would not notice
        await stalled.gone

    async def room(self) -> None:
        imd, audience = await self.entered("feed://all")
        stalled = await self.stalled(imd, "stalled", "feed://all", "feed://own")
        before = imd.rss_bytes
        await self.flood(imd, {"room": "feed://own"})
        await self.reach(imd, audience, {"room": "feed://all"})
        figures = await imd.metrics()
        dropped = figures[DROPS % "outbox_oldest"]
        self.assertGreater(dropped, 100)
        self.assertFalse(stalled.gone.called)
        self.assert_bounded(imd, before)
        self.read_again(stalled)
        await eventually(lambda: body("push", PUSHES - 1).encode() in stalled.data)
        for number in range(PUSHES):
            self.assertEqual(stalled.data.count(body("push", number).encode()), 1)
        got = stalled.data.count(b"flood ")
        self.assertEqual(got + dropped, FLOOD_BYTES // BODY_BYTES)

    async def inbox(self) -> None:
        imd, audience = await self.entered("live://all")
        client = await follow(self, [imd.urls["tcp"]], mid=7, key="phone")
        await client.end()
        stalled = await self.stalled(imd, "phone", mid=7)
        before = imd.rss_bytes
        flood = await self.flood(imd, {"mids": [7]})
        await self.ends(imd, stalled)
        await self.reach(imd, audience, {"keys": audience.keys})
        self.assert_bounded(imd, before)
        back = await follow(self, [imd.urls["tcp"]], mid=7, key="phone", places=client.steady.places)
        await self.has_all(back, flood)

    async def has_all(self, client: FollowingClient, wanted: list[bytes]) -> None:
        await eventually(lambda: len(client.bodies) >= len(wanted), 30)
        self.assertEqual(([each[:16] for each in client.bodies], client.gone), ([each[:16] for each in wanted], []))

    async def entered(self, room: str) -> tuple[Twistd, Audience]:
        imd = await self.start(
            comet={"outbox_bytes": OUTBOX_BYTES, "turn_channels": 512},
            push={"max_body_bytes": BODY_BYTES},
            rooms={"feed": '{ slow_policy = "drop_oldest" }'},
            inboxes={"count": 10_000},
        )
        audience = Audience(CLIENTS - 1, port=imd.port("tcp"), room=room)
        self.addCleanup(self.later, audience.leave)
        await audience.enter()
        return imd, audience

    async def stalled(self, imd: Twistd, key: str, *rooms: str, mid: int = 0) -> RawPeer:
        """A client of version 2 that reads its op 8 and nothing more."""
        peer = await connect_raw(reactor=reactor, transport="tcp", port=imd.port("tcp"), ca_file="")
        self.addCleanup(self.later, peer.close)
        auth = encode_auth(Auth(mid=mid, key=key, accepts=(1000,), rooms=rooms))
        await peer.send(encode(Packet(Operation.AUTH, auth, 1, 2)))
        await peer.read(16)
        transport: Any = peer.transport
        transport.pauseProducing()
        return peer

    def read_again(self, peer: RawPeer) -> None:
        transport: Any = peer.transport
        transport.resumeProducing()

    async def ends(self, imd: Twistd, peer: RawPeer) -> None:
        """As a slow consumer."""
        ends = reactor.seconds() + 15
        while not (await imd.metrics()).get(SLOW):
            self.assertLess(reactor.seconds(), ends)
        self.read_again(peer)  # else it would not notice
        await peer.gone

    async def flood(self, imd: Twistd, to: dict[str, Any]) -> list[bytes]:
        """More than fits; returns when it has been handed over."""
        pushes = [{"to": to, "op": 1000, "body": body("flood", n)} for n in range(FLOOD_BYTES // BODY_BYTES)]
        await accept(imd.urls["http"], pushes)
        await self.settled(imd)
        return bodies(pushes)

    async def fill(self, imd: Twistd, to: dict[str, Any]) -> None:
        """As much as fits, but for two pushes."""
        for _ in range(FLOOD_BYTES // BODY_BYTES // 100):
            held = (await imd.metrics())["imd_outbox_bytes"]
            room = int((OUTBOX_BYTES - held) // HELD_BYTES) - 2
            if room <= 0:
                return
            self.assertFalse((await imd.metrics()).get(SLOW))
            await self.some(imd, to, min(room, 100))
            await deferLater(reactor, 0.1)  # the kernel may take it yet
        self.fail("it reads")

    async def some(self, imd: Twistd, to: dict[str, Any], count: int) -> None:
        await accept(imd.urls["http"], [{"to": to, "op": 1000, "body": body("fill", 0)}] * count)
        await self.settled(imd)

    async def settled(self, imd: Twistd) -> None:
        """Until the outcome of whatever was accepted is known."""
        figures = {"imd_broker_appended": 1.0}
        while figures["imd_broker_appended"] != figures.get("imd_broker_committed"):
            figures = await imd.metrics()

    async def reach(self, imd: Twistd, audience: Audience, to: dict[str, Any], name: str = "push") -> None:
        """All that read, within bounds that a machine with other work keeps."""
        began = reactor.seconds()
        for number in range(PUSHES):
            request = msgspec.json.encode({"to": to, "op": 1000, "body": body(name, number)})
            answer = await http("POST", imd.urls["http"], "/v1/push", request, seconds=30)
            self.assertEqual(answer.status, 200, answer.body)
        last = body(name, PUSHES - 1).encode()
        await eventually(lambda: audience.have(last) == CLIENTS - 1, 60)
        self.assertEqual([audience.have(body(name, n).encode()) for n in range(PUSHES)], [CLIENTS - 1] * PUSHES)
        print(f"\n{PUSHES} pushes to {CLIENTS} of which one is stalled: {reactor.seconds() - began:.2f} s")

    def assert_bounded(self, imd: Twistd, before: int) -> None:
        grown = imd.rss_bytes - before
        print(f"memory: {before >> 20} MiB before, {grown >> 20} more")
        self.assertLess(grown, GROWTH_BYTES)
