"""From op 7 to op 8, and two connections with one key."""

from twisted.trial.unittest import SynchronousTestCase

from imd.errors import AuthRefused, CloseReason, DeadlineExceeded, Overloaded, PeerUnavailable
from imd.protocol.packet import Packet
from imd.protocol.rpc import Connect, Disconnect, Host, Receive
from tests.support.comet_fakes import Comet, send, to_keys, to_room


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
