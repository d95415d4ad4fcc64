"""What an open session does with goim's operations."""

from struct import unpack

from twisted.trial.unittest import SynchronousTestCase

from imd.errors import CloseReason, PeerUnavailable
from imd.protocol.body import MAX_ACCEPTS
from imd.protocol.packet import Packet
from imd.protocol.rpc import Host, Receive
from tests.support.comet_fakes import Comet, send, to_keys, to_room


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

    def test_rooms_that_nobody_is_in_cost_more(self) -> None:
        """Each is asked for and kept for a while: twenty at once, then as the rate allows. Others cost a packet."""
        comet = Comet(packets_burst=200, packets_per_second=100)
        comet.client("other", room_id="live://full")
        connection = comet.client("k")
        for number in range(20):
            send(connection, 12, b"live://%d" % number)
        for _ in range(4):
            send(connection, 12, b"live://full")
            send(connection, 12, b"live://19")
        self.assertEqual(connection.closes, [])
        comet.clock.advance(0.1)
        send(connection, 12, b"live://20")
        self.assertEqual(connection.closes, [])
        send(connection, 12, b"live://21")
        self.assertEqual(connection.closes, [CloseReason.RATE_LIMITED])

    def test_rooms_of_a_small_burst(self) -> None:
        """A burst too small for that never refuses what is within it."""
        comet = Comet(packets_burst=3, packets_per_second=1)
        connection = comet.client("k")
        send(connection, 12, b"live://1")
        send(connection, 12, b"live://2")
        self.assertEqual(connection.closes, [])


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
