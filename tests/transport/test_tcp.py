"""Raw TCP: bytes to packets, and every way that the connection ends."""

import os
import resource
import socket
import subprocess
import sys
from pathlib import Path

from OpenSSL.SSL import Error as TlsError
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from imd.errors import CloseReason
from imd.protocol.packet import HEADER, Packet, encode
from imd.transport.ending import LINGER_BYTES, LINGER_SECONDS
from imd.transport.tcp import TcpConnection, TcpFactory
from tests.support.memory_stream import MemoryStream
from tests.support.recording_session import RAISE, Admission, RecordingSession

HEARTBEAT = bytes.fromhex("00000010 0010 0001 00000002 00000001")
ROOM = bytes.fromhex("00000011 0010 0001 0000000c 00000002 61")


class TcpConnectionTests(SynchronousTestCase):
    """One connection on a stream in memory."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.admission = Admission()
        self.stream = MemoryStream()
        self.connection = self.connect(self.stream)

    def connect(self, stream: MemoryStream, *, tls: bool = False) -> TcpConnection:
        factory = TcpFactory(accept=self.admission, clock=self.clock, max_body_bytes=64, tls=tls)
        connection = factory.buildProtocol(None)
        connection.makeConnection(stream)
        return connection

    def tearDown(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def lose(self, error: type[Exception] = ConnectionDone) -> None:
        self.connection.connectionLost(Failure(error()))

    @property
    def session(self) -> RecordingSession:
        return self.admission.sessions[0]

    def test_accept(self) -> None:
        """A session sees a bare TCP connection with the peer's address."""
        connection = self.session.connection
        self.assertEqual((connection.transport, connection.framed, connection.address), ("tcp", False, "192.0.2.7"))

    def test_packets_cut_anywhere(self) -> None:
        """Two packets arrive the same, wherever the stream is cut."""
        data = HEARTBEAT + ROOM
        expected = [Packet(2, b"", 1), Packet(12, b"a", 2)]
        for cut in range(len(data) + 1):
            self.session.packets.clear()
            self.connection.dataReceived(data[:cut])
            self.connection.dataReceived(data[cut:])
            self.assertEqual(self.session.packets, expected, cut)

    def test_bad_packets_end_with_their_reason(self) -> None:
        """A lying header ends the connection, after the good packets before it."""
        cases = {
            CloseReason.BAD_HEADER_LENGTH: HEADER.pack(17, 17, 1, 2, 1),
            CloseReason.BAD_PACKET_LENGTH: HEADER.pack(-1, 16, 1, 2, 1),
            CloseReason.PACKET_TOO_LARGE: HEADER.pack(16 + 65, 16, 1, 2, 1),
        }
        for reason, header in cases.items():
            admission = self.admission = Admission()
            stream = MemoryStream()
            connection = self.connection = self.connect(stream)
            connection.dataReceived(HEARTBEAT + header + HEARTBEAT)
            connection.dataReceived(HEARTBEAT)
            session = admission.sessions[0]
            self.assertEqual([packet.operation for packet in session.packets], [2], reason)
            self.assertEqual([failed for failed, _ in session.failures], [reason])
            self.assertTrue(stream.half_closed)
            self.lose()
            self.assertEqual(session.losses, [reason])

    def test_nothing_after_close(self) -> None:
        """Once the session has closed, the rest of the chunk is dropped, and so is what is written or comes later."""
        self.session.close_after = 1
        self.connection.dataReceived(HEARTBEAT * 3)
        self.connection.dataReceived(HEARTBEAT)
        self.connection.write(HEARTBEAT)
        self.assertEqual(len(self.session.packets), 1)
        self.assertEqual(self.stream.take(), b"")
        self.lose()
        self.assertEqual(self.session.losses, [CloseReason.RATE_LIMITED])

    def test_close_lets_the_last_words_leave(self) -> None:
        """Close shuts the socket for writing only, so that no reset overtakes what was written."""
        self.connection.write(b"goodbye")
        self.connection.close(CloseReason.SERVER_STOPPING)
        self.assertEqual(self.stream.take(), b"goodbye")
        self.assertTrue(self.stream.half_closed)
        self.assertFalse(self.stream.aborted)
        self.assertEqual(self.session.losses, [])
        self.lose()
        self.assertEqual(self.session.losses, [CloseReason.SERVER_STOPPING])

    def test_tls_close_is_tls_own(self) -> None:
        """Under TLS the close alert goes first, which loseConnection sees to."""
        stream = MemoryStream()
        connection = self.connect(stream, tls=True)
        connection.close(CloseReason.SERVER_STOPPING)
        self.assertTrue(stream.disconnecting)
        self.assertFalse(stream.half_closed)
        self.assertEqual(self.admission.sessions[1].connection.transport, "tls")
        connection.connectionLost(Failure(ConnectionDone()))

    def test_peer_that_does_not_read_is_cut(self) -> None:
        """A peer that does not hang up is cut when its time is over, not before."""
        self.connection.close(CloseReason.SLOW_CONSUMER)
        self.clock.advance(LINGER_SECONDS - 0.1)
        self.assertFalse(self.stream.aborted)
        self.clock.advance(0.1)
        self.assertTrue(self.stream.aborted)
        self.lose(ConnectionLost)
        self.assertEqual(self.session.losses, [CloseReason.SLOW_CONSUMER])

    def test_peer_that_floods_after_close_is_cut(self) -> None:
        """What may still come after close is bounded."""
        self.connection.close(CloseReason.RATE_LIMITED)
        chunk = bytes(1 << 16)
        for _ in range(LINGER_BYTES // len(chunk)):
            self.connection.dataReceived(chunk)
        self.assertFalse(self.stream.aborted)
        self.connection.dataReceived(b"x")
        self.assertTrue(self.stream.aborted)
        self.lose()

    def test_first_reason_wins(self) -> None:
        """A second close changes nothing."""
        self.connection.close(CloseReason.REPLACED)
        self.connection.close(CloseReason.INTERNAL_ERROR)
        self.lose()
        self.connection.close(CloseReason.INTERNAL_ERROR)
        self.assertEqual(self.session.losses, [CloseReason.REPLACED])

    def test_losses_by_the_peer(self) -> None:
        """A clean end is the peer's; a reset and a TLS failure are the network's."""
        cases: dict[type[Exception], CloseReason] = {
            ConnectionDone: CloseReason.PEER_CLOSED,
            ConnectionLost: CloseReason.PEER_LOST,
            TlsError: CloseReason.PEER_LOST,
        }
        for error, reason in cases.items():
            admission = self.admission = Admission()
            self.connection = self.connect(MemoryStream())
            self.connection.dataReceived(HEARTBEAT[:5])
            self.lose(error)
            self.assertEqual(admission.sessions[0].losses, [reason])

    def test_back_pressure_reaches_the_session(self) -> None:
        """The kernel's pause and resume are the session's."""
        producer = self.stream.producer
        assert producer is not None
        self.assertIs(self.stream.streaming, True)
        producer.pauseProducing()
        producer.resumeProducing()
        self.assertEqual(self.session.writing, ["pause", "resume"])
        self.lose()
        producer.stopProducing()
        producer.resumeProducing()
        self.assertEqual(self.session.writing, ["pause", "resume"])

    def test_refused(self) -> None:
        """A refused client has no session, and is closed."""
        for refusal in (CloseReason.SERVER_FULL, None):
            self.admission = Admission(refusal)
            if refusal is None:
                self.admission = lambda connection: None  # type: ignore[assignment]  # one that forgets to close
            stream = MemoryStream()
            connection = self.connect(stream)
            self.assertTrue(stream.half_closed)
            connection.dataReceived(HEARTBEAT)
            connection.connectionLost(Failure(ConnectionDone()))

    def test_bug_costs_one_connection(self) -> None:
        """An exception of the session is logged and ends its connection by name."""
        self.connection.dataReceived(encode(Packet(RAISE)) + HEARTBEAT)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(len(self.session.packets), 1)
        self.lose()
        self.assertEqual(self.session.failures, [(CloseReason.INTERNAL_ERROR, "")])
        self.assertEqual(self.session.losses, [CloseReason.INTERNAL_ERROR])


SERVER = """
import sys
from twisted.internet import reactor
from imd.transport.tcp import TcpFactory
from tests.support.recording_session import Admission

port = reactor.listenTCP(0, TcpFactory(accept=Admission(), clock=reactor), interface="127.0.0.1")
print(port.getHost().port, flush=True)
reactor.run()
"""


class FileLimitTests(SynchronousTestCase):
    """A server that runs out of file descriptors."""

    def test_accept_goes_on(self) -> None:
        """Clients beyond the limit are turned away, and when others have left the server accepts again."""
        server = subprocess.Popen(
            [sys.executable, "-c", SERVER],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40)),
        )
        assert server.stdout is not None
        try:
            port = int(server.stdout.readline())
            clients = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(60)]
            # The last ones are beyond the limit: the server lets go of them, so they see an end.
            self.assertEqual(clients[-1].recv(1), b"")
            for client in clients:
                client.close()
            # The server hears of those ends one after another; until then a new client may be turned away, too.
            while not held(port):
                continue
        finally:
            server.kill()
            server.wait()
            server.stdout.close()


def held(port: int) -> bool:
    """Whether a new client is let in."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.settimeout(0.5)
        try:
            return bool(client.recv(1))
        except TimeoutError:
            return True
