"""The loop over channels."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from imd.comet.channel import Channel
from imd.comet.drop import Drop
from imd.comet.edition import Edition
from imd.comet.fanout import Fanout
from imd.comet.fate import Fate
from imd.comet.hops import Hops
from imd.comet.load import Load
from imd.comet.policy import SlowPolicy
from imd.comet.position import Position, Stage
from imd.comet.squad import Squad
from imd.comet.tally import Tally
from imd.errors import CloseReason
from imd.protocol.push_header import decode_push_header
from imd.protocol.timeline import Place
from imd.protocol.trace import Step
from imd.protocol.wire import Wire
from imd.transport.battery import SocketBattery
from tests.support.comet_fakes import FakeConnection, FakeSink, channel, pushed
from tests.support.version_2 import following, newer_packets

DISCONNECT = SlowPolicy.DISCONNECT


def closes(member: Channel) -> list[CloseReason]:
    session: Any = member.session
    found: list[CloseReason] = session.closes
    return found


def squad_of(members: list[Channel]) -> Squad:
    squad = Squad("r")
    for member in members:
        squad.enter(member)
    return squad


class FanoutTests(SynchronousTestCase):
    """Three channels, one of them odd."""

    def spread(self, members: list[Channel], operation: int | None = 1000, size: int = 1) -> Tally:
        load = Load(Wire(b"x" * size), packets=1, policy=DISCONNECT, room="r", operation=operation)
        tally = Tally()
        Fanout(behind=lambda *_: None, arm=SocketBattery).spread(load, members, tally)
        return tally

    def test_a_faulty_channel_stops_nobody(self) -> None:
        """It is logged once and closed as our fault; the others get theirs."""
        faulty = FakeConnection()
        faulty.faulty = True
        members = [channel(), channel(connection=faulty), channel()]
        tally = self.spread(members)
        self.assertEqual((tally.delivered, tally.drops), (2, {Drop.FAULT: 1}))
        self.assertEqual([closes(member) for member in members], [[], [CloseReason.INTERNAL_ERROR], []])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_full_channel_stops_nobody(self) -> None:
        """It ends after the loop; goim's push to many keys stops at the first."""
        members = [channel(), channel(), channel()]
        members[1].outbox.pause()
        tally = self.spread(members, size=20_000)
        self.assertEqual((tally.delivered, tally.drops), (2, {Drop.SLOW_CONSUMER: 1}))
        self.assertEqual(closes(members[1]), [CloseReason.SLOW_CONSUMER])

    def test_accepts(self) -> None:
        """Asked for keys and all, also for operation 0."""
        members = [channel(accepts=frozenset({0})), channel(), channel(accepts=frozenset())]
        tally = self.spread(members, operation=0)
        self.assertEqual(tally.fates, {Fate.DELIVERED: 1, Fate.FILTERED: 2})

    def test_a_close_that_raises_stops_nobody(self) -> None:
        """The next ones are closed as well."""
        members = [channel(), channel()]
        for member in members:
            member.outbox.pause()
        members[0].session = None  # type: ignore[assignment]  # a bug, as far as fan-out can see
        self.spread(members, size=20_000)
        self.assertEqual(closes(members[1]), [CloseReason.SLOW_CONSUMER])
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)


class SquadTests(SynchronousTestCase):
    """Members of a room, straight to their sockets."""

    def setUp(self) -> None:
        self.sinks = [FakeSink() for _ in range(4)]
        self.connections = [FakeConnection(str(number)) for number in range(4)]
        for connection, sink in zip(self.connections, self.sinks, strict=True):
            connection.sink = sink
        self.members = [
            *(channel(connection=connection) for connection in self.connections[:2]),
            *(following(connection=connection) for connection in self.connections[2:]),
        ]
        for member, connection in zip(self.members, self.connections, strict=True):
            connection.session = _Pauses(member)  # type: ignore[assignment]  # the part that back-pressure reaches
        self.squad = squad_of(self.members)
        self.fanout = Fanout(behind=lambda *_: None, arm=SocketBattery)

    def spread(self, body: bytes = b"a", *, newer_only: bool = False) -> Tally:
        packets = pushed(body)
        edition = Edition(packets, marks=[(7, 8)], policy=DISCONNECT, room="r")
        load = Load(Wire(packets), packets=1, policy=DISCONNECT, room="r", newer_only=newer_only, edit=lambda: edition)
        tally = Tally()
        self.fanout.spread_squad(load, self.squad, tally)
        return tally

    def bodies(self, number: int) -> list[bytes]:
        """What a client would read, of all ways to it."""
        data = b"".join([*self.sinks[number].taken, *self.connections[number].writes])
        return [packet.body for packet in newer_packets(data)]

    def test_each_version_from_its_bytes(self) -> None:
        """Each kind has one object for all; the transports see nothing of it."""
        tally = self.spread()
        self.assertEqual((tally.offered, tally.fates), (4, {Fate.DELIVERED: 4}))
        taken = [sink.taken[0] for sink in self.sinks]
        self.assertEqual((taken[0], taken[1], taken[2]), (pushed(b"a"), taken[0], taken[3]))
        self.assertEqual([connection.writes for connection in self.connections], [[]] * 4)

    def test_what_only_newer_ones_can_read(self) -> None:
        """Is filtered for version 1."""
        self.assertEqual(self.spread(newer_only=True).fates, {Fate.FILTERED: 2, Fate.DELIVERED: 2})
        self.assertEqual([len(sink.taken) for sink in self.sinks], [0, 0, 1, 1])

    def test_short(self) -> None:
        """The transport gets the rest. It pauses the member within the loop, who holds what comes next, in order; the others go
        on as they were, those of the other version too."""
        self.sinks[0].room = 5
        self.connections[0].full_after = 1
        for body in (b"a", b"b", b"c"):
            tally = self.spread(body)
            self.assertEqual((tally.offered, tally.fates), (4, {Fate.DELIVERED: 4}))
        self.assertEqual([self.bodies(number) for number in (1, 2, 3)], [[b"a", b"b", b"c"]] * 3)
        self.assertEqual((self.bodies(0), self.members[0].outbox.held_packets), ([b"a"], 2))
        self.members[0].outbox.resume()
        self.assertEqual(self.bodies(0), [b"a", b"b", b"c"])
        self.squad.stir()
        self.assertEqual([member.outbox.packets_out for member in self.members], [3] * 4)

    def test_faults_within_the_loop(self) -> None:
        """Two cannot be finished: the one between them is; both end after the loop, and are sent nothing more."""
        for number in (0, 2):
            self.sinks[number].room = 0
            self.connections[number].faulty = True
        self.sinks[1].room = 5
        tally = self.spread()
        self.assertEqual((tally.fates, tally.drops), ({Fate.DELIVERED: 2}, {Drop.FAULT: 2}))
        self.assertEqual([len(closes(member)) for member in self.members], [1, 0, 1, 0])
        self.assertEqual([self.bodies(number) for number in (1, 3)], [[b"a"], [b"a"]])
        self.flushLoggedErrors(ZeroDivisionError)

    def test_an_end_of_one_within_the_end_of_another(self) -> None:
        """Whoever is told to go may take a neighbour along: the next push goes to those that are left."""
        self.members[0].outbox.pause()
        session: Any = self.members[0].session
        session.close = lambda reason: self.squad.leave(self.members[1])
        self.assertEqual(self.spread(b"x" * 20_000).drops, {Drop.SLOW_CONSUMER: 1})
        self.squad.leave(self.members[0])
        for sink in self.sinks:
            sink.taken.clear()
            sink.room = 1000
        self.assertEqual(self.spread().fates, {Fate.DELIVERED: 2})
        self.assertEqual([len(sink.taken) for sink in self.sinks], [0, 0, 1, 1])


class _Pauses:
    """The part of a session that a connection's back-pressure reaches."""

    def __init__(self, member: Channel) -> None:
        self.pause_writing = member.outbox.pause


class NewerTests(SynchronousTestCase):
    """Version-2 channels beside one of version 1."""

    def setUp(self) -> None:
        self.found_behind: list[tuple[Channel, str]] = []
        self.tally = Tally()

    def behind(self, member: Channel, timeline: str, position: Position) -> None:
        self.found_behind.append((member, timeline))
        position.stage = Stage.READING

    def spread(self, members: list[Channel], *bodies: bytes, first: int = 0, epoch: str = "e", **fields: Any) -> Tally:
        """To the room "r", kept from the place ``first`` on unless it is 0; or, with ``inboxes``, to keys."""
        packets = b"".join(map(pushed, bodies))
        places = [Place(first + number, epoch) for number in range(len(bodies))] if first else []
        inboxes = fields.pop("inboxes", None)
        room = "" if inboxes is not None or fields.get("operation") else "r"
        edition = Edition(
            packets,
            marks=[(7, 8)] * len(bodies),
            policy=DISCONNECT,
            room=room,
            places=places,
            inboxes=inboxes,
        )
        load = Load(Wire(packets), packets=len(bodies), policy=DISCONNECT, room=room, edit=lambda: edition, **fields)
        self.tally = Tally()
        fanout = Fanout(behind=self.behind, arm=SocketBattery)
        if room:
            fanout.spread_squad(load, squad_of(members), self.tally)
        else:
            fanout.spread(load, members, self.tally)
        return self.tally

    def headers(self, connection: FakeConnection) -> list[tuple[int, str, bytes]]:
        """(seq, timeline, body) of what was written."""
        found = []
        for packet in newer_packets(connection.written):
            header = decode_push_header(packet.extension)
            self.assertEqual((header.id, header.at_ms, packet.version), (7, 8, 2))
            found.append((header.seq, header.timeline, packet.body))
        return found

    def test_live(self) -> None:
        """Each reads its own version; the newer one's bytes are shared, and have seq 0."""
        older, newer, other = FakeConnection(), FakeConnection(), FakeConnection()
        members = [channel(connection=older), following(connection=newer), following(connection=other)]
        self.assertEqual(self.spread(members, b"a", b"b").fates, {Fate.DELIVERED: 3})
        self.assertEqual(older.written, pushed(b"a") + pushed(b"b"))
        self.assertIs(newer.writes[0], other.writes[0])
        self.assertEqual(self.headers(newer), [(0, "r", b"a"), (0, "r", b"b")])

    def test_live_to_keys(self) -> None:
        """Accepts are asked, and no timeline is named."""
        connection = FakeConnection()
        members = [following(connection=connection), following(accepts=frozenset())]
        tally = self.spread(members, b"a", operation=1000)
        self.assertEqual(tally.fates, {Fate.DELIVERED: 1, Fate.FILTERED: 1})
        self.assertEqual(self.headers(connection), [(0, "", b"a")])

    def test_kept_and_next(self) -> None:
        """Written once, shared, and the positions move; again it is a duplicate."""
        connections = [FakeConnection(), FakeConnection()]
        members = [following(room="r", connection=connection, last=4) for connection in connections]
        self.assertEqual(self.spread(members, b"a", b"b", first=5).fates, {Fate.DELIVERED: 2})
        self.assertIs(connections[0].writes[0], connections[1].writes[0])
        self.assertEqual(self.headers(connections[0]), [(5, "r", b"a"), (6, "r", b"b")])
        self.assertEqual(self.spread(members, b"a", b"b", first=5).fates, {Fate.DUPLICATE: 2})
        self.assertEqual(connections[0].writes, [])

    def test_kept_partly_there(self) -> None:
        """Only what it lacks is written, and each share is counted."""
        connection = FakeConnection()
        member = following(room="r", connection=connection, last=5)
        tally = self.spread([member], b"a", b"b", b"c", first=5)
        self.assertEqual(tally.parts, {(Fate.DUPLICATE, 0, 1): 1, (Fate.DELIVERED, 1, 3): 1})
        self.assertEqual(self.headers(connection), [(6, "r", b"b"), (7, "r", b"c")])

    def test_kept_with_a_gap_before(self) -> None:
        """Nothing is written: it is behind, said once, and so is what follows until it has caught up."""
        connection = FakeConnection()
        member = following(room="r", connection=connection, last=3)
        self.assertEqual(self.spread([member], b"a", first=5).fates, {Fate.DEFERRED: 1})
        self.assertEqual(self.spread([member], b"b", first=6).fates, {Fate.DEFERRED: 1})
        self.assertEqual((connection.writes, self.found_behind), ([], [(member, "r:r")]))
        assert member.positions is not None
        self.assertEqual(member.positions["r:r"].head, 6)

    def test_kept_of_another_epoch(self) -> None:
        """Is left to the timeline, which tells which is newer."""
        member = following(room="r", last=3)
        self.assertEqual(self.spread([member], b"a", first=4, epoch="f").fates, {Fate.DEFERRED: 1})
        assert member.positions is not None
        self.assertTrue(member.positions["r:r"].doubt)

    def test_kept_and_not_followed(self) -> None:
        """A comet that is told that a room is live takes its pushes as live ones."""
        connection = FakeConnection()
        member = following(connection=connection)
        self.assertEqual(self.spread([member], b"a", first=4).fates, {Fate.DELIVERED: 1})
        self.assertEqual(self.headers(connection), [(0, "r", b"a")])

    def test_kept_in_inboxes(self) -> None:
        """Each receiver has its own seq; accepts are not asked of version 2, for a hole would be a gap."""
        connections = [FakeConnection(), FakeConnection()]
        members = [
            following(key="a", mid=1, connection=connections[0], last=2, accepts=frozenset()),
            following(key="b", mid=2, connection=connections[1], last=8, accepts=frozenset()),
            channel("c", accepts=frozenset()),
        ]
        inboxes = {"a": Place(3, "e"), "b": Place(9, "e"), "c": Place(1, "e")}
        tally = self.spread(members, b"a", operation=1000, inboxes=inboxes)
        self.assertEqual(tally.fates, {Fate.DELIVERED: 2, Fate.FILTERED: 1})
        self.assertEqual([self.headers(each) for each in connections], [[(3, "", b"a")], [(9, "", b"a")]])

    def broken(self, packets: bytes, hops: Hops | None = None) -> Load:
        def edit() -> Edition:
            return Edition(packets, marks=[(1, 2)], policy=DISCONNECT)

        return Load(Wire(packets), packets=1, policy=DISCONNECT, room="r", operation=0, edit=edit, hops=hops)

    def test_broken_packets(self) -> None:
        """Are job's fault, and nobody's end; so are more or fewer than it says."""
        for packets in (b"x", b"", pushed(b"a") * 2):
            member, tally = following(accepts=frozenset({0})), Tally()
            Fanout(behind=self.behind, arm=SocketBattery).spread(self.broken(packets), [member], tally)
            self.assertEqual((tally.drops, closes(member)), ({Drop.FAULT: 1}, []))
            self.assertEqual(len(self.flushLoggedErrors()), 1)

    def test_broken_packets_traced(self) -> None:
        """Version 1 gets them as they are, whoever asks what became of them."""
        hops = Hops(now_ms=lambda: 77, process="comet/c")
        tally = Tally()
        Fanout(behind=self.behind, arm=SocketBattery).spread(
            self.broken(b"x", hops), [channel(accepts=frozenset({0}))], tally
        )
        self.assertEqual((tally.fates, [hop.step for hop in hops.noted]), ({Fate.DELIVERED: 1}, [Step.WRITTEN]))

    def test_faulty(self) -> None:
        """As with version 1."""
        connection = FakeConnection()
        connection.faulty = True
        member = following(room="r", connection=connection)
        self.assertEqual(self.spread([member], b"a", first=1).drops, {Drop.FAULT: 1})
        self.assertEqual(closes(member), [CloseReason.INTERNAL_ERROR])
        self.flushLoggedErrors(ZeroDivisionError)

    def test_traced(self) -> None:
        """Each channel's fate is noted, with its place."""
        slow, behind = following(key="slow", room="r", last=4), following(key="behind", room="r", last=2)
        slow.outbox.pause()
        members = [following(key="quick", room="r", mid=9, last=4), slow, behind]
        hops = Hops(now_ms=lambda: 77, process="comet/c", room="r", place=Place(5, "e"))
        tally = self.spread(members, b"a", first=5, hops=hops)
        self.assertEqual((tally.offered, tally.fates), (3, {Fate.DELIVERED: 2, Fate.DEFERRED: 1}))
        self.assertEqual(
            [(hop.device, hop.mid, hop.step, hop.reason, hop.seq) for hop in hops.noted],
            [
                ("quick", 9, Step.WRITTEN, "", 5),
                ("slow", 0, Step.QUEUED, "", 5),
                ("behind", 0, Step.KEPT, "deferred", 5),
            ],
        )
        self.assertEqual({(hop.timeline, hop.at_ms, hop.process) for hop in hops.noted}, {("r:r", 77, "comet/c")})
