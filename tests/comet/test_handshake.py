"""From op 7 to op 8, and two connections with one key."""

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from imd.errors import AuthRefused, CloseReason, DeadlineExceeded, Overloaded, PeerUnavailable
from imd.protocol.auth_reply import AuthReply, Standing
from imd.protocol.goodbye import Goodbye
from imd.protocol.packet import Packet
from imd.protocol.room_type import Join, Keep, RoomType, RoomTypes
from imd.protocol.rpc import Connect, Disconnect, Host, Item, Kind, Read, Receive
from imd.protocol.timeline import Place
from tests.support.comet_fakes import Comet, pushed, send, to_keys, to_room

TYPES = RoomTypes(
    {
        "chat": RoomType(keep=Keep(1000, 86_400_000)),
        "club": RoomType(join=Join.MEMBERS),
        "vip": RoomType(join=Join.GRANTED),
    }
)


def kept(room: str, seq: int, body: bytes = b"x") -> Item:
    """A kept push to a room."""
    packet = pushed(body)
    return Item(Kind.ROOM, packet, operation=1000, room=room, marks=((seq, 5000),), places=(Place(seq, "e"),))


class HandshakeTests(SynchronousTestCase):
    """Op 7 and what logic makes of it."""

    def test_logic_gets_what_the_client_said(self) -> None:
        """Field by field, with the address; comet proposes a key only when there is none."""
        comet = Comet()
        comet.client("k", mid=5, room_id="live://1", platform="web", accepts=[1000], token="t")
        comet.client()
        first, second = comet.logic.of(Connect)
        self.assertEqual(
            (first.key, first.mid, first.room, first.platform, first.accepts, first.token, first.address),
            ("k", 5, "live://1", "web", (1000,), "t", "192.0.2.1"),
        )
        self.assertEqual(second.key, "made-1")

    def test_hosted_before_the_reply(self) -> None:
        """Op 8 is written once pushes to the room come here: one that comes right after it arrives."""
        comet = Comet()
        comet.logic.held.add(Host)
        connection = comet.client("k", room_id="live://1")
        self.assertEqual(connection.packets(), [])
        self.assertEqual(comet.push(to_keys(b"early", "k"))[0].unknown, ("k",))  # type: ignore[index]  # known at once
        comet.logic.release(Host)
        self.assertEqual(connection.operations(), [8])
        comet.push(to_room(b"hi"))
        self.assertEqual(connection.packets(), [Packet(1000, b"hi")])

    def test_the_token_wins(self) -> None:
        """Key, member, room and accepts are what logic says."""
        comet = Comet()
        comet.logic.connected = {"key": "other", "mid": 9, "room": "live://9", "accepts": (7,)}
        connection = comet.client("k", mid=1, room_id="live://1")
        comet.push(to_keys(b"a", "other", operation=7), to_room(b"b", "live://9"), to_keys(b"c", "k", operation=7))
        self.assertEqual([packet.body for packet in connection.packets()], [b"a", b"b"])
        connection.lose()
        self.assertEqual([(call.key, call.mid) for call in comet.logic.of(Disconnect)], [("other", 9)])

    def test_refused(self) -> None:
        """A bad token ends the connection; presence has nothing to forget."""
        comet = Comet()
        comet.logic.failing[Connect] = AuthRefused("expired")
        connection = comet.client("k")
        self.assertEqual(connection.closes, [CloseReason.AUTH_REFUSED])
        self.assertEqual(comet.metrics.authentications.value("refused"), 1)
        self.assertEqual(comet.logic.of(Disconnect), [])

    def test_unavailable(self) -> None:
        """Nobody can say who it is: come again. Whether presence has it is unknown, so it is told."""
        for error in (PeerUnavailable("away"), DeadlineExceeded("late"), Overloaded("busy")):
            comet = Comet()
            comet.logic.failing[Connect] = error
            connection = comet.client("k", mid=3)
            self.assertEqual(connection.closes, [CloseReason.AUTH_UNAVAILABLE])
            self.assertEqual([(call.key, call.mid) for call in comet.logic.of(Disconnect)], [("k", 3)])
            self.assertEqual(comet.metrics.authentications.value("unavailable"), 1)

    def test_room_cannot_be_hosted(self) -> None:
        """Without its room it is not let in, and presence forgets it again."""
        comet = Comet()
        comet.logic.failing[Host] = PeerUnavailable("away")
        connection = comet.client("k", room_id="live://1")
        self.assertEqual(connection.closes, [CloseReason.AUTH_UNAVAILABLE])
        self.assertEqual(len(comet.logic.of(Disconnect)), 1)

    def test_bad_body(self) -> None:
        """Text that is no JSON, or a wrong type, ends it with a name; logic is not asked."""
        for body in (b"", b"null", b"[]", b'{"mid": "x"}', b"\xff", b'{"accepts": [2147483648]}'):
            comet = Comet()
            connection = comet.accept()
            send(connection, 7, body)
            self.assertEqual(connection.closes, [CloseReason.BAD_BODY], body)
            self.assertEqual(comet.logic.calls, [])
            self.assertEqual(comet.metrics.authentications.value("bad_body"), 1)

    def test_vanished_while_asking(self) -> None:
        """Presence is told once logic's answer has come, not before."""
        comet = Comet()
        comet.logic.held.add(Connect)
        connection = comet.client("k", mid=3, room_id="live://1")
        connection.lose()
        self.assertEqual(comet.logic.of(Disconnect), [])
        comet.logic.release(Connect)
        self.assertEqual([(call.key, call.mid) for call in comet.logic.of(Disconnect)], [("k", 3)])
        self.assertEqual(comet.logic.of(Host), [])
        self.assertEqual(comet.metrics.authentications.value("gone"), 1)
        self.assertEqual(connection.written, b"")

    def test_one_after_the_other(self) -> None:
        """Two with one key: the one that presence names last is the one that stays, also where their members differ."""
        comet = Comet()
        comet.logic.held.add(Connect)
        first, second = comet.client("k", mid=1), comet.client("k", mid=2)
        self.assertEqual([call.mid for call in comet.logic.of(Connect)], [1])
        comet.logic.release(Connect)
        self.assertEqual((first.operations(), second.operations()), ([8], []))
        self.assertEqual([call.mid for call in comet.logic.of(Connect)], [1, 2])
        comet.logic.release(Connect)
        self.assertEqual((first.closes, second.operations()), ([CloseReason.REPLACED], [8]))
        second.lose()
        self.assertEqual([(call.key, call.mid) for call in comet.logic.of(Disconnect)], [("k", 2)])

    def test_the_one_before_vanishes(self) -> None:
        """The next has its turn all the same; one that vanished while it waited asks nobody."""
        comet = Comet()
        comet.logic.held.add(Connect)
        first, second, third = (comet.client("k", mid=mid) for mid in (1, 2, 3))
        first.lose()
        second.lose()
        comet.logic.release(Connect)
        self.assertEqual([call.mid for call in comet.logic.of(Connect)], [1, 3])
        comet.logic.release(Connect)
        self.assertEqual(third.operations(), [8])

    def test_vanished_while_its_room_is_hosted(self) -> None:
        """The room is let go, too."""
        comet = Comet(linger_seconds=5)
        comet.server.start()
        comet.logic.held.add(Host)
        connection = comet.client("k", room_id="live://1")
        connection.lose()
        comet.logic.held.clear()
        comet.logic.release(Host)
        self.assertEqual(len(comet.logic.of(Disconnect)), 1)
        comet.clock.pump([1] * 7)
        self.assertEqual([call.wanted for call in comet.logic.of(Host)], [True, False])

    def test_a_bug_ends_one_session(self) -> None:
        """What logic's link should never raise is logged, and the client is not left hanging."""
        comet = Comet()
        comet.logic.connected = {"accepts": 5}  # not iterable
        connection = comet.client("k")
        self.assertEqual(connection.closes, [CloseReason.INTERNAL_ERROR])
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)

    def test_packets_behind_op_7(self) -> None:
        """They wait for op 8, as in goim, and are answered in order; what came before is gone; a second op 7 asks nobody."""
        comet = Comet()
        comet.logic.held.add(Connect)
        connection = comet.accept()
        send(connection, 4, b"before")
        for sequence, operation in enumerate((7, 2, 12, 7)):
            send(connection, operation, b"{}", sequence=sequence)
        self.assertEqual(connection.packets(), [])
        comet.logic.release(Connect)
        replies = [(packet.operation, packet.sequence) for packet in connection.packets()]
        self.assertEqual(replies, [(8, 0), (3, 1), (13, 2), (7, 3)])
        self.assertEqual(len(comet.logic.of(Connect)), 1)

    def test_packets_behind_op_7_are_bounded(self) -> None:
        """As behind any other packet that waits for logic."""
        comet = Comet(waiting_packets=2)
        comet.logic.held.add(Connect)
        connection = comet.client("k")
        for _ in range(2):
            send(connection, 2)
        self.assertEqual(connection.closes, [])
        send(connection, 2)
        self.assertEqual(connection.closes, [CloseReason.RATE_LIMITED])

    def test_packets_behind_a_refused_op_7(self) -> None:
        """Nobody hears of them."""
        comet = Comet()
        comet.logic.held.add(Connect)
        connection = comet.client("k")
        send(connection, 4, b"hi")
        comet.logic.release(Connect, AuthRefused("no"))
        self.assertEqual((connection.packets(), comet.logic.of(Receive)), ([], []))


class DuplicateTests(SynchronousTestCase):
    """Two connections with one key."""

    def test_the_newer_wins(self) -> None:
        """The older is told why; a push reaches the newer; the older's late loss removes nothing of its."""
        comet = Comet()
        older = comet.client("k", mid=1, room_id="live://1", accepts=[1000])
        newer = comet.client("k", mid=1, room_id="live://1", accepts=[1000])
        self.assertEqual(older.closes, [CloseReason.REPLACED])
        older.lose()
        self.assertEqual(comet.logic.of(Disconnect), [])
        outcomes = comet.push(to_keys(b"a", "k"), to_room(b"b"))
        assert outcomes is not None
        self.assertEqual([outcome.delivered for outcome in outcomes], [1, 1])
        self.assertEqual([packet.body for packet in newer.packets()], [b"a", b"b"])
        self.assertEqual(older.packets(), [])
        newer.lose()
        self.assertEqual(len(comet.logic.of(Disconnect)), 1)

    def test_a_stalled_older_one_hangs_nothing(self) -> None:
        """An older client that reads nothing, its outbox nearly full, delays neither the newer nor its bucket."""
        comet = Comet(buckets=1)
        stalled, neighbour = comet.client("k", accepts=[1000]), comet.client("n", accepts=[1000])
        assert stalled.session is not None
        stalled.session.pause_writing()
        comet.push(*(to_keys(b"x" * 1000, "k") for _ in range(100)))
        newer = comet.client("k", accepts=[1000])
        outcomes = comet.push(to_keys(b"a", "k", "n"))
        assert outcomes is not None
        self.assertEqual(outcomes[0].delivered, 2)
        self.assertEqual((len(newer.packets()), len(neighbour.packets())), (1, 1))

    def test_an_older_loss_while_the_newer_asks(self) -> None:
        """No disconnect can overtake the connect: the older's end is not told, the newer has the key."""
        comet = Comet()
        older = comet.client("k", mid=1)
        comet.logic.held.add(Connect)
        newer = comet.client("k", mid=1)
        older.lose()
        comet.logic.release(Connect)
        self.assertEqual(newer.operations(), [8])
        self.assertEqual(comet.logic.of(Disconnect), [])

    def test_an_older_loss_while_the_newer_is_refused(self) -> None:
        """Nobody has the key in the end: then presence is told of the older."""
        comet = Comet()
        older = comet.client("k", mid=1)
        comet.logic.held.add(Connect)
        comet.client("k", mid=2)
        older.lose()
        comet.logic.release(Connect, AuthRefused("no"))
        self.assertEqual([(call.key, call.mid) for call in comet.logic.of(Disconnect)], [("k", 1)])

    def test_a_newer_waits_for_the_disconnect_under_way(self) -> None:
        """logic hears of them one after the other."""
        comet = Comet()
        older = comet.client("k")
        comet.logic.held.add(Disconnect)
        older.lose()
        newer = comet.client("k")
        self.assertEqual(len(comet.logic.of(Connect)), 1)
        comet.logic.release(Disconnect)
        self.assertEqual(len(comet.logic.of(Connect)), 2)
        self.assertEqual(newer.operations(), [8])


class ResumeTests(SynchronousTestCase):
    """Op 7 of version 2: rooms, timelines, and what was missed."""

    def client(self, comet: Comet, key: str = "k", **auth: Any) -> list[Packet]:
        """What a client is written in answer to op 7."""
        self.connection = comet.accept()
        send(self.connection, 7, json.dumps({"key": key, "mid": 7, **auth}).encode(), sequence=3, version=2)
        return self.connection.packets()

    def test_reply(self) -> None:
        """Who it is, its limits, and where each of its timelines stands."""
        comet = Comet(room_types=TYPES, rooms=5)
        comet.logic.keep("r:chat://1", b"a", b"b")
        comet.logic.keep("m:7", b"x")
        (reply,) = self.client(comet, room_id="live://1", rooms=["chat://1", "live://1"], platform="web")
        self.assertEqual((reply.operation, reply.sequence, reply.version), (8, 3, 2))
        self.assertEqual(
            json.loads(reply.body),
            {
                "key": "k",
                "mid": "7",
                "server": "comet-1",
                "heartbeat_seconds": 240.0,
                "timelines": {
                    "": {"seq": 1, "epoch": "e", "recovered": True},
                    "live://1": {"seq": 0, "epoch": "", "recovered": True, "online": 1},
                    "chat://1": {"seq": 2, "epoch": "e", "recovered": True, "online": 1},
                },
                "limits": {"rooms": 5, "body_bytes": 4096, "packets_per_second": 100.0},
            },
        )
        (call,) = comet.logic.of(Connect)
        self.assertEqual((call.version, call.room, call.device), (2, "live://1", ""))

    def test_anonymous_has_no_inbox(self) -> None:
        """Nor has a member where inboxes are not kept: that one is live."""
        (reply,) = self.client(Comet(), mid=0)
        self.assertEqual(AuthReply.decode(reply.body).timelines, {})
        comet = Comet(inboxes_kept=False)
        (reply,) = self.client(comet, resume={"": {"seq": 4, "epoch": "e"}})
        self.assertEqual(AuthReply.decode(reply.body).timelines, {"": Standing(0, "", False)})
        self.assertEqual(comet.logic.of(Read), [])

    def test_missed_comes_behind_the_reply(self) -> None:
        """In order, then live; what the client did not ask for does not come."""
        comet = Comet(room_types=TYPES, page_messages=2)
        comet.logic.keep("r:chat://1", *(b"%d" % seq for seq in range(1, 8)))
        comet.logic.keep("m:7", b"i", b"j")
        resume = {"chat://1": {"seq": 2, "epoch": "e"}}
        reply, *pushes = self.client(comet, rooms=["chat://1"], resume=resume)
        self.assertEqual(AuthReply.decode(reply.body).timelines["chat://1"], Standing(7, "e", True, 1))
        comet.clock.pump([0] * 5)
        pushes += self.connection.packets()
        self.assertEqual([packet.body for packet in pushes], [b"3", b"4", b"5", b"6", b"7"])
        comet.push(kept("chat://1", 8))
        self.assertEqual(len(self.connection.packets()), 1)

    def test_not_recovered(self) -> None:
        """Another epoch, a place beyond the head, a window that has passed, a live room: never claimed."""
        comet = Comet(room_types=TYPES)
        for room in ("chat://1", "chat://2", "chat://3"):
            comet.logic.keep(f"r:{room}", b"a", b"b", b"c")
        del comet.logic.timelines["r:chat://3"][0]
        resume = {
            "chat://1": {"seq": 1, "epoch": "other"},
            "chat://2": {"seq": 9, "epoch": "e"},
            "chat://3": {"seq": 0, "epoch": "e"},
            "live://1": {"seq": 0, "epoch": "e"},
            "chat://4": {"seq": 1, "epoch": "e"},  # it does not ask for this room
        }
        reply, *pushes = self.client(comet, rooms=["chat://1", "chat://2", "chat://3", "live://1"], resume=resume)
        standings = AuthReply.decode(reply.body).timelines
        self.assertEqual(
            {name: (standing.seq, standing.recovered) for name, standing in standings.items()},
            {
                "": (0, True),
                "chat://1": (3, False),
                "chat://2": (3, False),
                "chat://3": (3, False),
                "live://1": (0, False),
            },
        )
        self.assertEqual(pushes, [])

    def test_reply_then_live_then_missed(self) -> None:
        """What is pushed while timelines are looked up comes behind op 8: live pushes at once, kept ones in their places, and
        nothing twice."""
        comet = Comet(room_types=TYPES)
        comet.logic.keep("r:chat://1", b"1")
        comet.logic.held.add(Read)
        resume = {"chat://1": {"seq": 0, "epoch": "e"}}
        self.assertEqual(self.client(comet, rooms=["chat://1", "live://1"], resume=resume, accepts=[1000]), [])
        comet.logic.keep("r:chat://1", b"2")
        outcomes = comet.push(to_room(b"live"), kept("chat://1", 2, b"2"), to_keys(b"key", "k"))
        assert outcomes is not None
        self.assertEqual([(outcome.delivered, outcome.deferred) for outcome in outcomes], [(1, 0), (0, 1), (1, 0)])
        self.assertEqual(self.connection.packets(), [])
        comet.logic.held.clear()
        while comet.logic.waiting(Read):
            comet.logic.release(Read)
        comet.logic.keep("r:chat://1", b"3")
        comet.push(kept("chat://1", 3, b"3"))
        comet.clock.pump([0] * 5)
        packets = self.connection.packets()
        self.assertEqual([packet.operation for packet in packets], [8] + [1000] * 5)
        self.assertEqual([packet.body for packet in packets[1:]], [b"live", b"key", b"1", b"2", b"3"])

    def test_join_policy(self) -> None:
        """One room that may not be joined ends either version's handshake; presence forgets it again."""
        for version in (1, 2):
            for mid, room, grants, closes in (
                (0, "club://1", (), [CloseReason.ROOM_REFUSED]),
                (7, "club://1", (), []),
                (7, "vip://1", ("vip://2",), [CloseReason.ROOM_REFUSED]),
                (7, "vip://1", ("vip://1",), []),
            ):
                comet = Comet(room_types=TYPES)
                comet.logic.connected = {"grants": grants}
                connection = comet.client("k", version=version, mid=mid, room_id=room)
                self.assertEqual(connection.closes, closes, (version, mid, room))
                self.assertEqual(comet.metrics.authentications.value("room_refused"), len(closes))
                self.assertEqual(len(comet.logic.of(Disconnect)), len(closes))
                self.assertEqual(len(comet.logic.of(Host)), 1 - len(closes))

    def test_rooms_of_version_1(self) -> None:
        """It has one, whatever else its op 7 says."""
        comet = Comet()
        connection = comet.client("k", room_id="live://1", rooms=["live://2"], resume=5)
        comet.push(to_room(b"a"), to_room(b"b", "live://2"))
        self.assertEqual([packet.body for packet in connection.packets()], [b"a"])

    def test_too_many_rooms(self) -> None:
        """More than the limit of this comet; a room named twice is one."""
        comet = Comet(rooms=2)
        self.client(comet, rooms=["live://1", "live://2", "live://1"])
        self.assertEqual(self.connection.closes, [])
        (goodbye,) = self.client(comet, "l", room_id="live://3", rooms=["live://1", "live://2"])
        self.assertEqual(self.connection.closes, [CloseReason.BAD_BODY])
        self.assertEqual(goodbye.operation, 6)
        self.assertEqual(len(comet.logic.of(Disconnect)), 1)

    def test_too_many_at_once(self) -> None:
        """Past the set rate clients are told when to come back, spread; presence forgets them, and their rooms go."""
        comet = Comet(resumes_per_second=1, resumes_burst=1)
        self.client(comet, "a", mid=1)
        waits = []
        for number in range(3):
            (goodbye,) = self.client(comet, f"b{number}", rooms=["live://1"])
            self.assertEqual(self.connection.closes, [CloseReason.RESUME_LIMITED])
            waits.append(Goodbye.decode(goodbye.body).retry_after_ms)
        self.assertEqual(waits, [1500, 3000, 4500])
        self.assertEqual(comet.metrics.authentications.value("limited"), 3)
        self.assertEqual(len(comet.logic.of(Disconnect)), 3)
        self.assertEqual(comet.server._edge.directory.count("live://1"), 0)

    def test_timelines_unavailable(self) -> None:
        """Without them nothing can be proven: come again."""
        comet = Comet()
        comet.logic.failing[Read] = PeerUnavailable("away")
        (goodbye,) = self.client(comet)
        self.assertEqual(self.connection.closes, [CloseReason.AUTH_UNAVAILABLE])
        self.assertTrue(Goodbye.decode(goodbye.body).reconnect)
        self.assertEqual(len(comet.logic.of(Disconnect)), 1)
        self.assertEqual(comet.metrics.authentications.value("unavailable"), 1)

    def test_deadline(self) -> None:
        """The handshake's covers this too; nothing of the client is left, and the answer that comes late does nothing."""
        comet = Comet(handshake_seconds=8)
        comet.server.start()
        comet.logic.held.add(Read)
        self.client(comet, rooms=["live://1"])
        comet.clock.pump([1] * 10)
        self.assertEqual(self.connection.closes, [CloseReason.HANDSHAKE_TIMEOUT])
        self.assertEqual(len(comet.server._edge.directory), 0)
        self.assertEqual(len(comet.logic.of(Disconnect)), 1)
        self.connection.writes.clear()
        comet.logic.release(Read)
        self.assertEqual((self.connection.packets(), comet.metrics.authentications.value("gone")), ([], 1))

    def test_vanished_while_looking_up(self) -> None:
        """As any channel that ends: presence is told at once, since it has been admitted."""
        comet = Comet()
        comet.logic.held.add(Read)
        self.client(comet)
        self.connection.lose()
        self.assertEqual(len(comet.logic.of(Disconnect)), 1)
        comet.logic.release(Read)
        self.assertEqual((self.connection.packets(), len(comet.logic.of(Disconnect))), ([], 1))

    def test_a_newer_one_while_looking_up(self) -> None:
        """It does not wait for the older one's timelines: that one is replaced."""
        comet = Comet()
        comet.logic.held.add(Read)
        self.client(comet)
        older = self.connection
        self.client(comet)
        self.assertEqual(older.closes, [CloseReason.REPLACED])
        comet.logic.held.clear()
        while comet.logic.waiting(Read):
            comet.logic.release(Read)
        comet.clock.advance(0)
        self.assertEqual(self.connection.operations(), [8])

    def test_a_room_that_cannot_be_hosted(self) -> None:
        """Those that were held before it are let go."""
        comet = Comet(linger_seconds=5)
        comet.server.start()
        comet.logic.held.add(Host)
        self.client(comet, rooms=["live://1", "live://2"])
        comet.logic.release(Host)
        comet.logic.release(Host, PeerUnavailable("away"))
        comet.logic.held.clear()
        self.assertEqual(self.connection.closes, [CloseReason.AUTH_UNAVAILABLE])
        comet.clock.pump([1] * 7)
        self.assertEqual(comet.server._edge.interest.hosted(), [])

    def test_a_slow_reader(self) -> None:
        """What waits under the cork is bounded as ever."""
        comet = Comet(outbox_bytes=2000)
        comet.logic.held.add(Read)
        self.client(comet, rooms=["live://1"])
        comet.push(*(to_room(b"x" * 500) for _ in range(5)))
        self.assertEqual(self.connection.closes, [CloseReason.SLOW_CONSUMER])
        self.assertEqual(self.connection.operations(), [6])

    def test_packets_behind_op_7(self) -> None:
        """They are answered behind op 8, and may be of version 2."""
        comet = Comet(room_types=TYPES)
        comet.logic.held.add(Read)
        self.client(comet)
        send(self.connection, 32, b'{"room": "live://1"}', sequence=4, version=2)
        comet.logic.release(Read)
        self.assertEqual([packet.operation for packet in self.connection.packets()], [8, 33])
