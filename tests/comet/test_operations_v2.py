"""What an open session does with version 2's operations."""

import json
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imd.comet.acks import GATHER_SECONDS
from imd.comet.operations_v2 import SENDS_BURST, SYNCS_BURST
from imd.comet.state import State
from imd.errors import AuthRefused, BadRequest, CloseReason, DeadlineExceeded, NotAllowed, Overloaded, PeerUnavailable
from imd.protocol import rpc
from imd.protocol.error_body import ErrorBody
from imd.protocol.membership import JoinReply, LeaveReply
from imd.protocol.operation import Operation
from imd.protocol.packet import Packet
from imd.protocol.push_header import decode_push_header
from imd.protocol.refresh import RefreshReply
from imd.protocol.room_type import Join, Keep, RoomType, RoomTypes
from imd.protocol.rpc import Connect, Host, Item, Kind, Receive
from imd.protocol.send import SendReply
from imd.protocol.sync import SyncReply
from imd.protocol.timeline import Place
from tests.support.comet_fakes import NOW_MS, Comet, FakeConnection, pushed, send, to_room

TYPES = RoomTypes(
    {
        "chat": RoomType(keep=Keep(1000, 86_400_000), presence_events=True),
        "club": RoomType(join=Join.MEMBERS),
        "vip": RoomType(join=Join.GRANTED),
    }
)


def make_comet(**limits: Any) -> Comet:
    """With rooms of every kind."""
    return Comet(**{"room_types": TYPES, **limits})


def client(comet: Comet, key: str = "k", **auth: Any) -> FakeConnection:
    """A client of version 2."""
    return comet.client(key, version=2, **{"mid": 7, **auth})


def ask(connection: FakeConnection, operation: int, sequence: int = 5, /, **fields: Any) -> list[Packet]:
    """Send a JSON body; what is written for it."""
    connection.writes.clear()
    send(connection, operation, json.dumps(fields).encode(), sequence=sequence, version=2)
    return connection.packets()


def kept(room: str, seq: int, body: bytes = b"x") -> Item:
    """A kept push to a room."""
    return Item(
        Kind.ROOM, pushed(body), operation=1000, room=room, marks=((1000 + seq, 5000),), places=(Place(seq, "e"),)
    )


def error(packet: Packet) -> ErrorBody:
    """What op 48 says."""
    assert packet.operation == Operation.ERROR, packet
    return ErrorBody.decode(packet.body)


def seqs(packets: list[Packet]) -> list[int]:
    """Of pushes; -1 = it is no push."""
    return [decode_push_header(packet.extension).seq if packet.extension else -1 for packet in packets]


def bodies(comet: Comet) -> dict[int, tuple[Any, int | None]]:
    """Operation -> (a good body, the reply's operation; None = none), for a session in no room."""
    comet.logic.keep("m:7", b"a")
    return {
        2: (None, 3),
        4: ({"to": {"room": "live://1"}, "op": 1000, "body": "x"}, 5),
        7: ({}, 7),
        12: (None, 13),
        14: (None, 15),
        16: (None, 17),
        32: ({"room": "chat://1"}, 33),
        34: ({"room": "chat://1"}, 35),
        36: ({"": 0}, None),
        38: ({"timeline": "", "after": 1}, 39),
        44: ({"token": "t"}, 45),
        1000: (None, 1000),
    }


def _resuming(comet: Comet) -> FakeConnection:
    comet.logic.held.add(rpc.Read)
    return client(comet)


def _authenticating(comet: Comet) -> FakeConnection:
    comet.logic.held.add(Connect)
    return client(comet)


def _closing(comet: Comet) -> FakeConnection:
    connection = client(comet)
    assert connection.session is not None
    connection.session.close(CloseReason.REPLACED)
    return connection


def _closed(comet: Comet) -> FakeConnection:
    connection = client(comet)
    connection.lose()
    return connection


REACH: dict[State, Callable[[Comet], FakeConnection]] = {
    State.HANDSHAKE: lambda comet: comet.accept(),
    State.AUTHENTICATING: _authenticating,
    State.RESUMING: _resuming,
    State.OPEN: client,
    State.CLOSING: _closing,
    State.CLOSED: _closed,
}


class TableTests(SynchronousTestCase):
    """The whole product of states and operations."""

    def test_every_operation_in_every_state(self) -> None:
        """Answered when open; waits while logic is asked; otherwise only op 7 is heard, before anything else."""
        for at, reach in REACH.items():
            for operation in bodies(Comet()):
                comet = make_comet()
                fields, reply = bodies(comet)[operation]
                connection = reach(comet)
                assert connection.session is not None
                self.assertIs(connection.session.state, at)
                connection.writes.clear()
                body = b"" if fields is None else json.dumps(fields).encode()
                send(connection, operation, body, sequence=9, version=2)
                replies = [(packet.operation, packet.sequence, packet.version) for packet in connection.packets()]
                wanted = [(reply, 9, 2)] if at is State.OPEN and reply is not None else []
                if at is State.HANDSHAKE and operation == 7:
                    wanted = [(8, 9, 2)]
                self.assertEqual(replies, wanted, (at, operation))
                self.assertEqual(
                    connection.closes, [CloseReason.REPLACED] if at is State.CLOSING else [], (at, operation)
                )

    def test_version_1_knows_none_of_them(self) -> None:
        """As before: for the receive hook, then an echo."""
        for operation in (4, 32, 34, 36, 38, 44):
            comet = make_comet()
            connection = comet.client("k", mid=7)
            self.assertEqual(ask(connection, operation, room="chat://1"), [Packet(operation, b"", 5, 2)])
            self.assertEqual(len(comet.logic.of(Receive)), 1)
            self.assertEqual(comet.logic.of(rpc.Read), [])

    def test_hostile_bodies(self) -> None:
        """A goodbye that says so, then the end; logic hears nothing."""
        for operation in (4, 32, 34, 36, 38, 44):
            for body in (b"", b"null", b"[]", b"\xff", b'{"room": [5]}', b"{" * 4000, b'{"": -1}', b'{"": 1e400}'):
                comet = make_comet()
                connection = client(comet)
                calls = len(comet.logic.calls)
                connection.writes.clear()
                send(connection, operation, body, version=2)
                self.assertEqual(connection.closes, [CloseReason.BAD_BODY], (operation, body))
                self.assertEqual([packet.operation for packet in connection.packets()], [6])
                self.assertEqual([type(call).__name__ for call in comet.logic.calls[calls:]], ["Disconnect"])

    @settings(deadline=None, max_examples=300)
    @given(st.sampled_from([4, 12, 14, 16, 32, 34, 36, 38, 44]), st.binary(max_size=40) | st.text(max_size=20))
    def test_garbage(self, operation: int, body: bytes | str) -> None:
        """Whatever comes, nothing raises, and the session is open or has ended by its name."""
        comet = make_comet()
        connection = client(comet)
        send(connection, operation, body if isinstance(body, bytes) else json.dumps(body).encode(), version=2)
        self.assertIn(connection.closes, ([], [CloseReason.BAD_BODY]))


class JoinTests(SynchronousTestCase):
    """Op 32 and 34."""

    def test_live_room(self) -> None:
        """Besides the rooms it is in; it has no timeline, so what a client claims to know of one cannot be true."""
        comet = make_comet()
        connection = client(comet, room_id="live://1")
        for fields, recovered in (
            ({}, True),
            ({"after": 0}, True),
            ({"after": 3}, False),
            ({"after": 0, "epoch": "e"}, False),
        ):
            (reply,) = ask(connection, 32, room="live://2", **fields)
            self.assertEqual((reply.operation, reply.sequence), (33, 5))
            self.assertEqual(JoinReply.decode(reply.body), JoinReply("live://2", 0, "", recovered, 1))
        comet.push(to_room(b"one"), to_room(b"two", "live://2"))
        self.assertEqual([packet.body for packet in connection.packets()], [b"one", b"two"])

    def test_kept_room(self) -> None:
        """The reply says where it stands; a push right behind it is the next."""
        comet = make_comet()
        comet.logic.keep("r:chat://1", b"a", b"b")
        connection = client(comet)
        (reply,) = ask(connection, 32, room="chat://1")
        self.assertEqual(JoinReply.decode(reply.body), JoinReply("chat://1", 2, "e", True, 1))
        outcomes = comet.push(kept("chat://1", 2), kept("chat://1", 3, b"c"))
        assert outcomes is not None
        self.assertEqual([(outcome.duplicate, outcome.delivered) for outcome in outcomes], [(1, 0), (0, 1)])
        self.assertEqual([packet.body for packet in connection.packets()], [b"c"])

    def test_what_was_missed_follows_the_reply(self) -> None:
        """In order; then live, without a gap."""
        comet = make_comet()
        comet.logic.keep("r:chat://1", *(b"%d" % number for number in range(1, 6)))
        connection = client(comet)
        packets = ask(connection, 32, room="chat://1", after=2, epoch="e")
        self.assertEqual(JoinReply.decode(packets[0].body), JoinReply("chat://1", 5, "e", True, 1))
        self.assertEqual(seqs(packets), [-1, 3, 4, 5])
        comet.push(kept("chat://1", 6))
        self.assertEqual(seqs(connection.packets()), [6])

    def test_not_recovered(self) -> None:
        """Another epoch: nothing is claimed, nothing is sent, and it goes on behind the head."""
        comet = make_comet()
        comet.logic.keep("r:chat://1", b"a", b"b")
        connection = client(comet)
        (reply,) = ask(connection, 32, room="chat://1", after=1, epoch="other")
        self.assertEqual(JoinReply.decode(reply.body), JoinReply("chat://1", 2, "e", False, 1))
        comet.push(kept("chat://1", 3))
        self.assertEqual(seqs(connection.packets()), [3])

    def test_pushes_while_it_joins(self) -> None:
        """Whatever comes between the host and the reply is neither lost nor before it, nor twice."""
        comet = make_comet()
        comet.logic.keep("r:chat://1", b"a")
        comet.logic.held |= {Host, rpc.Read}
        connection = client(comet, mid=0)
        self.assertEqual(ask(connection, 32, room="chat://1", after=0, epoch="e"), [])
        comet.logic.release(Host)
        comet.logic.keep("r:chat://1", b"b")
        comet.push(kept("chat://1", 2))
        self.assertEqual(connection.packets(), [])
        comet.logic.held.clear()
        comet.logic.release(rpc.Read)
        comet.clock.advance(0)
        comet.logic.keep("r:chat://1", b"c")
        comet.push(kept("chat://1", 3))
        self.assertEqual(seqs(connection.packets()), [-1, 1, 2, 3])

    def test_again(self) -> None:
        """Into the same room: it begins anew where the client says that it stands, and is counted once."""
        comet = make_comet()
        comet.logic.keep("r:chat://1", b"a", b"b")
        connection = client(comet)
        ask(connection, 32, room="chat://1")
        packets = ask(connection, 32, room="chat://1", after=0, epoch="e")
        self.assertEqual(seqs(packets), [-1, 1, 2])
        self.assertEqual(JoinReply.decode(packets[0].body).online, 1)
        comet.push(kept("chat://1", 3))
        self.assertEqual(seqs(connection.packets()), [3])

    def test_policy(self) -> None:
        """Members only, or those whose token names the room; the connection stays."""
        comet = make_comet()
        comet.logic.connected = {"grants": ("vip://1",)}
        member, nobody = client(comet), client(comet, "n", mid=0)
        for connection, room, operation in (
            (member, "club://1", 33),
            (nobody, "club://1", 48),
            (member, "vip://1", 33),
            (member, "vip://2", 48),
        ):
            for op in (32, 12):
                if op == 12:
                    connection.writes.clear()
                    send(connection, 12, room.encode(), version=2)
                    (reply,) = connection.packets()
                    self.assertEqual(reply.operation, 13 if operation == 33 else 48, room)
                else:
                    (reply,) = ask(connection, 32, room=room)
                    self.assertEqual(reply.operation, operation, room)
                if reply.operation == 48:
                    self.assertEqual(
                        (error(reply).name, error(reply).op, error(reply).retry_after_ms), ("not_allowed", op, 0)
                    )
            self.assertEqual(connection.closes, [])

    def test_too_many(self) -> None:
        """No more rooms than the limit; one that is left makes room, and one that it is in is no more."""
        comet = make_comet(rooms=2)
        connection = client(comet, rooms=["live://1", "live://2"])
        (reply,) = ask(connection, 32, room="live://3")
        self.assertEqual((error(reply).name, error(reply).op), ("too_many", 32))
        self.assertEqual(ask(connection, 32, room="live://2")[0].operation, 33)
        ask(connection, 34, room="live://1")
        self.assertEqual(ask(connection, 32, room="live://3")[0].operation, 33)

    def test_logic_away(self) -> None:
        """The client is told when to try again, and is outside until then."""
        for kind in (Host, rpc.Read):
            comet = make_comet()
            connection = client(comet, mid=0)
            comet.logic.failing[kind] = PeerUnavailable("away")
            (reply,) = ask(connection, 32, room="chat://1")
            self.assertEqual((error(reply).name, error(reply).retry_after_ms), ("peer_unavailable", 1000))
            self.assertEqual(comet.server._edge.directory.count("chat://1"), 0)
            comet.logic.failing.clear()
            self.assertEqual(ask(connection, 32, room="chat://1")[0].operation, 33)

    def test_dear(self) -> None:
        """A room that logic must be asked about costs more than a packet: the client is told, and stays."""
        comet = make_comet(packets_burst=200, packets_per_second=100)
        connection = client(comet)
        replies = [ask(connection, 32, room=f"chat://{number}")[0] for number in range(21)]
        self.assertEqual([reply.operation for reply in replies], [33] * 20 + [48])
        self.assertEqual((error(replies[-1]).name, error(replies[-1]).retry_after_ms), ("overloaded", 1000))
        self.assertEqual(comet.server._edge.directory.count("chat://20"), 0)
        comet.clock.advance(1)
        self.assertEqual(ask(connection, 32, room="chat://20")[0].operation, 33)

    def test_vanished_while_joining(self) -> None:
        """Nothing is held for a client that is gone, at whichever step."""
        for kind in (Host, rpc.Read):
            comet = make_comet(linger_seconds=5)
            comet.server.start()
            connection = client(comet, mid=0)
            comet.logic.held.add(kind)
            ask(connection, 32, room="chat://1")
            connection.lose()
            comet.logic.held.clear()
            comet.logic.release(kind)
            comet.clock.pump([1] * 7)
            self.assertEqual([call.wanted for call in comet.logic.of(Host)], [True, False], kind)
            self.assertEqual(connection.packets(), [])

    def test_leave(self) -> None:
        """No push comes after the reply; a room that it is not in is left already."""
        comet = make_comet()
        connection = client(comet, rooms=["chat://1", "live://1"])
        for _ in range(2):
            (reply,) = ask(connection, 34, room="chat://1")
            self.assertEqual((reply.operation, LeaveReply.decode(reply.body)), (35, LeaveReply("chat://1")))
        comet.push(kept("chat://1", 1), to_room(b"still"))
        self.assertEqual([packet.body for packet in connection.packets()], [b"still"])

    def test_change_room_leaves_all(self) -> None:
        """Op 12: into one room, out of all others, what they keep is not followed any more; empty is out of all."""
        comet = make_comet()
        connection = client(comet, rooms=["chat://1", "live://1"])
        connection.writes.clear()
        send(connection, 12, b"chat://2", sequence=3, version=2)
        self.assertEqual(connection.packets(), [Packet(13, b"chat://2", 3, 2)])
        comet.push(kept("chat://1", 1), to_room(b"live"), kept("chat://2", 1))
        self.assertEqual(seqs(connection.packets()), [1])
        send(connection, 12, b"", version=2)
        comet.push(kept("chat://2", 2))
        self.assertEqual(connection.operations(), [13])

    def test_change_to_one_of_its_rooms(self) -> None:
        """It stays there without a gap."""
        comet = make_comet()
        connection = client(comet, rooms=["chat://1", "live://1"])
        comet.push(kept("chat://1", 1))
        connection.writes.clear()
        send(connection, 12, b"chat://1", version=2)
        comet.push(to_room(b"live"), kept("chat://1", 2))
        self.assertEqual(seqs(connection.packets()), [-1, 2])

    def test_change_that_fails(self) -> None:
        """It stays where it was, and may try again."""
        for kind in (Host, rpc.Read):
            comet = make_comet()
            connection = client(comet, mid=0, rooms=["live://1"])
            comet.logic.failing[kind] = PeerUnavailable("away")
            send(connection, 12, b"chat://2", version=2)
            comet.push(to_room(b"live"), kept("chat://2", 1))
            packets = connection.packets()
            self.assertEqual((error(packets[0]).op, [packet.body for packet in packets[1:]]), (12, [b"live"]))


class AckTests(SynchronousTestCase):
    """Op 36."""

    def acked(self, comet: Comet) -> set[tuple[str, str, int]]:
        comet.clock.advance(GATHER_SECONDS)
        return {(ack.timeline, ack.device, ack.seq) for call in comet.logic.of(rpc.Acks) for ack in call.acks}

    def test_sent_to_logic(self) -> None:
        """By the device's name, for rooms and the own inbox; without a reply."""
        comet = make_comet()
        comet.logic.keep("m:7", b"a")
        connection = client(comet, device="phone", rooms=["chat://1"], resume={"": {"seq": 0, "epoch": "e"}})
        comet.push(kept("chat://1", 1), kept("chat://1", 2))
        self.assertEqual(ask(connection, 36, **{"": 1, "chat://1": 2}), [])
        self.assertEqual(self.acked(comet), {("m:7", "7:phone", 1), ("r:chat://1", "7:phone", 2)})

    def test_device_names(self) -> None:
        """A member's device is the key when it says nothing; an anonymous one's always is."""
        comet = make_comet()
        for key, mid, device in (("a", 7, ""), ("b", 0, "phone")):
            connection = client(comet, key, mid=mid, device=device, rooms=["chat://1"])
            ask(connection, 36, **{"chat://1": 0})
        self.assertEqual({device for _, device, _ in self.acked(comet)}, {"7:a", "0:b"})

    def test_what_cannot_be_true(self) -> None:
        """Not followed, live, or beyond what it was sent: dropped and counted; the connection stays."""
        comet = make_comet()
        connection = client(comet, rooms=["chat://1", "live://1"])
        comet.push(kept("chat://1", 1))
        ask(connection, 36, **{"chat://1": 2, "chat://2": 1, "live://1": 1})
        self.assertEqual((self.acked(comet), connection.closes), (set(), []))
        count = comet.metrics.acks.value
        self.assertEqual((count("beyond"), count("unfollowed"), count("taken")), (1, 2, 0))

    def test_anonymous_has_no_inbox(self) -> None:
        """Nobody's inbox is nobody's."""
        comet = make_comet()
        connection = client(comet, mid=0)
        ask(connection, 36, **{"": 1})
        self.assertEqual(comet.metrics.acks.value("unfollowed"), 1)


class SyncTests(SynchronousTestCase):
    """Op 38."""

    def test_messages_then_the_reply(self) -> None:
        """In order, as ordinary pushes; ``more`` says whether to ask again."""
        comet = make_comet(page_messages=3)
        comet.logic.keep("m:7", *(b"%d" % number for number in range(1, 6)))
        connection = client(comet)
        packets = ask(connection, 38, timeline="", after=0)
        self.assertEqual(seqs(packets), [1, 2, 3, -1])
        self.assertEqual(packets[0].version, 2)
        self.assertEqual(decode_push_header(packets[0].extension).timeline, "")
        self.assertEqual((packets[-1].operation, packets[-1].sequence), (39, 5))
        self.assertEqual(SyncReply.decode(packets[-1].body), SyncReply("", 3, True, "e", True))
        packets = ask(connection, 38, timeline="", after=3, limit=2, epoch="e")
        self.assertEqual(seqs(packets), [4, 5, -1])
        self.assertEqual(SyncReply.decode(packets[-1].body), SyncReply("", 5, False, "e", True))
        (reply,) = ask(connection, 38, timeline="", after=5)
        self.assertEqual(SyncReply.decode(reply.body), SyncReply("", 5, False, "e", True))

    def test_not_recovered(self) -> None:
        """A window that has passed, and another epoch: what is there, and never a claim."""
        comet = make_comet()
        comet.logic.keep("r:chat://1", b"a", b"b", b"c")
        del comet.logic.timelines["r:chat://1"][0]
        connection = client(comet, rooms=["chat://1"])
        packets = ask(connection, 38, timeline="chat://1", after=0)
        self.assertEqual(seqs(packets), [2, 3, -1])
        self.assertEqual(SyncReply.decode(packets[-1].body), SyncReply("chat://1", 3, False, "e", False))
        (reply,) = ask(connection, 38, timeline="chat://1", after=1, epoch="other")
        self.assertEqual(SyncReply.decode(reply.body), SyncReply("chat://1", 3, False, "e", False))

    def test_only_what_it_follows(self) -> None:
        """Nobody reads a room that it is not in, a live one, or somebody's inbox."""
        comet = make_comet()
        connection = client(comet, rooms=["live://1"])
        for timeline in ("chat://1", "live://1", "m:8", "r:chat://1"):
            (reply,) = ask(connection, 38, timeline=timeline, after=0)
            self.assertEqual((error(reply).name, error(reply).op), ("not_allowed", 38))
        nobody = client(comet, "n", mid=0)
        self.assertEqual(error(ask(nobody, 38, timeline="", after=0)[0]).name, "not_allowed")

    def test_logic_away(self) -> None:
        """The client is told when to try again."""
        comet = make_comet()
        connection = client(comet)
        comet.logic.failing[rpc.Read] = DeadlineExceeded("late")
        (reply,) = ask(connection, 38, timeline="", after=0)
        self.assertEqual((error(reply).name, error(reply).retry_after_ms), ("deadline_exceeded", 1000))

    def test_dear(self) -> None:
        """More than so many at once are refused by name, without a question to logic, however often they are asked for; the
        client still may send what is cheap."""
        comet = make_comet(packets_burst=200, packets_per_second=100)
        connection = client(comet)
        replies = [ask(connection, 38, timeline="", after=0)[0].operation for _ in range(SYNCS_BURST + 50)]
        self.assertEqual(replies, [39] * SYNCS_BURST + [48] * 50)
        self.assertLessEqual(len(comet.logic.of(rpc.Read)), SYNCS_BURST + 1)
        self.assertEqual(connection.closes, [])


class SendTests(SynchronousTestCase):
    """Op 4."""

    def test_as_logic_knows_the_sender(self) -> None:
        """Member, key and whether it is in the room are ours, not the client's; the reply says where the message stands."""
        comet = make_comet()
        comet.logic.sent = rpc.Sent(2**60, 1234, Place(5, "e"))
        connection = client(comet, room_id="chat://1")
        (reply,) = ask(connection, 4, to={"room": "chat://1"}, op=1000, body="hi", client_id="c1", mid=99)
        self.assertEqual((reply.operation, SendReply.decode(reply.body)), (5, SendReply(2**60, 5, 1234)))
        (call,) = comet.logic.of(rpc.Send)
        self.assertEqual((call.key, call.mid, call.operation, call.body), ("k", 7, 1000, b"hi"))
        self.assertEqual((call.room, call.to, call.joined, call.client_id), ("chat://1", 0, True, "c1"))
        ask(connection, 4, to={"mid": "8"}, op=1000, body_base64="/w==")
        call = comet.logic.of(rpc.Send)[-1]
        self.assertEqual((call.to, call.room, call.joined, call.body), (8, "", False, b"\xff"))

    def test_refused(self) -> None:
        """By its name, with a pause where one helps; the connection stays."""
        for failure, pause_ms in (
            (NotAllowed("no"), 0),
            (BadRequest("bad"), 0),
            (Overloaded("busy", 3), 3000),
            (PeerUnavailable("away"), 1000),
        ):
            comet = make_comet()
            connection = client(comet)
            comet.logic.failing[rpc.Send] = failure
            (reply,) = ask(connection, 4, to={"mid": 8}, op=1000, body="x")
            self.assertEqual(
                (error(reply).name, error(reply).retry_after_ms, error(reply).op), (failure.name, pause_ms, 4)
            )
            self.assertEqual((connection.closes, comet.metrics.submitted.value(failure.name)), ([], 1))

    def test_in_order(self) -> None:
        """A leave behind a send that waits does not change whether it was in the room."""
        comet = make_comet()
        connection = client(comet, rooms=["live://1"])
        comet.logic.held.add(rpc.Send)
        ask(connection, 4, 1, to={"room": "live://1"}, op=1000, body="x")
        ask(connection, 34, 2, room="live://1")
        comet.logic.release(rpc.Send)
        self.assertEqual([(packet.operation, packet.sequence) for packet in connection.packets()], [(5, 1), (35, 2)])
        self.assertTrue(comet.logic.of(rpc.Send)[0].joined)

    def test_dear(self) -> None:
        """Beyond so many at once logic is not asked."""
        comet = make_comet(packets_burst=200, packets_per_second=100)
        connection = client(comet)
        for _ in range(SENDS_BURST + 10):
            ask(connection, 4, to={"mid": 8}, op=1000, body="x")
        self.assertEqual(len(comet.logic.of(rpc.Send)), SENDS_BURST)
        self.assertEqual(connection.closes, [])


class RefreshTests(SynchronousTestCase):
    """Op 44, and the end of a token."""

    def test_expired(self) -> None:
        """The session ends within a sweep of its token's date, and says so; goim's clients know no such end."""
        comet = make_comet()
        comet.server.start()
        comet.logic.connected = {"expires_at_ms": NOW_MS + 10_000}
        newer, older = client(comet), comet.client("o")
        comet.clock.pump([1] * 9)
        self.assertEqual(newer.closes, [])
        comet.clock.pump([1] * 2)
        self.assertEqual((newer.closes, older.closes), ([CloseReason.TOKEN_EXPIRED], []))
        self.assertEqual(newer.operations(), [6])

    def test_refreshed(self) -> None:
        """It goes on until the new date, and may what the new token says."""
        comet = make_comet()
        comet.server.start()
        comet.logic.connected = {"expires_at_ms": NOW_MS + 10_000}
        connection = client(comet)
        comet.logic.refreshed = rpc.Refreshed(NOW_MS + 20_000, ("vip://1",))
        (reply,) = ask(connection, 44, token="new")
        self.assertEqual((reply.operation, RefreshReply.decode(reply.body)), (45, RefreshReply(NOW_MS + 20_000)))
        (call,) = comet.logic.of(rpc.Refresh)
        self.assertEqual((call.key, call.mid, call.token), ("k", 7, "new"))
        self.assertEqual(ask(connection, 32, room="vip://1")[0].operation, 33)
        comet.clock.pump([1] * 19)
        self.assertEqual(connection.closes, [])
        comet.clock.pump([1] * 2)
        self.assertEqual(connection.closes, [CloseReason.TOKEN_EXPIRED])

    def test_refused(self) -> None:
        """The old one's date stands; logic away changes nothing either."""
        for failure, name in ((AuthRefused("no"), "unauthorized"), (PeerUnavailable("away"), "peer_unavailable")):
            comet = make_comet()
            comet.server.start()
            comet.logic.connected = {"expires_at_ms": NOW_MS + 10_000}
            connection = client(comet)
            comet.logic.failing[rpc.Refresh] = failure
            self.assertEqual(error(ask(connection, 44, token="bad")[0]).name, name)
            comet.clock.pump([1] * 11)
            self.assertEqual(connection.closes, [CloseReason.TOKEN_EXPIRED])

    def test_a_room_that_the_new_token_does_not_name(self) -> None:
        """It may not be there any more, and there is no packet that puts a client out of one room."""
        comet = make_comet()
        comet.logic.connected = {"grants": ("vip://1",)}
        connection = client(comet, rooms=["vip://1"])
        ask(connection, 44, token="new")
        self.assertEqual(connection.closes, [CloseReason.ROOM_REFUSED])

    def test_dear(self) -> None:
        """A signature is checked for each."""
        comet = make_comet(packets_burst=200, packets_per_second=100)
        connection = client(comet)
        operations = [ask(connection, 44, token="t")[0].operation for _ in range(21)]
        self.assertEqual(operations, [45] * 20 + [48])


class OrderTests(SynchronousTestCase):
    """Strictly one after the other."""

    def test_packets_behind_a_join(self) -> None:
        """They wait for it, and are answered in order."""
        comet = make_comet()
        connection = client(comet)
        comet.logic.held.add(Host)
        ask(connection, 32, 1, room="chat://1")
        ask(connection, 2, 2)
        ask(connection, 34, 3, room="chat://1")
        self.assertEqual(connection.packets(), [])
        comet.logic.release(Host)
        self.assertEqual(
            [(packet.operation, packet.sequence) for packet in connection.packets()], [(33, 1), (3, 2), (35, 3)]
        )
