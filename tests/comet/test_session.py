"""A connection's life: states and operations, and every end."""

from collections.abc import Callable
from struct import unpack

from twisted.trial.unittest import SynchronousTestCase

from imd.comet.state import State
from imd.errors import AuthRefused, CloseReason, PeerUnavailable
from imd.protocol.body import MAX_ACCEPTS
from imd.protocol.operation import Operation
from imd.protocol.packet import Packet, encode, walk
from imd.protocol.rpc import Connect, Disconnect, Host, Outcome, Receive
from imd.protocol.wire import binary_frame
from tests.support.comet_fakes import Comet, FakeConnection, send, to_keys, to_room

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


class RoomTests(SynchronousTestCase):
    """Op 12."""

    def test_same_room_stays_a_member(self) -> None:
        """goim says success and leaves it; here pushes go on."""
        comet = Comet()
        connection = comet.client("k", room_id="live://1")
        send(connection, 12, b"live://1")
        self.assertEqual(connection.operations(), [13])
        comet.push(to_room(b"hi"))
        self.assertEqual(connection.operations(), [1000])
        self.assertEqual(len(comet.logic.of(Host)), 1)

    def test_change_and_leave(self) -> None:
        """Out of the old, into the new; empty leaves."""
        comet = Comet()
        connection = comet.client("k", room_id="live://1")
        send(connection, 12, b"live://2")
        comet.push(to_room(b"old"), to_room(b"new", "live://2"))
        self.assertEqual([packet.body for packet in connection.packets()], [b"live://2", b"new"])
        send(connection, 12, b"")
        comet.push(to_room(b"new", "live://2"))
        self.assertEqual(connection.operations(), [13])
        send(connection, 12, b"")
        self.assertEqual(connection.operations(), [13])

    def test_hosted_before_the_reply(self) -> None:
        """Until then it stays in its old room, and later packets wait their turn."""
        comet = Comet()
        connection = comet.client("k", room_id="live://1")
        comet.logic.held.add(Host)
        send(connection, 12, b"live://2", sequence=1)
        send(connection, 2, sequence=2)
        send(connection, 12, b"live://1", sequence=3)
        comet.push(to_room(b"old"))
        self.assertEqual(connection.operations(), [1000])
        comet.logic.release(Host)
        self.assertEqual([(p.operation, p.sequence) for p in connection.packets()], [(13, 1), (3, 2), (13, 3)])
        comet.push(to_room(b"old"), to_room(b"new", "live://2"))
        self.assertEqual([packet.body for packet in connection.packets()], [b"old"])

    def test_failed_host_is_tried_again(self) -> None:
        """The client stays in its old room and gets its reply late."""
        comet = Comet()
        connection = comet.client("k", room_id="live://1")
        comet.logic.failing[Host] = PeerUnavailable("away")
        send(connection, 12, b"live://2")
        comet.clock.advance(1)
        del comet.logic.failing[Host]
        self.assertEqual(connection.operations(), [])
        comet.push(to_room(b"old"))
        comet.clock.advance(3)
        self.assertEqual(connection.operations(), [1000, 13])
        self.assertEqual(connection.closes, [])

    def test_failed_host_for_good(self) -> None:
        """After some tries it may come again, here or elsewhere."""
        comet = Comet()
        connection = comet.client("k")
        comet.logic.failing[Host] = PeerUnavailable("away")
        send(connection, 12, b"live://2")
        comet.clock.pump([1, 3, 9])
        self.assertEqual(connection.closes, [CloseReason.AUTH_UNAVAILABLE])
        self.assertEqual(len(comet.logic.of(Host)), 4)
        self.assertEqual(comet.clock.getDelayedCalls(), [])

    def test_vanished_while_changing(self) -> None:
        """A room held for a client that is gone is let go."""
        comet = Comet(linger_seconds=5)
        comet.server.start()
        connection = comet.client("k")
        comet.logic.held.add(Host)
        send(connection, 12, b"live://2")
        connection.lose()
        comet.logic.held.clear()
        comet.logic.release(Host)
        comet.clock.pump([1] * 7)
        self.assertEqual([call.wanted for call in comet.logic.of(Host)], [True, False])

    def test_bad_room(self) -> None:
        """Not UTF-8, or too long: the connection ends with a name."""
        for body in (b"\xff", b"x" * 256):
            connection = Comet().client("k")
            send(connection, 12, body)
            self.assertEqual(connection.closes, [CloseReason.BAD_BODY])

    def test_online_is_cluster_wide(self) -> None:
        """Here as of now, elsewhere as of the last renewal."""
        comet = Comet()
        comet.server.start()
        comet.logic.elsewhere = {"live://1": 10}
        connection = comet.client("k", room_id="live://1")
        comet.clock.advance(10)
        comet.client("l", room_id="live://1")
        send(connection, 2)
        (reply,) = connection.packets()
        self.assertEqual(unpack(">i", reply.body), (12,))


class AcceptTests(SynchronousTestCase):
    """Op 14 and 16."""

    def test_filter_keys_and_all_but_not_rooms(self) -> None:
        """As in goim: an empty accept set takes no key push, and every room push."""
        comet = Comet()
        connection = comet.client("k", room_id="live://1")
        outcomes = comet.push(to_keys(b"a", "k"), to_room(b"b"))
        assert outcomes is not None
        self.assertEqual([(o.delivered, o.filtered) for o in outcomes], [(0, 1), (1, 0)])
        send(connection, 14, b"1000,5")
        comet.push(to_keys(b"c", "k"), to_keys(b"d", "k", operation=5))
        send(connection, 16, b"1000")
        comet.push(to_keys(b"e", "k"), to_keys(b"f", "k", operation=5))
        self.assertEqual([p.body for p in connection.packets()], [b"b", b"1000,5", b"c", b"d", b"1000", b"f"])

    def test_bounded(self) -> None:
        """However many op 14 come, the set has a limit."""
        comet = Comet()
        connection = comet.client("k", accepts=list(range(MAX_ACCEPTS)))
        send(connection, 14, b"5,6")
        self.assertEqual((connection.operations(), connection.closes), ([15], []))
        send(connection, 14, b"-1")
        self.assertEqual(connection.closes, [CloseReason.BAD_BODY])

    def test_bad_operations(self) -> None:
        """Not int32s between commas."""
        for operation in (14, 16):
            connection = Comet().client("k")
            send(connection, operation, b"1,x")
            self.assertEqual(connection.closes, [CloseReason.BAD_BODY])


class SubmitTests(SynchronousTestCase):
    """Op 4 and all others."""

    def test_logic_gets_it(self) -> None:
        """With who sent it and from which room."""
        comet = Comet()
        connection = comet.client("k", mid=4, room_id="live://1")
        send(connection, 4, b"hi")
        (call,) = comet.logic.of(Receive)
        self.assertEqual((call.key, call.mid, call.operation, call.body, call.room), ("k", 4, 4, b"hi", "live://1"))

    def test_logic_away(self) -> None:
        """The client gets its echo all the same, and it is counted."""
        comet = Comet()
        comet.logic.failing[Receive] = PeerUnavailable("away")
        connection = comet.client("k")
        send(connection, 4, b"hi")
        self.assertEqual(connection.packets(), [Packet(4, b"", 1)])
        self.assertEqual(comet.metrics.submitted.value("peer_unavailable"), 1)

    def test_in_order(self) -> None:
        """One at a time, each reply in its place."""
        comet = Comet()
        comet.logic.held.add(Receive)
        connection = comet.client("k")
        for sequence in range(5):
            send(connection, 4 if sequence % 2 == 0 else 2, sequence=sequence)
        self.assertEqual(len(comet.logic.of(Receive)), 1)
        for _ in range(3):
            comet.logic.release(Receive)
        self.assertEqual([packet.sequence for packet in connection.packets()], [0, 1, 2, 3, 4])

    def test_waiting_packets_are_bounded(self) -> None:
        """In number and in bytes; beyond, the session ends."""
        for limit, most, bodies in (("waiting_packets", 2, [b""] * 4), ("max_body_bytes", 1, [b"", b"x" * 16, b"x"])):
            comet = Comet(**{limit: most})  # type: ignore[arg-type]  # mypy takes it for ``public`` too
            comet.logic.held.add(Receive)
            connection = comet.client("k")
            for body in bodies[:-1]:
                send(connection, 4, body)
            self.assertEqual(connection.closes, [])
            send(connection, 4, bodies[-1])
            self.assertEqual(connection.closes, [CloseReason.RATE_LIMITED])
            comet.logic.release(Receive)
            self.assertEqual(len(comet.logic.of(Receive)), 1)

    def test_an_auth_again_is_not_shown_to_the_hook(self) -> None:
        """Its token is nobody's business."""
        comet = Comet()
        connection = comet.client("k")
        send(connection, 7, b'{"token": "secret"}')
        self.assertEqual(connection.operations(), [7])
        self.assertEqual(comet.logic.of(Receive), [])

    def test_many_waiting_packets_do_not_nest(self) -> None:
        """A long queue of packets that logic answers at once is worked off without deep recursion."""
        comet = Comet(waiting_packets=2000, packets_burst=5000)
        comet.logic.held.add(Receive)
        connection = comet.client("k")
        for sequence in range(2000):
            send(connection, 4, sequence=sequence)
        comet.logic.held.clear()
        comet.logic.release(Receive)
        self.assertEqual([packet.sequence for packet in connection.packets()], list(range(2000)))


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

    def test_rooms_that_nobody_is_in_cost_more(self) -> None:
        """Each is asked for and kept for a while: twenty at once, then as the rate allows. Others cost a packet."""
        comet = Comet(packets_burst=200, packets_per_second=100)
        comet.client("other", room_id="live://full")
        connection = comet.client("k")
        for number in range(19):
            send(connection, 12, b"live://%d" % number)
        for _ in range(4):
            send(connection, 12, b"live://full")
            send(connection, 12, b"live://18")
        self.assertEqual(connection.closes, [])
        comet.clock.advance(0.1)
        send(connection, 12, b"live://19")
        self.assertEqual(connection.closes, [])
        send(connection, 12, b"live://20")
        self.assertEqual(connection.closes, [CloseReason.RATE_LIMITED])

    def test_rooms_of_a_small_burst(self) -> None:
        """A burst too small for that never refuses what is within it."""
        comet = Comet(packets_burst=3, packets_per_second=1)
        connection = comet.client("k")
        send(connection, 12, b"live://1")
        send(connection, 12, b"live://2")
        self.assertEqual(connection.closes, [])

    def test_rate_limited(self) -> None:
        """Before op 7 as well."""
        comet = Comet(packets_burst=3, packets_per_second=1)
        connection = comet.accept()
        for _ in range(3):
            send(connection, 2)
        self.assertEqual(connection.closes, [])
        send(connection, 2)
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
