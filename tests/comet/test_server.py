"""One comet, whole."""

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from imd.comet.acks import GATHER_SECONDS
from imd.comet.server import GONE_SECONDS
from imd.errors import BadRequest, CloseReason, PeerUnavailable
from imd.protocol.room_type import RoomType, RoomTypes
from imd.protocol.rpc import (
    Acks,
    Attendance,
    Attendances,
    Batch,
    Connect,
    Disconnect,
    Item,
    Kind,
    Outcome,
    Read,
    Renew,
    Renewed,
)
from tests.support.comet_fakes import BOOT, NOW_MS, SERVER, Comet, FakeConnection, send, to_keys, to_room


class AcceptTests(SynchronousTestCase):
    """Who gets in."""

    def test_limits(self) -> None:
        """Refused ones are closed and counted, and take no place."""
        comet = Comet(max_connections=3, max_connections_per_address=2)
        connections = [comet.accept(FakeConnection(address)) for address in ("a", "a", "a", "b", "c")]
        closes = [connection.closes for connection in connections]
        self.assertEqual(closes, [[], [], [CloseReason.ADDRESS_LIMIT], [], [CloseReason.SERVER_FULL]])
        self.assertEqual([connection.session is None for connection in connections], [False, False, True, False, True])
        self.assertEqual((comet.server.conn_count, comet.server.ip_count), (3, 2))
        self.assertEqual((comet.closed(CloseReason.ADDRESS_LIMIT), comet.closed(CloseReason.SERVER_FULL)), (1, 1))
        connections[3].lose()
        self.assertEqual((comet.server.conn_count, comet.server.ip_count), (2, 1))
        self.assertIsNotNone(comet.accept(FakeConnection("c")).session)

    def test_a_closed_connection_counts_until_it_is_gone(self) -> None:
        """Its socket still is one."""
        comet = Comet()
        connection = comet.client("k")
        assert connection.session is not None
        connection.session.close(CloseReason.REPLACED)
        self.assertEqual((comet.server.conn_count, comet.metrics.connections.value("tcp")), (1, 1))
        connection.lose()
        self.assertEqual((comet.server.conn_count, comet.metrics.connections.value("tcp")), (0, 0))

    def test_gauges(self) -> None:
        """Connections by transport, channels, rooms, what outboxes hold."""
        comet = Comet()
        metrics = comet.metrics
        comet.accept(FakeConnection(transport="ws"))
        connection = comet.client("k", room_id="live://1", accepts=[1000])
        assert connection.session is not None
        self.assertEqual((metrics.connections.value("tcp"), metrics.connections.value("ws")), (1, 1))
        self.assertEqual((metrics.accepted.value("tcp"), metrics.accepted.value("ws")), (1, 1))
        self.assertEqual((metrics.channels.value(), metrics.rooms.value()), (1, 1))
        connection.session.pause_writing()
        comet.push(to_keys(b"x", "k"))
        comet.clock.advance(3)
        self.assertGreater(metrics.outbox_bytes.value(), 0)
        self.assertEqual(metrics.outbox_oldest_seconds.value(), 3)
        connection.lose()
        self.assertEqual((metrics.channels.value(), metrics.rooms.value(), metrics.outbox_bytes.value()), (0, 0, 0))


class DeadlineTests(SynchronousTestCase):
    """No timer per connection."""

    def setUp(self) -> None:
        self.comet = Comet(handshake_seconds=8, heartbeat_seconds=10, heartbeat_max=2)
        self.comet.server.start()
        self.timers = len(self.comet.clock.getDelayedCalls())

    def test_handshake(self) -> None:
        """It ends who says nothing, and who says something else."""
        silent, other = self.comet.accept(), self.comet.accept()
        for _ in range(7):
            self.comet.clock.advance(1)
            send(other, 2)
        self.assertEqual((silent.closes, other.closes), ([], []))
        self.comet.clock.pump([1] * 2)
        self.assertEqual((silent.closes, other.closes), ([CloseReason.HANDSHAKE_TIMEOUT],) * 2)

    def test_handshake_while_logic_is_asked(self) -> None:
        """It covers that, too; presence is told when logic's answer comes."""
        self.comet.logic.held.add(Connect)
        connection = self.comet.client("k")
        self.comet.clock.pump([1] * 9)
        self.assertEqual(connection.closes, [CloseReason.HANDSHAKE_TIMEOUT])
        self.comet.logic.release(Connect)
        self.assertEqual(len(self.comet.logic.of(Disconnect)), 1)

    def test_heartbeat(self) -> None:
        """Op 2 postpones, nothing else does."""
        beating, talking = self.comet.client("a"), self.comet.client("b")
        for _ in range(3):
            self.comet.clock.pump([1] * 9)
            send(beating, 2)
            if not talking.closes:
                send(talking, 4)
        self.assertEqual((beating.closes, talking.closes), ([], [CloseReason.HEARTBEAT_TIMEOUT]))
        self.comet.clock.pump([1] * 21)
        self.assertEqual(beating.closes, [CloseReason.HEARTBEAT_TIMEOUT])

    def test_stood_still(self) -> None:
        """Whoever sent op 2 while this process stood still is not ended for it: a look that is late leaves the verdict to the
        next one."""
        beating, silent, coming = self.comet.client("a"), self.comet.client("b"), self.comet.accept()
        self.comet.clock.rightNow += 30
        self.comet.clock.advance(0)
        send(beating, 2)
        self.assertEqual((beating.closes, silent.closes, coming.closes), ([], [], []))
        self.comet.clock.pump([1] * 2)
        self.assertEqual((beating.closes, silent.closes), ([], [CloseReason.HEARTBEAT_TIMEOUT]))
        self.assertEqual(coming.closes, [CloseReason.HANDSHAKE_TIMEOUT])

    def test_timers(self) -> None:
        """As many as without clients."""
        for number in range(50):
            self.comet.client(f"k{number}")
        self.assertEqual(len(self.comet.clock.getDelayedCalls()), self.timers)

    def test_very_many_at_once(self) -> None:
        """A look ends some, and comes again in the next turn for the rest."""
        connections = [self.comet.accept() for _ in range(1200)]
        self.comet.clock.pump([1] * 7)
        self.comet.clock.rightNow += 1
        ended = []
        for _ in range(3):
            self.comet.clock.turn()
            ended.append(sum(bool(connection.closes) for connection in connections))
        self.assertEqual(ended, [500, 1000, 1200])


class ExpiryTests(SynchronousTestCase):
    """Tokens that run out."""

    def test_very_many_at_once(self) -> None:
        """A look ends some, and comes again in the next turn for the rest; no timer for each."""
        comet = Comet(resumes_burst=5000)
        comet.server.start()
        timers = len(comet.clock.getDelayedCalls())
        comet.logic.connected = {"expires_at_ms": NOW_MS + 1}
        connections = [comet.client(f"k{number}", version=2) for number in range(1200)]
        self.assertEqual(len(comet.clock.getDelayedCalls()), timers)
        comet.clock.rightNow += 1
        ended = []
        for _ in range(3):
            comet.clock.turn()
            ended.append(sum(bool(connection.closes) for connection in connections))
        self.assertEqual(ended, [500, 1000, 1200])

    def test_expired_when_it_came(self) -> None:
        """logic let it in at the last moment: it ends at the next look."""
        comet = Comet()
        comet.server.start()
        comet.logic.connected = {"expires_at_ms": NOW_MS - 1}
        connection = comet.client("k", version=2)
        comet.clock.advance(1)
        self.assertEqual(connection.closes, [CloseReason.TOKEN_EXPIRED])


class CheckTests(SynchronousTestCase):
    """When something may have been missed, all timelines are looked at."""

    def setUp(self) -> None:
        self.comet = Comet(renew_seconds=1000, check_seconds=100_000)
        self.comet.server.start()
        self.connection = self.comet.client("k", version=2, mid=7)
        self.comet.logic.keep("m:7", b"missed")

    def found(self) -> bool:
        """Within three seconds of now."""
        self.comet.clock.pump([0, 0, 1, 1, 1, 0])
        return self.connection.operations() == [1000]

    def test_stood_still(self) -> None:
        """A look at deadlines that comes two seconds late says so."""
        self.comet.clock.rightNow += 3.1
        self.comet.clock.advance(0)
        self.assertTrue(self.found())

    def test_on_time(self) -> None:
        """Nothing is looked at before its turn."""
        self.comet.clock.pump([1] * 3)
        self.assertFalse(self.found())

    def test_the_lease_had_lapsed(self) -> None:
        """Once presence has everything again: what was pushed meanwhile did not come here."""
        logic, edge = self.comet.logic, self.comet.server._edge
        channel = edge.directory.find("k")
        assert channel is not None
        logic.held.add(Renew)
        logic.renewed = Renewed(lease_lapsed=True)
        self.comet.server._check(channel)
        logic.renewed = Renewed()
        logic.release(Renew)
        self.assertFalse(self.found())
        logic.release(Renew)
        self.assertTrue(self.found())

    def test_a_renewal_was_not_answered(self) -> None:
        """The lease may have lapsed, and presence said so to nobody."""
        logic, renewal = self.comet.logic, self.comet.server._edge.renewal
        logic.failing[Renew] = PeerUnavailable("no answer")
        renewal._begin()
        logic.failing.clear()
        self.assertTrue(self.found(), "the next round comes a second later")


class KickTests(SynchronousTestCase):
    """logic wants a connection out."""

    def kick(self, reason: int) -> FakeConnection:
        self.comet = Comet()
        connection = self.comet.client("k", version=2, mid=7)
        self.comet.push(Item(Kind.KICK, keys=("k",), reason=reason))
        return connection

    def test_with_a_reason(self) -> None:
        """At once, and the client is told."""
        connection = self.kick(CloseReason.DEVICE_LIMIT.code)
        self.assertEqual((connection.closes, connection.operations()), ([CloseReason.DEVICE_LIMIT], [6]))
        self.assertEqual(self.comet.logic.of(Renew), [])

    def test_while_its_handshake_runs(self) -> None:
        """Presence names it, the directory does not yet: it is let in, and out again, so that the member's limit holds."""
        for version in (1, 2):
            self.comet = Comet()
            self.comet.logic.held.add(Connect)
            connection = self.comet.client("k", version=version, mid=7)
            item = Item(Kind.KICK, keys=("k",), reason=CloseReason.DEVICE_LIMIT.code)
            self.assertEqual(self.comet.push(item), [Outcome(unknown=("k",))])
            self.comet.logic.release(Connect)
            self.assertEqual(connection.closes, [CloseReason.DEVICE_LIMIT])
            self.assertEqual([call.key for call in self.comet.logic.of(Disconnect)], ["k"])

    def test_without(self) -> None:
        """Presence is asked whose the key is, also where the reason is one that only a newer comet knows."""
        for reason in (0, 4999):
            connection = self.kick(reason)
            self.assertEqual((connection.closes, len(self.comet.logic.of(Renew))), ([], 1))


class PushTests(SynchronousTestCase):
    """What job may ask."""

    def test_another_boot(self) -> None:
        """Refused whole."""
        comet = Comet()
        connection = comet.client("k", accepts=[1000])
        for server, boot in ((SERVER, BOOT - 1), (SERVER, BOOT + 1), ("comet-2", BOOT)):
            batch = Batch(server, boot, (to_keys(b"x", "k"),))
            self.failureResultOf(Deferred.fromCoroutine(comet.server.push(batch)), BadRequest)
        self.assertEqual(connection.writes, [])

    def test_a_push_after_op_8(self) -> None:
        """To the key and to the room: it always arrives, and after op 8, even pushed in the very moment of op 8."""
        for framed in (False, True):
            comet = Comet()
            connection = PushingConnection(comet, framed=framed)
            comet.accept(connection)
            send(connection, 7, b'{"key": "k", "room_id": "live://1", "accepts": [1000]}')
            self.assertEqual(len(connection.writes), 3)
            self.assertEqual(connection.writes[0][-16:].hex(), "00000010001000010000000800000001")
            self.assertEqual([data[-1:] for data in connection.writes[1:]], [b"x", b"y"])


class PushingConnection(FakeConnection):
    """Makes a back end push as soon as the client sees its first packet."""

    def __init__(self, comet: Comet, *, framed: bool) -> None:
        super().__init__(framed=framed)
        self.comet = comet

    def write(self, data: bytes) -> None:
        super().write(data)
        if len(self.writes) == 1:
            self.comet.push(to_keys(b"x", "k"), to_room(b"y"))


class StopTests(SynchronousTestCase):
    """The end."""

    def test_all_are_told(self) -> None:
        """Clients why, presence whom; nobody gets in any more; no timer is left."""
        comet = Comet()
        comet.server.start()
        waiting, opened = comet.accept(), comet.client("k", version=2)
        stopping = Deferred.fromCoroutine(comet.server.stop())
        self.assertEqual((waiting.closes, opened.closes), ([CloseReason.SERVER_STOPPING],) * 2)
        self.assertEqual(opened.operations(), [6])
        self.assertEqual([call.key for call in comet.logic.of(Disconnect)], ["k"])
        self.assertEqual(comet.accept().closes, [CloseReason.SERVER_STOPPING])
        pushing = Deferred.fromCoroutine(comet.server.push(Batch(SERVER, BOOT, ())))
        self.failureResultOf(pushing, PeerUnavailable)
        for connection in (waiting, opened):
            self.assertNoResult(stopping)
            connection.lose()
            comet.clock.advance(GONE_SECONDS)
        self.successResultOf(stopping)
        self.assertEqual((comet.clock.getDelayedCalls(), comet.server.conn_count), ([], 0))

    def test_acks_and_attendance_leave_at_once(self) -> None:
        """What clients said before they were told to go, and that they went."""
        types = RoomTypes({"chat": RoomType(presence_events=True)})
        comet = Comet(room_types=types)
        comet.server.start()
        connection = comet.client("k", version=2, mid=7, rooms=["chat://1"])
        send(connection, 36, b'{"": 0}', version=2)
        comet.clock.advance(GATHER_SECONDS)
        comet.logic.calls.clear()
        send(connection, 36, b'{"": 0}', version=2)
        Deferred.fromCoroutine(comet.server.stop())
        self.assertEqual([call.acks[0].timeline for call in comet.logic.of(Acks)], ["m:7"])
        self.assertEqual([call.events for call in comet.logic.of(Attendances)], [(Attendance("chat://1", 7, False),)])

    def test_clients_that_resume(self) -> None:
        """They are told as well, and nothing of them is left."""
        comet = Comet()
        comet.server.start()
        comet.logic.held.add(Read)
        connection = comet.client("k", version=2, mid=7)
        stopping = Deferred.fromCoroutine(comet.server.stop())
        self.assertEqual((connection.closes, connection.operations()), ([CloseReason.SERVER_STOPPING], [6]))
        connection.lose()
        comet.logic.release(Read)
        comet.clock.pump([GONE_SECONDS] * 2)
        self.successResultOf(stopping)
        self.assertEqual((comet.clock.getDelayedCalls(), len(comet.logic.of(Disconnect))), ([], 1))

    def test_waits_for_handshakes(self) -> None:
        """One that logic answers while we stop is taken out of presence again."""
        comet = Comet()
        comet.server.start()
        comet.logic.held.add(Connect)
        comet.client("k").lose()
        stopping = Deferred.fromCoroutine(comet.server.stop())
        self.assertNoResult(stopping)
        comet.logic.release(Connect)
        self.successResultOf(stopping)
        self.assertEqual(len(comet.logic.of(Disconnect)), 1)

    def test_a_client_that_does_not_go(self) -> None:
        """It is waited for so long only."""
        comet = Comet(stop_seconds=3)
        comet.server.start()
        comet.client("k")
        stopping = Deferred.fromCoroutine(comet.server.stop())
        comet.clock.pump([GONE_SECONDS] * round(2.9 / GONE_SECONDS))
        self.assertNoResult(stopping)
        comet.clock.pump([GONE_SECONDS] * 4)
        self.successResultOf(stopping)

    def test_the_lease_is_given_back_last(self) -> None:
        """Whoever looks for this comet's clients finds none at once, and no renewal takes the lease again."""
        comet = Comet()
        comet.server.start()
        comet.client("k").lose()
        comet.logic.calls.clear()
        self.successResultOf(Deferred.fromCoroutine(comet.server.stop()))
        comet.clock.pump([10] * 3)
        self.assertEqual(comet.logic.calls, [Renew(SERVER, BOOT, leaving=True)])

    def test_stops_without_a_logic(self) -> None:
        """A logic that is away does not hold the stop up: the lease lapses."""
        comet = Comet()
        comet.server.start()
        comet.logic.failing[Renew] = PeerUnavailable("logic is away")
        self.successResultOf(Deferred.fromCoroutine(comet.server.stop()))

    def test_who_is_on_the_way_in(self) -> None:
        """Hears that this comet is stopping, whether its timelines were asked for or waited for their turn."""
        comet = Comet(reads=1)
        comet.server.start()
        comet.logic.held.add(Read)
        clients = [comet.client(key, version=2, mid=7) for key in "abc"]
        comet.logic.held.add(Disconnect)
        stopping = Deferred.fromCoroutine(comet.server.stop())
        self.assertEqual([each.closes for each in clients], [[CloseReason.SERVER_STOPPING]] * 3)
        comet.logic.release(Read)
        for each in clients:
            comet.logic.release(Disconnect)
            each.lose()
        comet.clock.advance(0.1)
        self.successResultOf(stopping)
        self.assertEqual(comet.clock.getDelayedCalls(), [])

    def test_bounded(self) -> None:
        """A logic that does not answer holds it up so long only; no timer is left."""
        comet = Comet(stop_seconds=10)
        comet.server.start()
        comet.logic.held |= {Disconnect, Connect}
        comet.client("k")
        comet.logic.release(Connect)
        comet.client("l")
        stopping = Deferred.fromCoroutine(comet.server.stop())
        comet.clock.advance(9)
        self.assertNoResult(stopping)
        comet.clock.advance(1)
        self.successResultOf(stopping)
        self.assertEqual(comet.clock.getDelayedCalls(), [])
