"""The golden bytes of both versions, through real sockets against a real comet, over all four transports."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from struct import pack, unpack
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from imd.comet.limits import Limits
from imd.errors import CloseReason
from imd.protocol.rpc import Item, Kind
from imd.protocol.timeline import Place
from tests.support.listening_comet import ListeningComet
from tests.support.raw_peer import RawPeer, connect_raw
from tests.support.reactor import reactor

AUTH = b'{"mid":123,"key":"k","room_id":"live://1000","platform":"web","accepts":[1000,1001,1002]}'
LOAD_AUTH = b'{"mid":7,"key":"","room_id":"test://1","platform":"linux","accepts":[]}'
PUSH = bytes.fromhex("00000012 0010 0001 000003e8 00000000 6869")


def packet(operation: int, body: bytes = b"", sequence: int = 1, version: int = 1) -> bytes:
    """By hand: the codec is what is tested."""
    return pack(">ihhii", 16 + len(body), 16, version, operation, sequence) + body


class GoldenTestCase(TestCase):
    """A comet for each test; ``work`` runs once over each transport."""

    def setUp(self) -> None:
        self.comet = ListeningComet(reactor=reactor, folder=Path(self.mktemp()), limits=Limits(renew_seconds=0.05))

    def over_each(self, work: Callable[[RawPeer, bool], Awaitable[None]]) -> Deferred[None]:
        async def run() -> None:
            try:
                for transport in ("tcp", "tls", "ws", "wss"):
                    peer = await self.connect(transport)
                    try:
                        await work(peer, transport in ("ws", "wss"))
                    finally:
                        await peer.close()
            finally:
                await self.comet.stop()

        return Deferred.fromCoroutine(run())

    async def connect(self, transport: str) -> RawPeer:
        return await connect_raw(
            reactor=reactor, transport=transport, port=self.comet.port(transport), ca_file=self.comet.files.ca
        )

    async def expect(self, peer: RawPeer, framed: bool, data: bytes) -> None:
        """Exactly these bytes come next, in one frame over WebSocket."""
        assert len(data) < 126
        expected = bytes([0x82, len(data)]) + data if framed else data
        self.assertEqual((await peer.read(len(expected))).hex(" "), expected.hex(" "))

    async def ask(self, peer: RawPeer, framed: bool, request: bytes, reply: bytes) -> None:
        await peer.send(request)
        await self.expect(peer, framed, reply)

    async def authenticate(self, peer: RawPeer, framed: bool) -> None:
        await self.ask(peer, framed, packet(7, AUTH), bytes.fromhex("00000010 0010 0001 00000008 00000001"))


class OperationTests(GoldenTestCase):
    """Each operation of version 1."""

    def test_auth(self) -> Deferred[None]:
        """Packets before op 7 are ignored; op 7 is answered by op 8, an empty body."""

        async def work(peer: RawPeer, framed: bool) -> None:
            await peer.send(packet(2))
            await self.authenticate(peer, framed)

        return self.over_each(work)

    def test_heartbeat(self) -> Deferred[None]:
        """Op 2 is answered by 20 bytes with how many are in the client's room, over the whole cluster."""

        async def work(peer: RawPeer, framed: bool) -> None:
            await self.authenticate(peer, framed)
            renewed = self.comet.logic.renewed["live://1000"] = Deferred()
            await renewed
            await self.comet.turn()
            request = bytes.fromhex("00000010 0010 0001 00000002 00000001")
            await self.ask(peer, framed, request, bytes.fromhex("00000014 0010 0001 00000003 00000001 00000005"))

        return self.over_each(work)

    def test_load_client(self) -> Deferred[None]:
        """goim's load client: an empty key, then heartbeats with version 0 and a growing sequence, echoed."""

        async def work(peer: RawPeer, framed: bool) -> None:
            await self.ask(peer, framed, packet(7, LOAD_AUTH, 0), packet(8, b"", 0))
            for sequence in (1, 2, 3):
                await peer.send(packet(2, b"", sequence, version=0))
                reply = await peer.read(22 if framed else 20)
                expected = pack(">ihhii", 20, 16, 0, 3, sequence)
                self.assertEqual(reply[2 if framed else 0 :][:16], expected)

        return self.over_each(work)

    def test_heartbeat_without_a_room(self) -> Deferred[None]:
        """Without a room nobody is online in it."""

        async def work(peer: RawPeer, framed: bool) -> None:
            await self.ask(peer, framed, packet(7, b"{}"), packet(8))
            await self.ask(peer, framed, packet(2), packet(3, b"\0\0\0\0"))

        return self.over_each(work)

    def test_send(self) -> Deferred[None]:
        """Op 4, and an application's own, reach the receive hook and are echoed with an empty body."""

        async def work(peer: RawPeer, framed: bool) -> None:
            await self.authenticate(peer, framed)
            for operation in (4, 1234, -1):
                await self.ask(peer, framed, packet(operation, b"hello", 9), packet(operation, b"", 9))
                hook = self.comet.logic.received.pop()
                self.assertEqual((hook.operation, hook.body, hook.mid, hook.key), (operation, b"hello", 123, "k"))

        return self.over_each(work)

    def test_change_room(self) -> Deferred[None]:
        """Op 12 is answered with its body, and from then on the new room's pushes come, and no longer the old one's."""

        async def work(peer: RawPeer, framed: bool) -> None:
            await self.authenticate(peer, framed)
            reply = bytes.fromhex("00000011 0010 0001 0000000d 00000002 61")
            await self.ask(peer, framed, bytes.fromhex("00000011 0010 0001 0000000c 00000002 61"), reply)
            await self.ask(peer, framed, packet(12, b"a", 2), reply)  # to the room that it is in
            outcomes = await self.comet.push(Item(Kind.ROOM, PUSH, room="live://1000"), Item(Kind.ROOM, PUSH, room="a"))
            self.assertEqual([outcome.delivered for outcome in outcomes.outcomes], [0, 1])
            await self.expect_push(peer, framed, PUSH)
            await self.ask(peer, framed, packet(12, b"", 3), packet(13, b"", 3))
            outcomes = await self.comet.push(Item(Kind.ROOM, PUSH, room="a"))
            self.assertEqual(outcomes.outcomes[0].delivered, 0)

        return self.over_each(work)

    async def expect_push(self, peer: RawPeer, framed: bool, packets: bytes) -> None:
        """Bare packets, or one op 9 around them."""
        await self.expect(peer, framed, packet(9, packets, 0) if framed else packets)

    def test_sub_and_unsub(self) -> Deferred[None]:
        """Op 14 adds to what is accepted, op 16 takes away; both echo."""

        async def work(peer: RawPeer, framed: bool) -> None:
            await self.authenticate(peer, framed)
            await self.ask(peer, framed, packet(14, b"5,6", 2), packet(15, b"5,6", 2))
            await self.ask(peer, framed, packet(16, b"6,1000", 3), packet(17, b"6,1000", 3))
            outcomes = await self.comet.push(
                *(Item(Kind.KEYS, packet(each, b"", 0), keys=("k",), operation=each) for each in (5, 6, 1000, 1001))
            )
            self.assertEqual([outcome.delivered for outcome in outcomes.outcomes], [1, 0, 0, 1])
            await self.expect_push(peer, framed, packet(5, b"", 0))
            await self.expect_push(peer, framed, packet(1001, b"", 0))

        return self.over_each(work)

    def test_pushes(self) -> Deferred[None]:
        """A push to a key, a room and all, and two merged: bare on TCP, op 9 on WebSocket."""

        async def work(peer: RawPeer, framed: bool) -> None:
            await self.authenticate(peer, framed)
            for item in (
                Item(Kind.KEYS, PUSH, keys=("k",), operation=1000),
                Item(Kind.ROOM, PUSH, room="live://1000"),
                Item(Kind.ALL, PUSH, operation=1000),
            ):
                outcomes = await self.comet.push(item)
                self.assertEqual(outcomes.outcomes[0].delivered, 1)
                golden = bytes.fromhex("82 22 00000022 0010 0001 00000009 00000000") if framed else b""
                self.assertEqual(await peer.read(len(golden) + 18), golden + PUSH)
            await self.comet.push(Item(Kind.ROOM, PUSH * 2, count=2, room="live://1000"))
            golden = bytes.fromhex("82 34 00000034 0010 0001 00000009 00000000") if framed else b""
            self.assertEqual(await peer.read(len(golden) + 36), golden + PUSH * 2)

        return self.over_each(work)


AT_MS = 1_700_000_000_000
AUTH_2 = b'{"mid":"7","key":"k","rooms":["live://1000"],"device":"phone","accepts":[1000]}'
LIVE_2 = bytes.fromhex(
    "00000037 0035 0002 000003e8 00000000 0000000000000007 0000000000000000 0000018bcfe56800 000b 6c6976653a2f2f31303030 6869"
)
KEPT_2 = bytes.fromhex(
    "0000002c 002a 0002 000003e8 00000000 0000000000000007 0000000000000003 0000018bcfe56800 0000 6869"
)


class Version2Tests(GoldenTestCase):
    """What only a version-2 client sees."""

    async def read_packet(self, peer: RawPeer, framed: bool) -> tuple[bytes, bytes]:
        """(header, body) of the next packet, which is no push."""
        if framed:
            size = (await peer.read(2))[1]
            if size == 126:
                await peer.read(2)
        header = await peer.read(16)
        length: int = unpack(">i", header[:4])[0]
        return header, await peer.read(length - 16)

    async def ask_2(self, peer: RawPeer, framed: bool, operation: int, body: bytes) -> Any:
        """The JSON of the answer, which has the next operation, our sequence and version."""
        await peer.send(packet(operation, body, 5, 2))
        header, answer = await self.read_packet(peer, framed)
        self.assertEqual(unpack(">hhii", header[4:]), (16, 2, operation + 1, 5))
        return json.loads(answer)

    async def authenticate(self, peer: RawPeer, framed: bool) -> None:
        reply = await self.ask_2(peer, framed, 7, AUTH_2)
        self.assertEqual((reply["key"], reply["mid"], reply["heartbeat_seconds"]), ("k", "7", 240))
        inbox, room = reply["timelines"].pop(""), reply["timelines"].pop("live://1000")
        self.assertEqual(inbox, {"seq": 0, "epoch": "e", "recovered": True})
        self.assertEqual((room["seq"], room["epoch"], room["recovered"]), (0, "", True))
        self.assertEqual(reply["timelines"], {})

    def test_pushes(self) -> Deferred[None]:
        """A live push to a room says so; a kept one says its place; the accept set is asked for neither."""

        async def work(peer: RawPeer, framed: bool) -> None:
            await self.authenticate(peer, framed)
            marks = ((7, AT_MS),)
            kept = Item(Kind.KEYS, PUSH, keys=("k",), operation=1000, marks=marks, places=(Place(1, "e"),))
            await self.comet.push(Item(Kind.ROOM, PUSH, room="live://1000", marks=marks), kept)
            for golden in (LIVE_2, KEPT_2.replace(b"\0" * 7 + b"\3", b"\0" * 7 + b"\1")):
                await self.expect(peer, framed, packet(9, golden, 0) if framed else golden)

        return self.over_each(work)

    def test_rooms(self) -> Deferred[None]:
        """In by op 32, out by op 34; what cannot be is op 48, and the connection stays."""

        async def work(peer: RawPeer, framed: bool) -> None:
            await self.authenticate(peer, framed)
            joined = await self.ask_2(peer, framed, 32, b'{"room":"live://2"}')
            self.assertEqual((joined["room"], joined["recovered"]), ("live://2", True))
            self.assertEqual(await self.ask_2(peer, framed, 34, b'{"room":"live://2"}'), {"room": "live://2"})
            await peer.send(packet(38, b'{"timeline":"live://2","after":1}', 6, 2))
            header, body = await self.read_packet(peer, framed)
            self.assertEqual(unpack(">hhii", header[4:]), (16, 2, 48, 6))
            self.assertEqual((json.loads(body)["name"], json.loads(body)["op"]), ("not_allowed", 38))
            await self.ask_2(peer, framed, 4, b'{"to":{"mid":8},"op":1000,"body":"hi"}')
            await self.ask_2(peer, framed, 44, b'{"token":"jwt"}')

        return self.over_each(work)

    def test_goodbye(self) -> Deferred[None]:
        """A body that cannot be read ends it, and it is told why."""

        async def work(peer: RawPeer, framed: bool) -> None:
            await self.authenticate(peer, framed)
            await peer.send(packet(32, b"{}", 5, 2))
            header, body = await self.read_packet(peer, framed)
            self.assertEqual(unpack(">hhii", header[4:]), (16, 2, 6, 0))
            self.assertEqual(json.loads(body), {"reason": "bad_body", "code": 4014, "reconnect": False})

        return self.over_each(work)


class EndTests(GoldenTestCase):
    """How comet ends a connection, as the client sees it."""

    async def expect_end(self, peer: RawPeer, framed: bool, reason: CloseReason) -> None:
        """WebSocket is told why, version-1 TCP is not; then the connection is over."""
        words = reason.label.encode()
        told = bytes([0x88, 2 + len(words)]) + pack(">H", reason.code) + words
        self.assertEqual(await peer.read_to_end(), told if framed else b"")

    def test_bad_token(self) -> Deferred[None]:
        """Refused by logic."""

        async def work(peer: RawPeer, framed: bool) -> None:
            await peer.send(packet(7, b'{"token":"bad"}'))
            await self.expect_end(peer, framed, CloseReason.AUTH_REFUSED)

        return self.over_each(work)

    def test_bad_packet(self) -> Deferred[None]:
        """Against the wire: the replies before it still arrive."""

        async def work(peer: RawPeer, framed: bool) -> None:
            await peer.send(packet(7, AUTH))
            await peer.send(pack(">ihhii", 16, 17, 1, 2, 1))
            await peer.send(packet(2) * 3)
            await self.expect(peer, framed, packet(8))
            await self.expect_end(peer, framed, CloseReason.BAD_HEADER_LENGTH)

        return self.over_each(work)

    def test_newer_connection_wins(self) -> Deferred[None]:
        """The older connection of a key is told that it was replaced; its loss takes nothing from the newer one."""

        async def work(peer: RawPeer, framed: bool) -> None:
            await self.authenticate(peer, framed)
            newer = await self.connect("tcp")
            await self.authenticate(newer, False)
            await self.expect_end(peer, framed, CloseReason.REPLACED)
            await peer.close()
            outcomes = await self.comet.push(Item(Kind.KEYS, PUSH, keys=("k",), operation=1000))
            self.assertEqual(outcomes.outcomes[0].delivered, 1)
            self.assertEqual(await newer.read(18), PUSH)
            await newer.close()

        return self.over_each(work)


class HandshakeTimerTests(TestCase):
    """Clients that connect and say nothing, or not enough."""

    def test_timer_covers_everything(self) -> Deferred[None]:
        """TLS handshakes, upgrades and op 7 that never come end alike; who waits for an upgrade reads 408."""

        late = b"HTTP/1.1 408 Request Timeout\r\n"
        cases = (
            ("tcp", "tcp", b""),
            ("tcp", "tls", b""),
            ("tls", "tls", b""),
            ("ws", "ws", late),
            ("tcp", "wss", b""),
            ("wss", "wss", late),
        )

        async def run() -> None:
            comet = ListeningComet(reactor=reactor, folder=Path(self.mktemp()), limits=Limits(handshake_seconds=0.1))
            try:
                await gatherResults([Deferred.fromCoroutine(self.wait(comet, *case)) for case in cases])
                self.assertEqual(comet.metrics.closed.value("handshake_timeout"), 6)
            finally:
                await comet.stop()

        return Deferred.fromCoroutine(run())

    async def wait(self, comet: ListeningComet, transport: str, wire: str, words: bytes) -> None:
        """A client of ``transport`` on the port of ``wire``, which says nothing, reads ``words`` and its end."""
        peer = await connect_raw(
            reactor=reactor, transport=transport, port=comet.port(wire), ca_file=comet.files.ca, upgraded=False
        )
        answer = await peer.read_to_end()
        self.assertTrue(answer.startswith(words), (transport, wire, answer))
        self.assertEqual(bool(answer), bool(words))
