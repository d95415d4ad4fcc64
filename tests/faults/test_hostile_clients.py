"""Clients that mean harm, against a running `twistd imd` with low limits. A bystander must notice nothing."""

import contextlib
import json
import ssl
import struct
import threading
import time
from pathlib import Path
from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from imd.protocol.packet import Packet, encode, walk
from tests.faults.imd_process import ImdProcess, eventually, read_to_end
from tests.faults.plain_client import PlainClient
from tests.support.certificates import make_certificates
from tests.support.websocket_bytes import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, frame, upgrade

HEARTBEAT, SEND, AUTH, AUTH_REPLY, RAW, CHANGE_ROOM, SUB, UNSUB = 2, 4, 7, 8, 9, 12, 14, 16
BEAT = encode(Packet(HEARTBEAT, b"", 1))
HANDSHAKE_SECONDS = 1.0


class HostileClientCase(SynchronousTestCase):
    """One process for all; it must be the same size, and have logged no traceback, when they are through."""

    imd: ClassVar[ImdProcess]
    bystander: ClassVar[PlainClient]
    SETTINGS: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def setUpClass(cls) -> None:
        folder = Path(cls.__name__).absolute()
        cls.imd = ImdProcess(
            folder,
            f"comet.handshake_seconds={HANDSHAKE_SECONDS}",
            "comet.outbox_bytes=262144",
            "comet.room_linger_seconds=0.5",
            "comet.renew_seconds=0.5",
            *cls.SETTINGS,
        )
        cls.bystander = PlainClient(cls.imd.ports["tcp"], seconds=3)
        cls.bystander.auth(key="bystander", room_id="live://by", accepts=[1000])

    @classmethod
    def tearDownClass(cls) -> None:
        cls.bystander.close()
        log = cls.imd.stop()
        assert "Traceback" not in log, log
        assert "\x1b" not in log and "FORGED" not in log, log

    def tearDown(self) -> None:
        """Answered at once, whatever went on."""
        self.bystander.stream.sendall(BEAT)
        self.assertEqual(self.bystander.read().body, b"\0\0\0\1")

    def client(self, framed: bool = False, receive_buffer: int = 0, **auth: Any) -> PlainClient:
        port = self.imd.ports["ws" if framed else "tcp"]
        client = PlainClient(port, framed=framed, receive_buffer=receive_buffer)
        self.addCleanup(client.close)
        if auth:
            self.assertEqual(client.auth(**auth).operation, AUTH_REPLY)
        return client

    def raw(self, port: str, data: bytes) -> bytes:
        """What comes back until the end."""
        with self.imd.connect(port, 8) as stream:
            stream.sendall(data)
            return read_to_end(stream)

    def closed(self, reason: str) -> float:
        return self.imd.metric("imd_connections_closed_total", reason=reason)


class HandshakeTests(HostileClientCase):
    def test_slow_ones(self) -> None:
        """Whoever has not shown op 7 in time is let go: silent, with half a header, half an upgrade, a byte at a time."""
        cases = [("tcp", b""), ("tcp", BEAT[:7]), ("tcp", BEAT), ("ws", b""), ("ws", upgrade()[:40]), ("ws", upgrade())]
        streams = [self.imd.connect(port) for port, _ in cases]
        began = time.monotonic()
        for stream, (_, data) in zip(streams, cases, strict=True):
            stream.sendall(data)
        dripping = self.imd.connect("ws")
        with contextlib.suppress(ConnectionError):
            for byte in upgrade(Cookie="x" * 300)[:250]:
                dripping.sendall(bytes([byte]))
                time.sleep(0.01)
        self.assertIn(b"408 Request Timeout", read_to_end(dripping))
        answers = [read_to_end(stream) for stream in streams]
        self.assertLess(time.monotonic() - began, HANDSHAKE_SECONDS + 4)
        self.assertEqual(answers[:3], [b""] * 3)
        self.assertTrue(all(b"408 Request Timeout" in answer for answer in answers[3:5]), answers)
        self.assertTrue(answers[5].endswith(b"\x88\x13\x0f\xa2handshake_timeout"), answers[5])
        for stream in (*streams, dripping):
            stream.close()

    def test_upgrades_that_are_none(self) -> None:
        """Each has its status, and nothing of the request is in the answer."""
        good = upgrade()
        for status, request in (
            (400, upgrade(drop="Sec-WebSocket-Key")),
            (400, upgrade(Sec_WebSocket_Key="short")),
            (400, upgrade(Sec_WebSocket_Version="13\x1b[31mFORGED")),
            (400, upgrade(drop="Host")),
            (404, upgrade("/\x1b[31mFORGED%0a2026-01-01T00:00:00.000Z%20x")),
            (404, upgrade("/sub/")),
            (404, upgrade("/%73ub")),
            (404, good.replace(b"Upgrade: websocket\r\n", b"").replace(b"/sub", b"/metrics")),
            (405, upgrade(method="POST")),
            (405, upgrade(method="TRACE")),
            (431, upgrade(Cookie="x" * 70_000)),
            (505, good.replace(b"HTTP/1.1", b"HTTP/1.0")),
            (400, good.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")),
            (400, b"GET /sub HTTP/1.1\r\nno colon\r\n\r\n"),
            (400, b"PROXY TCP4 192.0.2.1 192.0.2.1 5 6\r\n" + good),
        ):
            answer = self.raw("ws", request)
            self.assertEqual((answer.split(b" ")[1], b"FORGED" in answer), (str(status).encode(), False), request[:80])

    def test_body_in_the_upgrade(self) -> None:
        """Its bytes are no frames: the connection ends."""
        self.assertIn(b"bad_websocket", self.raw("ws", upgrade(Content_Length="5") + b"hello"))

    def test_op_7_of_wrong_kinds(self) -> None:
        """Every one ends its connection with bad_body, without a word to a version-1 client."""
        bodies: list[bytes] = [
            *(b"", b" ", b"null", b"[]", b'"x"', b"{} {}", b"\xef\xbb\xbf{}", "{}".encode("utf-16"), b'{"key":"\xff"}'),
            *(
                b"[" * 4000,
                b'{"a":' * 800,
                b'{"mid":' + b"9" * 4000 + b"}",
            ),
            *(b'{"mid":NaN}', b'{"mid":1.0}', b'{"mid":1e3}', b'{"mid":1e999}', b'{"mid":"1"}', b'{"mid":true}'),
            *(
                b'{"mid":9223372036854775808}',
                b'{"key":1}',
                b'{"key":["a"]}',
                b'{"key":"\\ud800"}',
                b'{"key":"\xed\xa0\x80"}',
            ),
            *(b'{"accepts":[2147483648]}', b'{"accepts":[null]}', b'{"accepts":[true]}', b'{"accepts":{}}'),
            json.dumps({"accepts": [1] * 1001}, separators=(",", ":")).encode(),
            json.dumps({"key": "é" * 65}).encode(),
            json.dumps({"room_id": "t" * 255 + "://"}).encode(),
        ]
        before = self.closed("bad_body")
        for body in bodies:
            client = self.client()
            client.send(AUTH, body)
            self.assertEqual(client.ended(), b"", body[:40])
        self.assertEqual(self.closed("bad_body"), before + len(bodies))

    def test_odd_names(self) -> None:
        """Keys and rooms may hold what Redis, ZooKeeper, terminals and logs find special; pushes find them all the same."""
        names = [
            "a:{b}*?[x]",
            "../..",
            "a/b/../c",
            "a b",
            "\n2026-01-01 info FORGED\x1b[31m",
            "\0",
            "😀",
            "%s{0}{key}",
            "'\";--",
        ]
        for name in names:
            client = self.client(key=name, room_id=f"live://{name}", accepts=[1000])
            for to in ({"keys": [name]}, {"room": f"live://{name}"}):
                push = json.dumps({"to": to, "op": 1000, "body": "hi"}).encode()
                self.assertEqual(self.imd.post("/v1/push", push)[0], 200)
                self.assertEqual(client.read().body, b"hi", name)
            self.assertEqual(client.change_room(f"x://{name}").body, f"x://{name}".encode())
            client.close()

    def test_duplicate_fields(self) -> None:
        """The last counts, as in Go, whatever its case."""
        client = self.client()
        client.send(AUTH, b'{"key":"first","KEY":"second","accepts":[1],"Accepts":[1000]}')
        self.assertEqual(client.read().operation, AUTH_REPLY)
        self.imd.post("/goim/push/keys?operation=1000&keys=first", b"no")
        self.imd.post("/goim/push/keys?operation=1000&keys=second", b"yes")
        self.assertEqual(client.read().body, b"yes")

    def test_op_7_again(self) -> None:
        """Changes nothing."""
        client = self.client(key="once", accepts=[1000])
        client.send(AUTH, b'{"key":"other","accepts":[7]}', sequence=9)
        self.assertEqual(client.read(), Packet(AUTH, b"", 9))
        self.imd.post("/goim/push/keys?operation=1000&keys=once", b"hi")
        self.assertEqual(client.read().body, b"hi")


class OpenSessionTests(HostileClientCase):
    def test_junk_in_accept_sets_and_rooms(self) -> None:
        """What is no list of int32s, or no room id, ends the connection."""
        junk = [
            b",",
            b"1,",
            b" 1",
            b"+-1",
            b"0x10",
            b"1_0",
            "١".encode(),
            b"9" * 4000,
            b"2147483648",
            b"1;2",
            b"\0",
            b"\xff",
        ]
        cases = [(operation, body) for operation in (SUB, UNSUB) for body in (*junk, b"1," * 1001)]
        cases += [(CHANGE_ROOM, body) for body in (b"\xff", b"\xed\xa0\x80", b"x" * 256)]
        for operation, body in cases:
            client = self.client(key="junk")
            client.send(operation, body)
            self.assertEqual(client.ended(), b"", (operation, body[:20]))

    def test_accept_sets_are_bounded(self) -> None:
        """A thousand in all, however they come."""
        client = self.client(key="greedy", accepts=list(range(600)))
        client.send(SUB, ",".join(map(str, range(600, 1000))).encode())
        self.assertEqual(client.read().operation, SUB + 1)
        client.send(SUB, b"1000")
        self.assertEqual(client.ended(), b"")

    def test_packet_flood(self) -> None:
        """Beyond the burst the client is let go."""
        before = self.closed("rate_limited")
        for data in (BEAT, encode(Packet(SEND, b"x", 1)), encode(Packet(CHANGE_ROOM, b"live://x", 1))):
            client = self.client(key="flood")
            with contextlib.suppress(ConnectionError):
                client.stream.sendall(data * 2000)
            client.ended()
        self.assertEqual(self.closed("rate_limited"), before + 3)

    def test_room_storm(self) -> None:
        """Rooms that nobody else is in are bounded by the rate, and all of them are gone soon after."""
        clients = [self.client(key=f"storm-{number}") for number in range(10)]
        changes = 0
        for client in clients:
            with contextlib.suppress(EOFError, ConnectionError):
                while client.change_room(f"live://storm-{changes:0200d}").body:
                    changes += 1
        self.assertLess(changes, 10 * 40)
        top = "/goim/online/top?type=live&limit=9"
        eventually(lambda: self.imd.metric("imd_rooms") == 1)
        eventually(lambda: json.loads(self.imd.get(top)[1])["data"] == [{"room_id": "by", "count": 1}])

    def test_frames_against_the_rfc(self) -> None:
        """Each ends the connection with a close frame that says so."""
        for data in (
            frame(BEAT, masked=False),
            *(frame(BEAT, reserved=bits) for bits in (1, 2, 4)),
            *(frame(BEAT, opcode) for opcode in (3, 7, 11, 15)),
            frame(BEAT, CONTINUATION),
            frame(BEAT, final=False) + frame(BEAT),
            frame(b"x", PING, final=False),
            frame(b"x" * 126, PING),
            b"\x82\xff" + struct.pack(">Q", 1 << 63) + b"mask",
            b"\x82\xff" + struct.pack(">Q", 16) + bytes(4) + BEAT,
            *(frame(struct.pack(">H", code) + b"bye", CLOSE) for code in (0, 999, 1004, 1005, 1006, 1015, 5000, 65535)),
            frame(b"x", CLOSE),
            frame(b"\x03\xe8\xff\n\x1b[31mFORGED", CLOSE),
        ):
            client = self.client(framed=True, key="rfc")
            client.stream.sendall(data)
            self.assertEqual(client.ended(), b"\x88\x0f\x0f\xafbad_websocket", data[:20])

    def test_announced_lengths(self) -> None:
        """A frame of a terabyte is refused from its header."""
        client = self.client(framed=True, key="long")
        client.stream.sendall(b"\x82\xff" + struct.pack(">Q", 1 << 40) + b"mask")
        self.assertIn(b"packet_too_large", client.ended())

    def test_good_ends_and_text(self) -> None:
        """A client may say 1000 or 3000, and send packets as text that is no UTF-8."""
        for code in (1000, 3000, 4999):
            client = self.client(framed=True, key="good")
            client.stream.sendall(frame(encode(Packet(HEARTBEAT, b"\xff", 1)), TEXT))
            self.assertEqual(client.read().operation, HEARTBEAT + 1)
            client.stream.sendall(frame(struct.pack(">H", code) + b"bye", CLOSE))
            self.assertEqual(client.read_frame()[0], CLOSE)
            client.ended()

    def test_fragments_and_pings(self) -> None:
        """A message of some is still one. Who sends tens of thousands is let go, and memory stays, though he does not read."""
        client = self.client(framed=True, key="fragments")
        empty = frame(b"", CONTINUATION, final=False)
        client.stream.sendall(frame(BEAT[:5], BINARY, final=False) + empty * 50 + frame(BEAT[5:], CONTINUATION))
        self.assertEqual(client.read().operation, HEARTBEAT + 1)
        before, ended = self.imd.rss_kb, self.closed("rate_limited")
        floods = {
            "pings": frame(b"x" * 125, PING) * 20_000,
            "pongs": frame(b"x" * 125, PONG) * 20_000,
            "fragments": frame(BEAT[:5], BINARY, final=False) + empty * 20_000,
        }
        for name, data in floods.items():
            client = self.client(framed=True, receive_buffer=4096, key=f"flood-{name}")
            with contextlib.suppress(ConnectionError):
                client.stream.sendall(data)
        eventually(lambda: self.closed("rate_limited") == ended + 3)
        self.assertLess(self.imd.rss_kb - before, 8_000)


class MemoryTests(HostileClientCase):
    SETTINGS = ('rooms.score={ slow_policy = "latest_only" }', "comet.max_body_bytes=100000")

    def test_reader_that_never_reads(self) -> None:
        """Its outbox is bounded, then it goes as slow_consumer; the room's other members miss nothing."""
        deaf = [
            self.client(framed=framed, receive_buffer=4096, key=f"deaf-{framed}", room_id="live://deaf")
            for framed in (False, True)
        ]
        good = self.client(key="good", room_id="live://deaf")
        before = self.imd.rss_kb
        slow = self.closed("slow_consumer")
        for number in range(300):
            self.imd.post("/goim/push/room?operation=1000&type=live&room=deaf", b"%05d" % number + b"x" * 60_000)
            self.assertEqual(good.read().body[:5], b"%05d" % number)
        self.assertEqual(self.closed("slow_consumer"), slow + len(deaf))
        self.assertLess(self.imd.rss_kb - before, 20_000)

    def test_reader_that_reads_late(self) -> None:
        """In a room of a type with a policy of its own it stays, and when it reads it gets whole packets, the newest last."""
        late = [
            self.client(framed=framed, receive_buffer=4096, key=f"late-{framed}", room_id="score://late")
            for framed in (False, True)
        ]
        good = self.client(key="good", room_id="score://late")
        slow = self.closed("slow_consumer")
        for number in range(300):
            self.imd.post("/goim/push/room?operation=1000&type=score&room=late", b"%05d" % number + b"x" * 60_000)
            self.assertEqual(good.read().body[:5], b"%05d" % number)
        for client in late:
            numbers: list[int] = []
            while 299 not in numbers:
                packet = client.read()
                inner = list(walk(packet.body)) if packet.operation == RAW else [packet]
                self.assertEqual({each.body[5:] for each in inner}, {b"x" * 60_000})
                numbers += [int(each.body[:5]) for each in inner]
            self.assertEqual(numbers, sorted(set(numbers)))
            self.assertLess(len(numbers), 300)
        self.assertEqual(self.closed("slow_consumer"), slow)

    def test_large_packets_that_wait(self) -> None:
        """Where they are allowed, some may wait behind op 7."""
        client = self.client()
        packets = [encode(Packet(AUTH, b"{}", 0)), *(encode(Packet(SEND, b"x" * 100_000, n)) for n in range(1, 6))]
        client.stream.sendall(b"".join(packets))
        self.assertEqual([client.read().sequence for _ in packets], list(range(6)))

    def test_storm_of_connections(self) -> None:
        """Thousands come and go in every state; presence, rooms, admission and memory are as before."""
        self.storm(200)
        before = self.settled()
        self.storm(600)
        self.assertLess(self.settled() - before, 6_000)

    def storm(self, each: int) -> None:
        threads = [threading.Thread(target=self.come_and_go, args=(each, start)) for start in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def come_and_go(self, times: int, start: int) -> None:
        for number in range(start, start + times):
            framed = bool(number % 2)
            if number % 5 == 0:
                self.imd.connect("ws" if framed else "tcp").close()
                continue
            client = PlainClient(self.imd.ports["ws" if framed else "tcp"], framed=framed)
            auth = {"key": f"storm-{number % 50}", "mid": number % 7, "room_id": f"live://{number % 20}"}
            if number % 3:
                client.send(AUTH, json.dumps(auth).encode())
                if number % 3 == 1:
                    with contextlib.suppress(EOFError, ConnectionError):  # another has its key already
                        client.read()
            (client.reset if number % 4 else client.close)()

    def settled(self) -> int:
        """Resident memory once only the bystander is there for everybody who counts."""
        one = {"ip_count": 1, "conn_count": 1}
        eventually(lambda: self.imd.metric("imd_connections") == 1 == self.imd.metric("imd_channels"))
        eventually(lambda: self.imd.metric("imd_rooms") == 1)
        eventually(lambda: json.loads(self.imd.get("/goim/online/total")[1])["data"] == one)
        top = "/goim/online/top?type=live&limit=99"
        eventually(lambda: json.loads(self.imd.get(top)[1])["data"] == [{"room_id": "by", "count": 1}])
        dropped = self.imd.metric("imd_drops_total", reason="not_connected")
        keys = "&".join(f"keys=storm-{number}" for number in range(50))
        self.imd.post(f"/goim/push/keys?operation=1000&{keys}", b"x")
        eventually(lambda: self.imd.metric("imd_drops_total", reason="not_connected") == dropped + 50)
        return self.imd.rss_kb


class TlsTests(SynchronousTestCase):
    def test_stalled_and_broken_handshakes(self) -> None:
        """A TLS handshake has the handshake's time; garbage ends it, and others are served meanwhile."""
        folder = Path("hostile-tls").absolute()
        folder.mkdir()
        files = make_certificates(folder)
        imd = ImdProcess(
            folder / "imd",
            f"comet.certificate={files.cert}",
            f"comet.private_key={files.key}",
            f"comet.handshake_seconds={HANDSHAKE_SECONDS}",
            host={"comet.tls": "127.0.0.1:0", "comet.websocket_tls": "127.0.0.1:0"},
        )
        self.addCleanup(imd.stop)
        began = time.monotonic()
        stalled = [imd.connect(port) for port in ("tls", "wss") for _ in range(20)]
        for stream in stalled[::2]:
            stream.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100))
        for port in ("tls", "wss"):
            with imd.connect(port) as stream:
                stream.sendall(b"GET / HTTP/1.1\r\n\r\n" + bytes(1000))
                read_to_end(stream)
        context = ssl.create_default_context(cafile=str(files.ca))
        with context.wrap_socket(imd.connect("tls"), server_hostname="localhost") as good:
            good.sendall(encode(Packet(AUTH, b"{}", 1)))
            self.assertEqual(next(walk(good.recv(16))).operation, AUTH_REPLY)
            for stream in stalled:
                read_to_end(stream)
                stream.close()
            self.assertLess(time.monotonic() - began, HANDSHAKE_SECONDS + 7)
            good.sendall(BEAT)
            self.assertEqual(len(good.recv(20)), 20)
        eventually(lambda: imd.metric("imd_connections") == 0)
        self.assertNotIn("Traceback", imd.stop())
