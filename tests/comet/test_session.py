"""A connection's life: states and operations, and every end."""

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from imd.comet.state import State
from imd.errors import AuthRefused, CloseReason
from imd.protocol.operation import Operation
from imd.protocol.packet import Packet, encode, walk
from imd.protocol.rpc import Connect, Disconnect, Outcome
from imd.protocol.wire import binary_frame
from tests.support.comet_fakes import Comet, FakeConnection, send, to_keys

REPLIES = {  # operation -> (body sent, operation and body of the reply) for an open session without a room
    0: (b"x", 0, b""),
    2: (b"", 3, b"\0\0\0\0"),
    3: (b"x", 3, b""),
    4: (b"x", 4, b""),
    5: (b"x", 5, b""),
    6: (b"x", 6, b""),
    7: (b"{}", 7, b""),
    8: (b"x", 8, b""),
    9: (b"x", 9, b""),
    12: (b"live://2", 13, b"live://2"),
    13: (b"x", 13, b""),
    14: (b"1000,1001", 15, b"1000,1001"),
    15: (b"x", 15, b""),
    16: (b"1000", 17, b"1000"),
    17: (b"x", 17, b""),
    1000: (b"x", 1000, b""),
    -(2**31): (b"x", -(2**31), b""),
    2**31 - 1: (b"x", 2**31 - 1, b""),
}


def _handshake(comet: Comet) -> FakeConnection:
    return comet.accept()


def _authenticating(comet: Comet) -> FakeConnection:
    comet.logic.held.add(Connect)
    return comet.client("k")


def _open(comet: Comet) -> FakeConnection:
    return comet.client("k")


def _closing(comet: Comet) -> FakeConnection:
    connection = comet.client("k")
    assert connection.session is not None
    connection.session.close(CloseReason.REPLACED)
    return connection


def _closed(comet: Comet) -> FakeConnection:
    connection = comet.client("k")
    connection.lose()
    return connection


REACH: dict[State, Callable[[Comet], FakeConnection]] = {
    State.HANDSHAKE: _handshake,
    State.AUTHENTICATING: _authenticating,
    State.OPEN: _open,
    State.CLOSING: _closing,
    State.CLOSED: _closed,
}


def state(connection: FakeConnection) -> State:
    assert connection.session is not None
    return connection.session.state


class TableTests(SynchronousTestCase):
    """The whole product of states and operations."""

    def test_every_operation_in_every_state(self) -> None:
        """Only op 7 is heard before it, nothing is answered while logic is asked or after the end, everything when open."""
        for at, reach in REACH.items():
            for operation, (body, reply, reply_body) in REPLIES.items():
                comet = Comet()
                connection = reach(comet)
                self.assertIs(state(connection), at)
                connection.writes.clear()
                send(connection, operation, body, sequence=7, version=1)
                expected: list[Packet] = []
                if at is State.OPEN:
                    expected = [Packet(reply, reply_body, 7, 1)]
                elif at is State.HANDSHAKE and operation == Operation.AUTH:
                    expected = [Packet(Operation.AUTH_REPLY, b"", 7, 1)]
                self.assertEqual(connection.packets(), expected, (at, operation))
                after = State.OPEN if at is State.HANDSHAKE and expected else at
                self.assertIs(state(connection), after, (at, operation))

    def test_replies_echo_version_and_sequence(self) -> None:
        """goim's load client sends version 0 in heartbeats, and gets it back."""
        connection = Comet().client("k")
        for version, sequence in ((0, 5), (1, -1), (2, 2**31 - 1)):
            send(connection, Operation.HEARTBEAT, sequence=sequence, version=version)
            self.assertEqual(connection.packets(), [Packet(3, b"\0\0\0\0", sequence, version)])

    def test_golden_replies(self) -> None:
        """The bytes of protocol.md."""
        comet = Comet()
        connection = comet.accept()
        send(connection, 7, b'{"room_id": "a"}')
        self.assertEqual(connection.written.hex(), "00000010001000010000000800000001")
        for _ in range(4):
            comet.client(room_id="a")
        send(connection, 2)
        self.assertEqual(connection.written.hex(), "0000001400100001000000030000000100000005")
        send(connection, 12, b"a", sequence=2)
        self.assertEqual(connection.written.hex(), "00000011001000010000000d0000000261")

    def test_framed_replies(self) -> None:
        """A WebSocket client gets each reply in one binary frame."""
        connection = Comet().client("k", connection=FakeConnection(framed=True, transport="ws"))
        send(connection, 2)
        self.assertEqual(connection.written, binary_frame(encode(Packet(3, b"\0\0\0\0", 1))))

    def test_packets_are_counted_by_known_operation(self) -> None:
        """Clients cannot make new label values."""
        comet = Comet()
        connection = comet.client("k")
        for operation in (2, 1000, 1001, -5):
            send(connection, operation)
        count = comet.metrics.packets_in.value
        self.assertEqual((count("auth"), count("heartbeat"), count("other")), (1, 1, 3))


class EndTests(SynchronousTestCase):
    """Every end has one reason."""

    def test_lost_once(self) -> None:
        """A transport that says so twice has a bug."""
        connection = Comet().client("k")
        connection.lose()
        self.assertRaises(KeyError, connection.lose)

    def test_the_first_reason_counts(self) -> None:
        """Once in the metric, once to the connection."""
        comet = Comet()
        connection = comet.client("k")
        assert connection.session is not None
        connection.session.fail(CloseReason.BAD_HEADER_LENGTH, "header length 17")
        connection.session.close(CloseReason.REPLACED)
        connection.lose()
        self.assertEqual(connection.closes, [CloseReason.BAD_HEADER_LENGTH])
        self.assertEqual(dict(comet.metrics.closed.values), {("bad_header_length",): 1})

    def test_presence_is_told_at_once(self) -> None:
        """Not only when a stalled client's socket has gone; and once."""
        comet = Comet()
        connection = comet.client("k", mid=1)
        assert connection.session is not None
        connection.session.close(CloseReason.RATE_LIMITED)
        self.assertEqual(len(comet.logic.of(Disconnect)), 1)
        connection.lose()
        self.assertEqual(len(comet.logic.of(Disconnect)), 1)

    def test_goodbye_for_version_2_only(self) -> None:
        """A version-2 client is told why before it is closed, whatever ours the reason; version 1 never sees op 6."""
        for version in (0, 1, 2, 3):
            for framed in (False, True):
                connection = Comet().client("k", version=version, connection=FakeConnection(framed=framed))
                assert connection.session is not None
                connection.session.close(CloseReason.SERVER_STOPPING)
                if version != 2:
                    self.assertEqual(connection.written, b"")
                    continue
                (goodbye,) = walk(connection.written[2 if framed else 0 :])
                self.assertEqual((goodbye.operation, goodbye.version), (6, 2))
                self.assertIn(b'"reason":"server_stopping"', goodbye.body)

    def test_goodbye_before_it_was_open(self) -> None:
        """A refused token, too."""
        comet = Comet()
        comet.logic.failing[Connect] = AuthRefused("no")
        connection = comet.accept()
        send(connection, 7, b"{}", version=2)
        self.assertEqual(connection.operations(), [6])

    def test_no_goodbye_to_who_is_gone(self) -> None:
        """Nothing is written to a lost connection."""
        connection = Comet().client("k", version=2)
        connection.lose()
        self.assertEqual(connection.written, b"")

    def test_rate_limited(self) -> None:
        """Before op 7 as well."""
        comet = Comet(packets_burst=3, packets_per_second=1)
        connection = comet.accept()
        for _ in range(3):
            send(connection, 2)
        self.assertEqual(connection.closes, [])
        send(connection, 2)
        self.assertEqual(connection.closes, [CloseReason.RATE_LIMITED])

    def test_frames_are_rated_as_packets(self) -> None:
        """Both from one purse; after the end none counts."""
        comet = Comet(packets_burst=3, packets_per_second=1)
        connection = comet.accept()
        assert connection.session is not None
        send(connection, 2)
        connection.session.frame_received()
        connection.session.frame_received()
        self.assertEqual(connection.closes, [])
        for _ in range(5):
            connection.session.frame_received()
        self.assertEqual(connection.closes, [CloseReason.RATE_LIMITED])

    def test_replies_to_who_does_not_read(self) -> None:
        """They are bounded, too."""
        comet = Comet(outbox_bytes=1000)
        connection = comet.client("k")
        assert connection.session is not None
        connection.session.pause_writing()
        for _ in range(3):
            send(connection, 2)
        self.assertEqual(connection.closes, [])
        send(connection, 2)
        self.assertEqual(connection.closes, [CloseReason.SLOW_CONSUMER])
        self.assertEqual(connection.written, b"")

    def test_held_wires_go_out_before_the_end(self) -> None:
        """A server that stops owes its clients what it took for them."""
        comet = Comet()
        connection = comet.client("k", accepts=[1000], version=2)
        assert connection.session is not None
        connection.session.pause_writing()
        comet.push(to_keys(b"a", "k"))
        connection.session.close(CloseReason.SERVER_STOPPING)
        self.assertEqual(connection.operations(), [1000, 6])

    def test_a_faulty_connection_still_ends(self) -> None:
        """A write that raises ends that session, named as our fault."""
        comet = Comet()
        connection = comet.client("k")
        connection.faulty = True
        send(connection, 2)
        self.assertEqual(connection.closes, [CloseReason.INTERNAL_ERROR])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_who_hung_up_gets_nothing_more(self) -> None:
        """What was held for it is lost and counted, and a push that comes before the loss finds it ended."""
        comet = Comet()
        connection = comet.client("k", accepts=[1000])
        session = connection.session
        assert session is not None
        session.pause_writing()
        comet.push(to_keys(b"held", "k"))
        session.fail(CloseReason.PEER_CLOSED)
        self.assertEqual(comet.push(to_keys(b"late", "k")), [Outcome(unknown=("k",))])
        connection.lose()
        self.assertEqual((connection.written, comet.dropped("outbox_lost")), (b"", 1))
        self.assertEqual((comet.closed(CloseReason.PEER_CLOSED), comet.metrics.outbox_packets.value()), (1, 0))
