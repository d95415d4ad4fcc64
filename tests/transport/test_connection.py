"""What connections of all transports have in common, by one whose every byte is a packet."""

from collections.abc import Iterator

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from imd.errors import CloseReason, ProtocolError
from imd.interfaces import Accept
from imd.protocol.packet import Packet
from imd.transport.connection import ClientConnection
from imd.transport.tcp import TcpFactory
from imd.transport.websocket import WebSocketFactory
from tests.support.memory_stream import MemoryStream
from tests.support.recording_session import RAISE, Admission, RecordingSession


class Bytewise(ClientConnection):
    """A byte is an operation; 255 is a fault, 254 one that raises in the session."""

    __slots__ = ("read",)

    def __init__(self, settings: "Bytewise.Settings") -> None:
        super().__init__(settings)
        self.read = 0  # bytes that it was asked for

    class Settings:
        """Of one factory."""

        def __init__(self, accept: Accept, clock: Clock) -> None:
            self.accept = accept
            self.clock = clock
            self.tls = False
            self.transport = "bytewise"

    def _packets(self, data: bytes) -> Iterator[Packet]:
        for byte in data:
            self.read += 1
            if byte == 255:
                raise ProtocolError(CloseReason.BAD_BODY, "255")
            yield Packet(RAISE if byte == 254 else byte)

    def _farewell(self, reason: CloseReason) -> None:
        self.write(reason.label.encode())


class ClientConnectionTests(SynchronousTestCase):
    """Between a session and a stream in memory."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.admission = Admission()
        self.stream = MemoryStream()
        self.connection = Bytewise(Bytewise.Settings(self.admission, self.clock))
        self.connection.makeConnection(self.stream)

    @property
    def session(self) -> RecordingSession:
        return self.admission.sessions[0]

    def lose(self) -> None:
        self.connection.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_begin(self) -> None:
        """The session knows the transport's name and the peer's address."""
        self.assertEqual(
            (self.session.connection.transport, self.session.connection.address), ("bytewise", "192.0.2.7")
        )

    def test_farewell(self) -> None:
        """It is the last that is written, once, and leaves before the end."""
        self.connection.write(b"words ")
        for _ in range(2):
            self.connection.close(CloseReason.REPLACED)
            self.connection.write(b"late")
        self.assertEqual(self.stream.take(), b"words replaced")
        self.assertTrue(self.stream.half_closed)
        self.lose()
        self.connection.close(CloseReason.RATE_LIMITED)
        self.assertEqual((self.stream.take(), self.session.losses), (b"", [CloseReason.REPLACED]))

    def test_nothing_is_read_after_the_end(self) -> None:
        """Not even what came in the same piece."""
        self.session.close_after = 2
        self.connection.dataReceived(b"\1\2\3\4")
        self.connection.dataReceived(b"\5")
        self.assertEqual((len(self.session.packets), self.connection.read), (2, 2))
        self.lose()

    def test_faults(self) -> None:
        """A peer's, by its reason; a bug of ours, logged; each after what was good."""
        for byte, reason, detail in (
            (255, CloseReason.BAD_BODY, "bad_body: 255"),
            (254, CloseReason.INTERNAL_ERROR, ""),
        ):
            self.setUp()
            self.connection.dataReceived(bytes([1, byte, 2]))
            self.assertEqual(self.session.failures, [(reason, detail)])
            self.assertEqual(self.session.packets[0].operation, 1)
            self.lose()
            self.assertEqual(self.session.losses, [reason])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_slots(self) -> None:
        """There are very many: what they have is listed, and a dict for each is not among it."""
        tcp = TcpFactory(accept=self.admission, clock=self.clock).buildProtocol(None)
        websocket = WebSocketFactory(accept=self.admission, clock=self.clock, origins=["*"]).buildProtocol(None)
        for connection in (self.connection, tcp, websocket):
            self.assertFalse(hasattr(connection, "__dict__"), connection)
