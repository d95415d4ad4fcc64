"""WebSocket: the upgrade, messages to packets, frames against the RFC, and every way that the connection ends."""

import gc
from struct import pack
from typing import Any

from autobahn.twisted.websocket import WebSocketServerProtocol
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from imd.errors import CloseReason
from imd.protocol.packet import HEADER, Packet, encode
from imd.protocol.wire import Wire
from imd.transport.ending import LINGER_SECONDS
from imd.transport.websocket import WebSocketFactory
from imd.transport.websocket_upgrade import MAX_REQUEST_BYTES
from tests.support.memory_stream import MemoryStream
from tests.support.recording_session import RAISE, Admission, RecordingSession
from tests.support.websocket_bytes import (
    ACCEPT,
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    frame,
    upgrade,
)

HEARTBEAT = bytes.fromhex("00000010 0010 0001 00000002 00000001")
MAX_BODY = 200


class WebSocketTestCase(SynchronousTestCase):
    """One connection on a stream in memory."""

    origins: tuple[str, ...] = ("*",)

    def setUp(self) -> None:
        self.clock = Clock()
        self.connect()

    def connect(self, admission: Admission | None = None, **settings: Any) -> None:
        self.admission = admission or Admission()
        self.stream = MemoryStream()
        factory = WebSocketFactory(
            accept=self.admission, clock=self.clock, max_body_bytes=MAX_BODY, origins=self.origins, **settings
        )
        self.connection = factory.buildProtocol(None)
        self.connection.makeConnection(self.stream)

    def open(self) -> None:
        self.receive(upgrade())
        self.assertIn(b"101", self.stream.take())

    def receive(self, data: bytes) -> None:
        self.connection.dataReceived(data)

    def lose(self, error: type[Exception] = ConnectionDone) -> None:
        self.connection.connectionLost(Failure(error()))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    @property
    def session(self) -> RecordingSession:
        return self.admission.sessions[0]

    def assert_ended(self, reason: CloseReason) -> None:
        """A close frame with the reason was the last that was written, and the session hears it once."""
        body = pack(">H", reason.code) + reason.label.encode()
        self.assertTrue(self.stream.take().endswith(bytes([0x88, len(body)]) + body))
        self.assertTrue(self.stream.half_closed)
        self.lose()
        self.assertEqual(self.session.losses, [reason])

    def assert_refused(self, status: int, reason: CloseReason = CloseReason.BAD_WEBSOCKET) -> bytes:
        """An HTTP status was the answer, and the session hears the reason once."""
        answer = self.stream.take()
        self.assertRegex(answer, rb"^HTTP/1\.1 %d [A-Z]" % status)
        self.assertTrue(answer.endswith(b"\r\n\r\n"))
        self.assertTrue(self.stream.half_closed)
        self.lose()
        if self.admission.sessions:
            self.assertEqual(self.session.losses, [reason])
        return answer


class UpgradeTests(WebSocketTestCase):
    """From the first byte to the first frame."""

    origins: tuple[str, ...] = ("https://app.example", "https://*.pages.example")

    def test_accept_before_the_upgrade(self) -> None:
        """The session is there at once, with the peer's address: its timer covers the upgrade."""
        connection = self.session.connection
        self.assertEqual((connection.transport, connection.framed, connection.address), ("ws", True, "192.0.2.7"))
        self.lose()
        self.assertEqual(self.session.losses, [CloseReason.PEER_CLOSED])

    def test_upgrade_cut_anywhere(self) -> None:
        """The answer is RFC 6455's own example, wherever the request is cut, and the first frame may follow at once."""
        data = upgrade() + frame(HEARTBEAT)
        for cut in range(len(data) + 1):
            self.connect()
            self.receive(data[:cut])
            self.receive(data[cut:])
            answer = self.stream.take().decode()
            self.assertTrue(answer.startswith("HTTP/1.1 101 "), cut)
            self.assertIn(f"Sec-WebSocket-Accept: {ACCEPT}\r\n", answer)
            self.assertNotIn("Extensions", answer)
            self.assertEqual(self.session.packets, [Packet(2, b"", 1)], cut)

    def test_compression_is_declined(self) -> None:
        """A client that offers compression goes on without: it costs 100 KB a connection."""
        self.receive(upgrade(Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits"))
        answer = self.stream.take()
        self.assertIn(b"101", answer)
        self.assertNotIn(b"deflate", answer)

    def test_other_path(self) -> None:
        """Only one path is served."""
        for path in ("/", "/subs", "/sub/x", "/SUB"):
            self.connect()
            self.receive(upgrade(path))
            self.assert_refused(404)

    def test_plain_requests(self) -> None:
        """A request that is no upgrade gets the status that says what would be right."""
        plain = b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"
        for request, status in (
            (plain % b"/sub", 426),
            (plain % b"/", 404),
            (upgrade(method="POST"), 405),
            (b"GET /sub HTTP/1.0\r\n\r\n", 505),
        ):
            self.connect()
            self.receive(request)
            self.assert_refused(status)

    def test_bad_upgrades(self) -> None:
        """An upgrade against the RFC is a bad request; nothing of it is in the answer."""
        for request in (
            upgrade(drop="Host"),
            upgrade(drop="Connection"),
            upgrade(drop="Sec-WebSocket-Key"),
            upgrade(drop="Sec-WebSocket-Version"),
            upgrade(Sec_WebSocket_Version="12"),
            upgrade(Sec_WebSocket_Version="evil"),
            upgrade(Sec_WebSocket_Key="evil"),
            upgrade(Upgrade="evil"),
            upgrade(Sec_WebSocket_Extensions="permessage-deflate; evil=1"),
            upgrade(Sec_WebSocket_Protocol="evil, evil"),
            b"evil\r\n\r\n",
            b"GET \xff\xfe evil \x00\r\n\r\n",
            b"GET /sub HTTP/1.1\r\nevil\r\n\r\n",
        ):
            self.connect()
            self.receive(request)
            self.assertNotIn(b"evil", self.assert_refused(400), request)
            self.assertEqual([reason for reason, _ in self.session.failures], [CloseReason.BAD_WEBSOCKET])

    def test_endless_request(self) -> None:
        """A request without an end is refused when it is too long, not kept."""
        self.receive(b"GET /sub HTTP/1.1\r\n")
        self.receive(b"X: " + b"x" * MAX_REQUEST_BYTES)
        self.assert_refused(431)
        self.assertEqual(self.connection._request, b"")

    def test_whole_request_over_the_limit(self) -> None:
        """The limit is the same for a request that comes in one read."""
        self.receive(upgrade(Cookie="x" * MAX_REQUEST_BYTES))
        self.assert_refused(431)

    def test_origins(self) -> None:
        """A page may connect when its origin is listed; who sends none is no page."""
        cases = {
            "https://app.example": 101,
            "HTTPS://APP.example": 101,
            "https://a.b.pages.example": 101,
            "https://pages.example": 403,
            "https://appxexample": 403,
            "https://app.example.evil": 403,
            "https://evil/.pages.example": 403,
            "http://app.example": 403,
            "null": 403,
        }
        for origin, status in cases.items():
            self.connect()
            self.receive(upgrade(Origin=origin))
            self.assertEqual(int(self.stream.take()[9:12]), status, origin)
        self.connect()
        self.open()

    def test_any_origin(self) -> None:
        """An asterisk alone lets every page in, local files too."""
        self.origins = ("*",)
        for origin in ("https://anything.example", "null", "file:///x"):
            self.connect()
            self.receive(upgrade(Origin=origin))
            self.assertEqual(int(self.stream.take()[9:12]), 101, origin)

    def test_forwarded_addresses_are_not_believed(self) -> None:
        """A client cannot choose its address."""
        self.receive(upgrade(X_Forwarded_For="203.0.113.9"))
        self.assertEqual(self.session.connection.address, "192.0.2.7")

    def test_close_before_the_upgrade(self) -> None:
        """Who must go before the upgrade hears an HTTP status that fits."""
        for reason, status in (
            (CloseReason.SERVER_FULL, 503),
            (CloseReason.SERVER_STOPPING, 503),
            (CloseReason.ADDRESS_LIMIT, 429),
            (CloseReason.HANDSHAKE_TIMEOUT, 408),
            (CloseReason.INTERNAL_ERROR, 500),
        ):
            self.connect()
            self.receive(b"GET /su")
            self.session.connection.close(reason)
            self.receive(b"b HTTP/1.1\r\n\r\n")
            self.assert_refused(status, reason)

    def test_refused(self) -> None:
        """A refused client is told so, by comet's reason or by default."""
        self.connect(Admission(CloseReason.ADDRESS_LIMIT))
        self.receive(upgrade())
        self.assert_refused(429)
        self.admission = lambda connection: None  # type: ignore[assignment]  # one that forgets to close
        self.connect(self.admission)
        self.assertTrue(self.stream.take().startswith(b"HTTP/1.1 503 "))
        self.lose()


class MessageTests(WebSocketTestCase):
    """After the upgrade: messages, fragments, control frames."""

    def setUp(self) -> None:
        super().setUp()
        self.open()

    def again(self) -> None:
        self.connect()
        self.open()

    def test_text_and_binary(self) -> None:
        """A message is one packet, in text as in binary, UTF-8 or not."""
        packet = Packet(1000, b"\xff\x00", 3)
        self.receive(frame(encode(packet), TEXT) + frame(encode(packet), BINARY))
        self.assertEqual(self.session.packets, [packet, packet])

    def test_frames_cut_anywhere(self) -> None:
        """A fragmented message with a ping inside arrives, wherever the stream is cut."""
        data = (
            frame(HEARTBEAT[:3], final=False)
            + frame(b"", CONTINUATION, final=False)
            + frame(b"hi", PING)
            + frame(HEARTBEAT[3:], CONTINUATION)
            + frame(encode(Packet(4, b"x" * 150)))
        )
        for cut in range(len(data) + 1):
            self.again()
            self.receive(data[:cut])
            self.receive(data[cut:])
            self.assertEqual(self.session.packets, [Packet(2, b"", 1), Packet(4, b"x" * 150)], cut)
            self.assertEqual(self.stream.take(), b"\x8a\x02hi")
        self.again()
        for at in range(len(data)):
            self.receive(data[at : at + 1])
        self.assertEqual(len(self.session.packets), 2)

    def test_messages_that_are_no_packet(self) -> None:
        """A message must be exactly one packet; what is announced beyond it is never read."""
        for message, reason in (
            (b"", CloseReason.MESSAGE_LENGTH_MISMATCH),
            (HEARTBEAT[:15], CloseReason.MESSAGE_LENGTH_MISMATCH),
            (HEARTBEAT * 2, CloseReason.MESSAGE_LENGTH_MISMATCH),
            (HEADER.pack(100, 16, 1, 4, 1) + b"x", CloseReason.MESSAGE_LENGTH_MISMATCH),
            (HEADER.pack(16, 18, 1, 4, 1), CloseReason.BAD_HEADER_LENGTH),
            (HEADER.pack(-5, 16, 1, 4, 1), CloseReason.BAD_PACKET_LENGTH),
            (HEADER.pack(16 + MAX_BODY + 1, 16, 1, 4, 1), CloseReason.PACKET_TOO_LARGE),
        ):
            self.again()
            self.receive(frame(message) + frame(HEARTBEAT))
            self.assertEqual(self.session.packets, [])
            self.assert_ended(reason)

    def test_too_large(self) -> None:
        """A frame, or fragments together, over the limit end the connection at the header, before the bytes come."""
        largest = encode(Packet(4, b"x" * MAX_BODY))
        self.receive(frame(largest))
        self.assertEqual(len(self.session.packets), 1)
        announced = b"\x82\xff" + pack(">Q", 1 << 62) + b"abcd"
        for data in (frame(largest + b"x")[:8], announced, frame(largest, final=False) + frame(b"x", CONTINUATION)):
            self.again()
            self.receive(data)
            self.assertEqual(self.session.packets, [])
            self.assert_ended(CloseReason.PACKET_TOO_LARGE)

    def test_frames_against_the_rfc(self) -> None:
        """Each ends the connection with its close frame."""
        for data in (
            frame(HEARTBEAT, masked=False),
            frame(HEARTBEAT, reserved=4),
            frame(HEARTBEAT, 3),
            frame(HEARTBEAT, 11),
            frame(b"", CONTINUATION),
            frame(HEARTBEAT[:3], final=False) + frame(HEARTBEAT),
            frame(b"x", PING, final=False),
            frame(b"x" * 126, PING),
            frame(b"x", CLOSE),
            frame(pack(">H", 1005), CLOSE),
            frame(pack(">H", 1000) + b"\xff", CLOSE),
            b"\x82\xfe\x00\x10abcd" + HEARTBEAT,
            b"\x82\xff" + b"\xff" * 8 + b"abcd",
        ):
            self.again()
            self.receive(data + frame(HEARTBEAT))
            self.assertEqual(self.session.packets, [], data)
            self.assert_ended(CloseReason.BAD_WEBSOCKET)

    def test_peer_closes(self) -> None:
        """A client's close frame is answered; it was the client that ended it."""
        for body in (b"", pack(">H", 1001) + b"going"):
            self.again()
            self.receive(frame(body, CLOSE) + frame(HEARTBEAT))
            self.assertRegex(self.stream.take(), rb"^\x88[\x00\x02]")
            self.assertTrue(self.stream.half_closed)
            self.lose()
            self.assertEqual((self.session.packets, self.session.losses), ([], [CloseReason.PEER_CLOSED]))
            self.assertEqual(self.session.failures, [(CloseReason.PEER_CLOSED, "")])  # heard before the loss

    def test_close_frame(self) -> None:
        """The session's reason travels as code and label; nothing is read after it, and later words are dropped."""
        self.session.close_after = 1
        self.receive(frame(HEARTBEAT) * 3)
        self.session.connection.write(Wire(HEARTBEAT).frame)
        self.receive(frame(HEARTBEAT))
        self.assertEqual(len(self.session.packets), 1)
        self.assert_ended(CloseReason.RATE_LIMITED)

    def test_linger(self) -> None:
        """A peer that does not hang up is cut."""
        self.session.connection.close(CloseReason.SLOW_CONSUMER)
        self.clock.advance(LINGER_SECONDS)
        self.assertTrue(self.stream.aborted)
        self.lose(ConnectionLost)
        self.assertEqual(self.session.losses, [CloseReason.SLOW_CONSUMER])

    def test_loss(self) -> None:
        """A reset is the network's doing."""
        self.lose(ConnectionLost)
        self.assertEqual(self.session.losses, [CloseReason.PEER_LOST])

    def test_order_of_writes(self) -> None:
        """Ready frames and control frames leave in the order of the calls."""
        golden = bytes.fromhex("8222 00000022 0010 0001 00000009 00000000 00000012 0010 0001 000003e8 00000000 6869")
        wire = Wire(encode(Packet(1000, b"hi")))
        self.session.connection.write(wire.frame)
        self.receive(frame(b"1", PING))
        self.session.connection.write(wire.frame)
        self.assertEqual(self.stream.take(), golden + b"\x8a\x011" + golden)

    def test_pings_without_end(self) -> None:
        """While the kernel has enough no ping is answered, so that a client that never reads costs no memory; then the last."""
        producer = self.stream.producer
        assert producer is not None
        producer.pauseProducing()
        self.receive(frame(b"x" * 125, PING) * 1000 + frame(b"x", PONG) * 1000 + frame(b"z", PING))
        self.assertEqual(self.stream.take(), b"")
        producer.resumeProducing()
        self.receive(frame(b"y", PING))
        self.assertEqual(self.stream.take(), b"\x8a\x01z" + b"\x8a\x01y")
        self.assertEqual(self.session.writing, ["pause", "resume"])

    def test_frames_that_are_no_packets(self) -> None:
        """The session counts each of them, and nothing is done for the one at which it ends, nor behind it."""
        self.session.frames_allowed = 4
        frames = (
            frame(b"1", PING),
            frame(b"", PONG),
            frame(HEARTBEAT[:3], final=False),
            frame(b"", CONTINUATION, final=False),
        )
        self.receive(b"".join(frames) + frame(HEARTBEAT[3:], CONTINUATION))
        self.assertEqual((self.session.frames, len(self.session.packets)), (4, 1))
        self.receive(frame(b"2", PING) * 10 + frame(HEARTBEAT))
        self.receive(frame(b"3", PING))
        self.assertEqual((self.session.frames, len(self.session.packets)), (5, 1))
        self.assertEqual(self.stream.take(), b"\x8a\x011" + pack(">BBH", 0x88, 14, 4041) + b"rate_limited")

    def test_a_pong_too_much(self) -> None:
        """The pong that waited fills the kernel again: the session is not told to go on until that is gone."""
        producer = self.stream.producer
        assert producer is not None
        producer.pauseProducing()
        self.receive(frame(b"z", PING))
        self.patch(self.stream, "write", lambda data: producer.pauseProducing())
        producer.resumeProducing()
        self.assertEqual(self.session.writing, ["pause", "pause"])
        producer.resumeProducing()
        self.assertEqual(self.session.writing, ["pause", "pause", "resume"])

    def test_fragments_without_end(self) -> None:
        """Empty fragments are not remembered."""
        self.receive(frame(b"", final=False))
        self.receive(frame(b"", CONTINUATION, final=False) * 5000)
        assert self.connection._decoder is not None
        self.assertEqual(self.connection._decoder.buffered_bytes, 0)

    def test_bug_costs_one_connection(self) -> None:
        """An exception of the session is logged and ends its connection by name."""
        self.receive(frame(encode(Packet(RAISE))) + frame(HEARTBEAT))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(len(self.session.packets), 1)
        self.assertEqual(self.session.failures, [(CloseReason.INTERNAL_ERROR, "")])
        self.assert_ended(CloseReason.INTERNAL_ERROR)

    def test_nothing_stays(self) -> None:
        """Between two messages a connection holds no bytes and no decoder, and nothing of the upgrade."""
        self.receive(frame(HEARTBEAT, final=False))
        self.receive(frame(b"", CONTINUATION))
        self.assertEqual((self.connection._request, self.connection._decoder), (b"", None))
        self.assertFalse(any(isinstance(each, WebSocketServerProtocol) for each in gc.get_objects()))
