"""The client's TCP link on a stream in memory; test_dial has it on sockets."""

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from imd.client.client import Client
from imd.client.core import Pushed
from imd.errors import PeerUnavailable
from imd.protocol.packet import Packet, encode
from imd.transport.client_tcp import ClientTcp
from tests.support.memory_stream import MemoryStream


class ClientTcpTests(SynchronousTestCase):
    """Between Twisted and the client."""

    def setUp(self) -> None:
        self.stream = MemoryStream()
        self.link = ClientTcp(secure=False)
        self.link.makeConnection(self.stream)
        self.pushes: list[Pushed] = []
        self.link.client = Client(link=self.link, clock=Clock(), framed=False, on_push=self.pushes.append)

    def test_open(self) -> None:
        """TCP is open when it is connected, TLS after its handshake."""
        self.successResultOf(self.link.opened)
        self.assertTrue(self.stream.no_delay)
        secure = ClientTcp(secure=True)
        secure.makeConnection(MemoryStream())
        self.assertNoResult(secure.opened)
        secure.handshakeCompleted()
        self.successResultOf(secure.opened)

    def test_never_opened(self) -> None:
        """A TLS handshake that fails is told in words."""
        secure = ClientTcp(secure=True)
        secure.makeConnection(MemoryStream())
        secure.connectionLost(Failure(ConnectionLost("bad certificate")))
        failure = self.failureResultOf(secure.opened, PeerUnavailable)
        self.assertIn("bad certificate", str(failure.value))

    def test_bytes_both_ways(self) -> None:
        """Bytes go through as they are."""
        self.link.send(b"out")
        self.assertEqual(self.stream.take(), b"out")
        data = encode(Packet(1000, b"in"))
        self.link.dataReceived(data[:7])
        self.link.dataReceived(data[7:])
        self.assertEqual(self.pushes, [Pushed(1000, b"in")])

    def test_back_pressure(self) -> None:
        """Reading stops and goes on."""
        self.link.pause_reading()
        self.assertEqual(self.stream.producerState, "paused")
        self.link.resume_reading()
        self.assertEqual(self.stream.producerState, "producing")

    def test_ends(self) -> None:
        """Close lets what was sent leave, abort does not; after the loss nothing is asked of the stream."""
        self.link.close()
        self.assertTrue(self.stream.disconnecting)
        self.assertFalse(self.stream.aborted)
        self.link.abort()
        self.assertTrue(self.stream.aborted)
        self.link.connectionLost(Failure(ConnectionDone()))
        for ask in (self.link.close, self.link.abort, self.link.pause_reading, self.link.resume_reading):
            ask()
        self.link.send(b"late")
        self.assertEqual(self.stream.take(), b"")
        assert self.link.client is not None
        self.assertIsInstance(self.link.client.trouble, PeerUnavailable)
