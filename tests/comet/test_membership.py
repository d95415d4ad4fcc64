"""Being in rooms, and what follows from it."""

from twisted.trial.unittest import SynchronousTestCase

from imd.comet.attendance import GATHER_SECONDS
from imd.protocol.room_type import Join, Keep, RoomType, RoomTypes
from imd.protocol.rpc import Attendances, Host
from tests.support.comet_fakes import Comet, send, to_room

TYPES = RoomTypes(
    {
        "chat": RoomType(keep=Keep(10, 1000), presence_events=True),
        "club": RoomType(join=Join.MEMBERS),
        "vip": RoomType(join=Join.GRANTED),
    }
)


class PolicyTests(SynchronousTestCase):
    """Who may join, and what is kept."""

    def setUp(self) -> None:
        self.membership = Comet(room_types=TYPES).server._edge.membership

    def test_whole_product(self) -> None:
        """Each policy with anonymous clients and members, with the room's grant, another's, and none."""
        for mid in (0, 7, -7):
            for grants in ((), ("vip://1", "club://1"), ("vip://2",)):
                self.assertTrue(self.membership.may_join("chat://1", mid, grants))
                self.assertTrue(self.membership.may_join("", mid, grants))
                self.assertEqual(self.membership.may_join("club://1", mid, grants), mid != 0)
                self.assertEqual(self.membership.may_join("vip://1", mid, grants), "vip://1" in grants)

    def test_timelines(self) -> None:
        """Of kept rooms and of members only."""
        self.assertEqual(self.membership.timeline("chat://1"), "r:chat://1")
        self.assertIsNone(self.membership.timeline("club://1"))
        self.assertEqual((self.membership.inbox(7), self.membership.inbox(0)), ("m:7", None))
        self.assertIsNone(Comet(inboxes_kept=False).server._edge.membership.inbox(7))


class AttendanceTests(SynchronousTestCase):
    """Rooms that tell their members who is there."""

    def told(self, comet: Comet) -> list[tuple[str, int, bool]]:
        comet.clock.advance(GATHER_SECONDS)
        events = [(e.room, e.mid, e.joined) for call in comet.logic.of(Attendances) for e in call.events]
        comet.logic.calls.clear()
        return events

    def test_every_way_in_and_out(self) -> None:
        """Op 7, 12, 32, 34, the end of a session: of both versions."""
        comet = Comet(room_types=TYPES)
        older, newer = (
            comet.client("o", mid=1, room_id="chat://1"),
            comet.client("n", version=2, mid=2, rooms=["chat://1"]),
        )
        self.assertEqual(self.told(comet), [("chat://1", 1, True), ("chat://1", 2, True)])
        send(older, 12, b"chat://2")
        send(newer, 32, b'{"room": "chat://2"}', version=2)
        self.assertEqual(self.told(comet), [("chat://2", 1, True), ("chat://1", 1, False), ("chat://2", 2, True)])
        send(newer, 34, b'{"room": "chat://1"}', version=2)
        older.lose()
        self.assertEqual(self.told(comet), [("chat://1", 2, False), ("chat://2", 1, False)])
        newer.lose()
        self.assertEqual(self.told(comet), [("chat://2", 2, False)])

    def test_nobody_and_elsewhere(self) -> None:
        """Anonymous clients are nobody; other rooms tell nobody."""
        comet = Comet(room_types=TYPES)
        comet.client("a", room_id="chat://1").lose()
        comet.client("b", mid=1, room_id="live://1").lose()
        self.assertEqual(self.told(comet), [])

    def test_a_replaced_connection(self) -> None:
        """The member never left."""
        comet = Comet(room_types=TYPES)
        comet.client("k", mid=1, room_id="chat://1")
        self.told(comet)
        comet.client("k", mid=1, room_id="chat://1")
        self.assertEqual(self.told(comet), [])


class EndTests(SynchronousTestCase):
    """Nothing of a session that ended is left."""

    def test_all_is_let_go(self) -> None:
        """Its bucket, its rooms here and at logic, its positions."""
        comet = Comet(room_types=TYPES, linger_seconds=5)
        comet.server.start()
        connection = comet.client("k", version=2, mid=1, rooms=["chat://1", "live://1"])
        assert connection.session is not None and connection.session.channel is not None
        channel = connection.session.channel
        self.assertEqual(set(channel.positions or ()), {"m:1", "r:chat://1"})
        connection.lose()
        self.assertEqual((channel.positions, channel.rooms), ({}, ()))
        edge = comet.server._edge
        self.assertEqual((len(edge.directory), edge.directory.room_count, len(edge.expiries)), (0, 0, 0))
        comet.push(to_room(b"x"))
        comet.clock.pump([1] * 7)
        self.assertEqual([call.room for call in comet.logic.of(Host) if not call.wanted], ["chat://1", "live://1"])
