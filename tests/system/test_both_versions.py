"""goim's clients beside those of version 2: they see the bytes that they saw before there was one."""

from struct import pack
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from imd.protocol.send import SendMessage
from tests.support.following_client import FollowingClient, follow
from tests.support.http_call import http
from tests.support.raw_peer import RawPeer, connect_raw
from tests.support.reactor import eventually, reactor
from tests.support.system_case import SystemCase
from tests.support.twistd import Twistd

ROOM = "chat://1"
AUTH_REPLY = bytes.fromhex("00000010 0010 0001 00000008 00000001")
HI = bytes.fromhex("00000012 0010 0001 000003e8 00000000 6869")
RAW = bytes.fromhex("00000022 0010 0001 00000009 00000000")


def packet(operation: int, body: bytes = b"", sequence: int = 1) -> bytes:
    """By hand."""
    return pack(">ihhii", 16 + len(body), 16, 1, operation, sequence) + body


class BothVersionsTests(SystemCase):
    """``twistd imd`` with a kept room that tells of its members, where clients of both versions are."""

    def test_bytes(self) -> Deferred[None]:
        """Over TCP and WebSocket: replies, pushes to the room, to members, keys and all, what a version-2 client sends; and
        not a byte more when others come, go, resume and ack."""

        async def run() -> None:
            imd = await self.start(
                rooms={"chat": '{ keep = true, presence_events = true, send = "joined" }'},
                comet={"renew_seconds": 0.1},
                presence={"lease_seconds": 5},
            )
            old = [await self.enter(imd, transport, mid) for mid, transport in ((5, "tcp"), (6, "ws"))]
            newer = await self.newer(imd, 5)
            await (await self.newer(imd, 8)).end()
            await self.push(imd, {"room": ROOM})
            for peer in old:
                await self.expect(peer, HI)
            await self.each_target(imd, old)
            await self.requests(old)
            await eventually(lambda: len(newer.bodies) == 5)
            await newer.steady.send(SendMessage(op=1000, body=b"hi", room=ROOM))
            for peer in old:
                await self.expect(peer, HI)
            self.assertEqual(newer.bodies, [b"hi"] * 6)
            await self.come_back(imd, newer, old)
            await self.nothing_more(imd, old)

        return self.later(run)

    async def enter(self, imd: Twistd, transport: str, mid: int) -> RawPeer:
        """As a client of goim."""
        peer = await connect_raw(reactor=reactor, transport=transport, port=imd.port(transport), ca_file="")
        self.addCleanup(self.later, peer.close)
        auth = {"mid": mid, "key": f"old{mid}", "room_id": ROOM, "platform": "web", "accepts": [1000]}
        await peer.send(packet(7, msgspec.json.encode(auth)))
        await self.expect(peer, AUTH_REPLY, pushed=False)
        return peer

    async def newer(self, imd: Twistd, mid: int, **more: Any) -> FollowingClient:
        return await follow(self, [imd.urls["tcp"]], mid=mid, key=f"new{mid}", rooms=[ROOM], **more)

    async def each_target(self, imd: Twistd, old: list[RawPeer]) -> None:
        """Member 5 is there in both versions; op 1001 is not accepted by those of version 1."""
        everybody = ({"mids": [5, 6]}, {"keys": ["old5", "old6", "new5"]}, {"all": True})
        for to in everybody:
            await self.push(imd, to, op=1001)
            await self.push(imd, to)
            for peer in old:
                await self.expect(peer, HI)

    async def requests(self, old: list[RawPeer]) -> None:
        """A heartbeat with the members of the room, a packet for the hook, rooms and accept sets."""
        await deferLater(reactor, 0.5)  # the number comes with a renewal
        for peer in old:
            for request, reply in (
                (packet(2, sequence=2), packet(3, pack(">i", 3), 2)),
                (packet(4, b"x", 3), packet(4, b"", 3)),
                (packet(32, b'{"room":"chat://2"}', 4), packet(32, b"", 4)),  # of the application, in version 1
                (packet(14, b"1000,1002", 5), packet(15, b"1000,1002", 5)),
                (packet(12, ROOM.encode(), 6), packet(13, ROOM.encode(), 6)),
            ):
                await peer.send(request)
                await self.expect(peer, reply, pushed=False)

    async def come_back(self, imd: Twistd, newer: FollowingClient, old: list[RawPeer]) -> None:
        """A version-2 client misses what those of version 1 get, and has it on its return; none of them twice."""
        await newer.end()
        await self.push(imd, {"room": ROOM})
        for peer in old:
            await self.expect(peer, HI)
        back = await self.newer(imd, 5, places=newer.steady.places)
        await eventually(lambda: back.bodies == [b"hi"])
        await deferLater(reactor, 0.5)  # its ack has gone, too
        await back.end()

    async def nothing_more(self, imd: Twistd, old: list[RawPeer]) -> None:
        """But the end."""
        stopping = Deferred.fromCoroutine(imd.stop())
        tcp, ws = [await peer.read_to_end() for peer in old]
        self.assertEqual((tcp, ws), (b"", b"\x88\x11" + (4050).to_bytes(2, "big") + b"server_stopping"))
        for peer in old:
            await peer.close()
        await stopping

    async def push(self, imd: Twistd, to: dict[str, Any], op: int = 1000) -> None:
        body = msgspec.json.encode({"to": to, "op": op, "body": "hi"})
        answer = await http("POST", imd.urls["http"], "/v1/push", body)
        self.assertEqual(answer.status, 200, answer.body)

    async def expect(self, peer: RawPeer, data: bytes, *, pushed: bool = True) -> None:
        """Exactly these bytes come next; over WebSocket in one frame, pushes in their envelope."""
        if peer.framed:
            data = RAW + data if pushed else data
            data = bytes([0x82, len(data)]) + data
        self.assertEqual((await peer.read(len(data))).hex(" "), data.hex(" "))
