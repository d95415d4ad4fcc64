"""The client's WebSocket link on a stream in memory; test_dial has it on sockets."""

import base64
import hashlib
import re
from struct import pack

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from imd.client.client import Client
from imd.client.core import MAX_PACKET_BODY_BYTES, Pushed
from imd.errors import AuthRefused, CloseReason, PeerUnavailable
from imd.protocol.packet import HEADER_BYTES, Packet, encode
from imd.protocol.wire import Wire
from imd.transport.client_websocket import ClientWebSocket, client_factory
from tests.support.memory_stream import MemoryStream

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 §1.3


class ClientWebSocketTests(SynchronousTestCase):
    """Between autobahn and the client."""

    def setUp(self) -> None:
        self.stream = MemoryStream()
        link = client_factory("ws://localhost:3102/sub", Clock()).buildProtocol(None)
        assert isinstance(link, ClientWebSocket)
        self.link = link
        link.makeConnection(self.stream)

    def open(self) -> list[Pushed]:
        """Answer its upgrade as a server does; what it is pushed."""
        request = self.stream.take()
        self.assertTrue(request.startswith(b"GET /sub HTTP/1.1\r\n"), request)
        key = re.search(rb"Sec-WebSocket-Key: (\S+)", request)
        assert key is not None
        accept = base64.b64encode(hashlib.sha1(key[1] + MAGIC).digest())
        head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        self.link.dataReceived(head + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        self.successResultOf(self.link.opened)
        pushes: list[Pushed] = []
        self.link.client = Client(link=self.link, clock=Clock(), framed=True, on_push=pushes.append)
        return pushes

    def lose(self) -> None:
        self.link.connectionLost(Failure(ConnectionDone()))

    def trouble(self) -> Exception | None:
        assert self.link.client is not None
        return self.link.client.trouble

    def test_upgrade_refused(self) -> None:
        """A status other than 101 is told in words."""
        self.link.dataReceived(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")
        self.lose()
        failure = self.failureResultOf(self.link.opened, PeerUnavailable)
        self.assertIn("503", str(failure.value))

    def test_messages_both_ways(self) -> None:
        """One packet is one masked binary message; merged pushes come one by one."""
        pushes = self.open()
        self.link.send(b"out!")
        sent = self.stream.take()
        self.assertEqual(sent[:2], b"\x82\x84")
        self.assertEqual(bytes(byte ^ mask for byte, mask in zip(sent[6:], sent[2:6], strict=True)), b"out!")
        self.link.dataReceived(Wire(encode(Packet(1000, b"in")) * 2).frame)
        self.assertEqual(pushes, [Pushed(1000, b"in")] * 2)
        self.lose()

    def test_reason_of_the_server(self) -> None:
        """The code and label of the server's close frame reach the client."""
        self.open()
        reason = CloseReason.AUTH_REFUSED
        body = pack(">H", reason.code) + reason.label.encode()
        self.link.dataReceived(bytes([0x88, len(body)]) + body)
        self.lose()
        self.assertIsInstance(self.trouble(), AuthRefused)
        self.assertIn(reason.label, str(self.trouble()))

    def test_requests_after_the_end(self) -> None:
        """What is asked between the server's close frame and the end of the connection fails as the connection does."""
        self.open()
        assert self.link.client is not None
        reason = CloseReason.REPLACED
        body = pack(">H", reason.code) + reason.label.encode()
        self.link.dataReceived(bytes([0x88, len(body)]) + body)
        self.stream.take()
        request = Deferred.fromCoroutine(self.link.client.heartbeat())
        self.assertNoResult(request)
        self.assertEqual(self.stream.take(), b"")
        self.lose()
        self.assertIn(reason.label, str(self.failureResultOf(request, PeerUnavailable).value))

    def test_too_large(self) -> None:
        """A message over the limit is refused when it is announced."""
        self.open()
        self.link.dataReceived(b"\x82\x7f" + pack(">Q", HEADER_BYTES + MAX_PACKET_BODY_BYTES + 1))
        self.assertEqual(self.stream.take()[:1], b"\x88")
        self.lose()
        self.assertIsInstance(self.trouble(), PeerUnavailable)

    def test_back_pressure(self) -> None:
        """Reading stops and goes on."""
        self.open()
        self.link.pause_reading()
        self.assertEqual(self.stream.producerState, "paused")
        self.link.resume_reading()
        self.assertEqual(self.stream.producerState, "producing")
        self.lose()

    def test_ends(self) -> None:
        """Close sends its frame, abort cuts."""
        self.open()
        self.link.close()
        self.assertEqual(self.stream.take()[:1], b"\x88")
        self.assertFalse(self.stream.aborted)
        self.link.abort()
        self.assertTrue(self.stream.aborted)
        self.lose()
