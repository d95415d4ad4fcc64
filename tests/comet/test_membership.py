"""Being in rooms, and what follows from it."""

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imd.comet.attendance import GATHER_SECONDS
from imd.errors import PeerUnavailable
from imd.protocol.room_type import Join, Keep, RoomType, RoomTypes
from imd.protocol.rpc import Attendances, Connect, Host, Read
from tests.support.comet_fakes import Comet, FakeConnection, send, to_room

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


ROOM_IDS = ("chat://1", "chat://2", "live://1")
MOVES = st.one_of(
    st.tuples(st.sampled_from([12, 32, 34]), st.integers(0, 2), st.sampled_from(ROOM_IDS)),
    st.tuples(st.sampled_from(["come", "lose", "clock"]), st.integers(0, 2), st.sampled_from(ROOM_IDS)),
    st.tuples(st.sampled_from(["hold", "answer", "fail"]), st.just(0), st.sampled_from(["host", "read", "connect"])),
)
KINDS: dict[str, type] = {"host": Host, "read": Read, "connect": Connect}


class InterleavingTests(SynchronousTestCase):
    """Whatever clients, logic and the clock do."""

    @settings(deadline=None, max_examples=200)
    @given(st.lists(MOVES, max_size=60))
    def test_nothing_is_left(self, moves: list[tuple[Any, int, str]]) -> None:
        """Once all have gone: no channel, no room, no holder, nobody attending, each end told to presence; and each member's
        comings and goings were told in turn."""
        comet = Comet(room_types=TYPES, linger_seconds=5, handshake_seconds=8, packets_burst=10_000)
        comet.server.start()
        connections: dict[int, FakeConnection] = {}
        for move, number, name in moves:
            connection = connections.get(number)
            if move == "come":
                connections[number] = self.come(comet, number, name)
                if connection is not None:
                    connection.lose()
            elif move == "lose" and connection is not None:
                connections.pop(number).lose()
            elif move == "clock":
                comet.clock.advance(0.3 + 3 * number)
            elif move == "hold":
                comet.logic.held.add(KINDS[name])
            elif move in ("answer", "fail") and comet.logic.waiting(KINDS[name]):
                comet.logic.release(KINDS[name], PeerUnavailable("away") if move == "fail" else None)
            elif isinstance(move, int) and connection is not None and not connection.closes:
                body = name.encode() if move == 12 else msgspec.json.encode({"room": name})
                send(connection, move, body, version=2 if number else 1)
        comet.logic.held.clear()
        for connection in connections.values():
            connection.lose()
        for kind in KINDS.values():
            while comet.logic.waiting(kind):
                comet.logic.release(kind)
        comet.clock.pump([1] * 20)
        self.assert_empty(comet)

    def come(self, comet: Comet, number: int, room: str) -> FakeConnection:
        """Client 0 is of version 1; 1 and 2 are one member."""
        connection = comet.accept()
        body = {"key": f"k{number}", "mid": 1 + (number > 0), "room_id": room}
        if number:
            body |= {"rooms": ["live://1", "chat://2"], "resume": {"chat://2": {"seq": 0, "epoch": "e"}}}
        send(connection, 7, msgspec.json.encode(body), version=2 if number else 1)
        return connection

    def assert_empty(self, comet: Comet) -> None:
        edge = comet.server._edge
        self.assertEqual((len(edge.directory), edge.directory.room_count, edge.interest.hosted()), (0, 0, []))
        self.assertEqual((len(edge.handshakes), len(edge.heartbeats), len(edge.expiries)), (0, 0, 0))
        self.assertEqual((len(comet.server._attendance._here), len(comet.server._attendance)), (0, 0))
        self.assertEqual(len(edge.departures), 0)
        self.assertEqual(comet.server.conn_count, 0)
        there: set[tuple[str, int]] = set()
        for event in (event for call in comet.logic.of(Attendances) for event in call.events):
            self.assertEqual(event.joined, (event.room, event.mid) not in there)
            there ^= {(event.room, event.mid)}
        self.assertEqual(there, set())
