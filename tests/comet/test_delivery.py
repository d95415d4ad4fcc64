"""Batches to channels: order, slices, joining, outcomes."""

import msgspec
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from imd.comet.delivery import IDLE_SECONDS
from imd.comet.policy import SlowPolicy
from imd.errors import BadRequest, CloseReason, Fenced, Overloaded, PeerUnavailable
from imd.protocol.room_type import Keep, RoomType, RoomTypes
from imd.protocol.rpc import Batch, Item, Kind, Outcome, Outcomes, Renew, Renewed
from imd.protocol.timeline import Place
from imd.protocol.trace import Step
from tests.support.comet_fakes import BOOT, SERVER, Comet, FakeConnection, pushed, send, to_all, to_keys, to_room
from tests.support.version_2 import kept_for_keys, kept_in_room, seqs


def members(comet: Comet, count: int, room: str = "live://1") -> list[FakeConnection]:
    connections = [comet.client(f"{room}-{number}", room_id=room, accepts=[1000]) for number in range(count)]
    for connection in connections:
        connection.writes.clear()
    return connections


def bodies(connection: FakeConnection) -> list[bytes]:
    return [packet.body for packet in connection.packets()]


class OutcomeTests(SynchronousTestCase):
    """What job hears."""

    def test_each_kind(self) -> None:
        """Keys with those unknown, room, all; in the batch's order."""
        comet = Comet()
        members(comet, 3)
        comet.client("deaf", room_id="live://2")
        self.assertEqual(
            comet.push(
                to_keys(b"a", "live://1-0", "nobody", "deaf", "live://1-1"),
                to_room(b"b"),
                to_room(b"c", "live://none"),
                to_all(b"d"),
            ),
            [
                Outcome(delivered=2, filtered=1, unknown=("nobody",)),
                Outcome(delivered=3),
                Outcome(),
                Outcome(delivered=3, filtered=1),
            ],
        )
        value = comet.metrics.deliveries.value
        self.assertEqual([value(kind, "delivered") for kind in ("keys", "room", "all")], [2, 3, 3])
        self.assertEqual([value(kind, "filtered") for kind in ("keys", "room", "all")], [1, 0, 1])

    def test_counts_are_packets(self) -> None:
        """An item of several packets counts each, per channel."""
        comet = Comet()
        members(comet, 2)
        item = Item(Kind.ROOM, pushed(b"a") + pushed(b"b"), count=2, room="live://1")
        self.assertEqual(comet.push(item), [Outcome(delivered=4)])

    def test_empty_batch(self) -> None:
        """Answered at once."""
        self.assertEqual(Comet().push(), [])

    def test_a_push_to_many_keys_goes_on_past_a_full_client(self) -> None:
        """goim stops there."""
        comet = Comet(outbox_bytes=500)
        first, slow, last = (comet.client(key, accepts=[1000]) for key in "abc")
        assert slow.session is not None
        slow.session.pause_writing()
        comet.push(to_keys(b"1", "b"))
        (outcome,) = comet.push(to_keys(b"2", "a", "b", "c")) or []
        self.assertEqual((outcome.delivered, outcome.dropped), (2, (("slow_consumer", 1),)))
        self.assertEqual((bodies(first), bodies(last)), ([b"2"], [b"2"]))
        self.assertEqual(slow.closes, [CloseReason.SLOW_CONSUMER])
        self.assertEqual((comet.dropped("slow_consumer"), comet.dropped("outbox_lost")), (1, 1))

    def test_one_wire_for_all(self) -> None:
        """Receivers share the bytes; a WebSocket frame is built once."""
        comet = Comet()
        plain = [comet.client(connection=FakeConnection(), room_id="r") for _ in range(2)]
        framed = [comet.client(connection=FakeConnection(framed=True), room_id="r") for _ in range(2)]
        comet.push(to_room(b"x", "r"))
        self.assertIs(plain[0].writes[0], plain[1].writes[0])
        self.assertIs(framed[0].writes[0], framed[1].writes[0])
        self.assertEqual(framed[0].written.hex(), "8221" + "00000021001000010000000900000000" + pushed(b"x").hex())

    def test_policy_by_room_type(self) -> None:
        """A room's type picks it; the others and inboxes have the default."""
        comet = Comet(outbox_bytes=1100, slow_policies={"score": SlowPolicy.LATEST_ONLY})
        connection = comet.client("k", room_id="score://1", accepts=[1000])
        assert connection.session is not None
        connection.session.pause_writing()
        for number in range(50):
            comet.push(to_room(b"%d" % number, "score://1"))
            comet.clock.advance(0)
        comet.push(to_keys(b"inbox", "k"))
        connection.session.resume_writing()
        self.assertEqual(bodies(connection), [b"49", b"inbox"])
        self.assertEqual(comet.dropped("outbox_superseded"), 49)


class TurnTests(SynchronousTestCase):
    """One reactor turn."""

    def test_idle_leaves_at_once(self) -> None:
        """In the turn in which it came; no timer is left."""
        comet = Comet()
        connections = members(comet, 3)
        self.assertIsNotNone(comet.push(to_room(b"a")))
        self.assertEqual([len(connection.writes) for connection in connections], [1, 1, 1])
        self.assertEqual(comet.clock.getDelayedCalls(), [])

    def test_idle_for_a_moment(self) -> None:
        """Then the turn is another; before that, what was spent is spent."""
        comet = Comet(deliveries_per_turn=2)
        (connection,) = members(comet, 1)
        two = to_keys(b"x", "live://1-0"), to_keys(b"y", "live://1-0")
        self.assertIsNotNone(comet.push(*two))
        self.assertIsNone(comet.push(*two))
        comet.clock.turn()
        self.assertIsNone(comet.push(*two))
        comet.clock.turn()
        comet.clock.advance(2 * IDLE_SECONDS)
        self.assertIsNotNone(comet.push(*two))
        self.assertEqual(len(connection.writes), 8)
        self.assertEqual(comet.clock.getDelayedCalls(), [])

    def test_slices(self) -> None:
        """A turn writes to so many channels, over all batches, or to one squad; the answer comes after the last."""
        comet = Comet(deliveries_per_turn=10)
        connections = members(comet, 45)
        batch = Batch(SERVER, BOOT, (to_room(b"a"),))
        answered = Deferred.fromCoroutine(comet.server.push(batch))
        for reached in (20, 40):
            self.assertNoResult(answered)
            self.assertIsNone(comet.push(to_keys(b"b", "live://1-0")))
            self.assertEqual(sum(bool(connection.writes) for connection in connections), reached)
            comet.clock.turn()
        self.assertEqual(self.successResultOf(answered).outcomes, (Outcome(delivered=45),))

    def test_many_small_pushes_share_a_turn(self) -> None:
        """The budget is of the turn, not of the push: later ones wait for the next turn."""
        comet = Comet(deliveries_per_turn=10)
        (connection,) = members(comet, 1)
        for reached in (10, 20, 24, 24):
            for _ in range(12 if reached < 24 else 0):
                comet.push(to_keys(b"x", "live://1-0"))
            self.assertEqual(len(connection.writes), reached)
            comet.clock.turn()
        self.assertEqual(comet.clock.getDelayedCalls(), [])

    def test_items_for_nobody_are_not_free(self) -> None:
        """A thousand pushes to empty rooms do not hold the reactor either."""
        comet = Comet(deliveries_per_turn=10)
        self.assertIsNone(comet.push(*(to_room(b"x", f"live://{number}") for number in range(11))))

    def test_order_per_channel(self) -> None:
        """Whatever the kinds, and however many turns it takes."""
        comet = Comet(deliveries_per_turn=3)
        connections = members(comet, 10)
        keys = [f"live://1-{number}" for number in range(10)]
        items = [
            item
            for number in range(5)
            for item in (to_room(b"r%d" % number), to_keys(b"k%d" % number, *keys), to_all(b"a%d" % number))
        ]
        comet.push(*items[:7])
        comet.push(*items[7:])
        comet.clock.pump([0] * 100)
        expected = [b"%c%d" % (kind, number) for number in range(5) for kind in b"rka"]
        for connection in connections:
            self.assertEqual(bodies(connection), expected)

    def test_changes_between_slices(self) -> None:
        """Who left the room or the server meanwhile gets nothing; the others get theirs once."""
        comet = Comet(deliveries_per_turn=1)
        connections = members(comet, 10)
        comet.push(to_room(b"a"))
        late = [connection for connection in connections if not connection.writes]
        send(late[0], 12, b"")
        late[1].lose()
        newcomer = comet.client("new", room_id="live://1")
        comet.clock.pump([0] * 10)
        self.assertEqual(late[0].operations(), [13])
        self.assertEqual([bodies(connection) for connection in late[1:]], [[]] + [[b"a"]] * 6)
        self.assertEqual(bodies(newcomer), [])

    def test_who_leaves_and_comes_back_between_slices(self) -> None:
        """Has it already, or is a newcomer: nobody gets it twice."""
        comet = Comet(deliveries_per_turn=1)
        connections = members(comet, 6)
        comet.push(to_room(b"a"))
        directory = comet.server._edge.directory
        for key in ("live://1-0", "live://1-5"):
            channel = directory.find(key)
            assert channel is not None
            directory.leave(channel, "live://1")
            directory.join(channel, "live://1")
        comet.clock.pump([0] * 10)
        self.assertEqual([bodies(connection) for connection in connections], [[b"a"]] * 5 + [[]])

    def test_a_squad_is_never_cut(self) -> None:
        """What is left of a turn is too short for it: it has the next, which is whole."""
        comet = Comet(deliveries_per_turn=3)
        connections = members(comet, 8)
        comet.push(to_keys(b"k", "live://1-4"), to_room(b"a"))
        reached = [sum(b"a" in connection.written for connection in connections)]
        for _ in range(2):
            comet.clock.turn()
            reached.append(sum(b"a" in connection.written for connection in connections))
        self.assertEqual(reached, [0, 6, 2])

    def test_everybody_leaves_between_slices(self) -> None:
        """It is over, and answered; the next ones are not in the way."""
        comet = Comet(deliveries_per_turn=1)
        connections = members(comet, 6)
        answered = Deferred.fromCoroutine(comet.server.push(Batch(SERVER, BOOT, (to_room(b"a"),))))
        for connection in connections:
            connection.lose()
        comet.clock.pump([0] * 10)
        self.assertEqual(self.successResultOf(answered).outcomes, (Outcome(delivered=2),))
        self.assertEqual(comet.server._edge.directory.room_count, 0)

    def test_a_batch_from_an_answer(self) -> None:
        """Who pushes the next when one is answered gets it done, however many there are."""
        comet = Comet(deliveries_per_turn=100_000)
        (connection,) = members(comet, 1)

        async def push_on() -> None:
            for _ in range(3000):
                await comet.server.push(Batch(SERVER, BOOT, (to_room(b"x"),)))

        done = Deferred.fromCoroutine(push_on())
        comet.clock.pump([0] * 5)
        self.successResultOf(done)
        self.assertEqual(len(connection.writes), 3000)


class JoinTests(SynchronousTestCase):
    """What waits for the same room leaves in one write."""

    def setUp(self) -> None:
        self.comet = Comet(deliveries_per_turn=4)
        self.connections = members(self.comet, 4)
        self.comet.push(to_room(b"first"))  # spends the turn
        for connection in self.connections:
            connection.writes.clear()

    def turn(self) -> None:
        self.comet.clock.pump([0] * 20)

    def test_joined(self) -> None:
        """One write, each outcome its own, nothing lost."""
        first = self.comet.push(to_room(b"a"), to_room(b"b"))
        self.comet.push(Item(Kind.ROOM, pushed(b"c") + pushed(b"d"), count=2, room="live://1"))
        self.assertIsNone(first)
        self.turn()
        for connection in self.connections:
            self.assertEqual(len(connection.writes), 1)
            self.assertEqual(bodies(connection), [b"a", b"b", b"c", b"d"])
        self.assertEqual(self.comet.metrics.deliveries.value("room", "delivered"), 4 + 16)

    def test_outcomes_of_joined_items(self) -> None:
        """Counted by each item's packets."""
        items = (to_room(b"a"), Item(Kind.ROOM, pushed(b"c") + pushed(b"d"), count=2, room="live://1"))
        done = Deferred.fromCoroutine(self.comet.server.push(Batch(SERVER, BOOT, items)))
        self.turn()
        self.assertEqual([outcome.delivered for outcome in self.successResultOf(done).outcomes], [4, 8])

    def test_past_other_rooms_but_not_past_keys(self) -> None:
        """Nobody is in two rooms, so order holds; a key's push between keeps its place."""
        self.comet.push(to_room(b"a"), to_room(b"o", "live://2"), to_room(b"b"), to_keys(b"k", "live://1-0"))
        self.comet.push(to_room(b"c"), to_room(b"d"))
        self.turn()
        self.assertEqual([len(connection.writes) for connection in self.connections], [3, 2, 2, 2])
        self.assertEqual(bodies(self.connections[0]), [b"a", b"b", b"k", b"c", b"d"])

    def test_not_past_other_rooms_when_a_channel_is_in_both(self) -> None:
        """Then order would not hold."""
        directory = self.comet.server._edge.directory
        member = directory.find("live://1-0")
        assert member is not None
        directory.join(member, "live://2")
        self.comet.push(to_room(b"a"), to_room(b"o", "live://2"), to_room(b"b"), to_room(b"c"))
        self.turn()
        self.assertEqual(bodies(self.connections[0]), [b"a", b"o", b"b", b"c"])
        self.assertEqual(len(self.connections[1].writes), 2)

    def test_bounded(self) -> None:
        """A joined wire has a limit; the next begins another."""
        self.comet.push(*(to_room(b"x" * 30_000) for _ in range(5)))
        self.turn()
        self.assertEqual(len(self.connections[0].writes), 3)

    def test_what_began_is_not_joined(self) -> None:
        """Half of its receivers have it already."""
        comet = Comet(deliveries_per_turn=2)
        connections = members(comet, 4)
        comet.push(to_room(b"a"))
        comet.push(to_room(b"b"))
        comet.clock.pump([0] * 5)
        for connection in connections:
            self.assertEqual(len(connection.writes), 2)
            self.assertEqual(bodies(connection), [b"a", b"b"])


class BoundTests(SynchronousTestCase):
    """What may wait."""

    def test_overloaded(self) -> None:
        """Beyond the limit nothing of the batch is taken; later it is again."""
        comet = Comet(deliveries_per_turn=1, delivery_queue_bytes=3000)
        members(comet, 3)
        for _ in range(2):
            comet.push(to_room(b"x" * 500))
        error = self.failureResultOf(self.overload(comet), Overloaded)
        self.assertIn("wait", str(error.value))
        comet.clock.pump([0] * 20)
        self.assertEqual(comet.server._delivery.waiting_bytes, 0)
        self.assertNoResult(self.overload(comet))

    def overload(self, comet: Comet) -> Deferred[Outcomes]:
        batch = Batch(SERVER, BOOT, tuple(to_keys(b"x" * 500, "live://1-0") for _ in range(2)))
        return Deferred.fromCoroutine(comet.server.push(batch))

    def test_larger_than_the_queue(self) -> None:
        """It is taken when nothing waits: else it would never be."""
        comet = Comet(delivery_queue_bytes=100)
        self.assertIsNotNone(comet.push(to_room(b"x" * 500)))

    def test_stop(self) -> None:
        """What waits is unknown, and job may try elsewhere."""
        comet = Comet(deliveries_per_turn=1)
        members(comet, 3)
        comet.push(to_room(b"a"))
        waiting = self.overload(comet)
        self.assertEqual(comet.metrics.items_waiting.value(), 3)
        comet.server._delivery.stop()
        self.failureResultOf(waiting, PeerUnavailable)
        self.assertEqual(comet.clock.getDelayedCalls(), [])
        metrics = comet.metrics
        self.assertEqual(metrics.deliveries.value("room", "delivered"), 2)  # of a push that job will not hear of
        self.assertEqual((metrics.items_taken.value(), metrics.items_left.value()), (3, 3))
        self.assertEqual((metrics.items_settled.value(), metrics.items_waiting.value()), (0, 0))


class SweepTests(SynchronousTestCase):
    """Broadcasts with a speed."""

    def test_scheduled(self) -> None:
        """Answered at once; comet counts what becomes of it."""
        comet = Comet()
        members(comet, 20)
        self.assertEqual(comet.push(to_all(b"a", speed=10)), [Outcome(scheduled=20)])
        comet.clock.pump([0.1] * 30)
        self.assertEqual(comet.metrics.deliveries.value("all", "delivered"), 20)
        self.assertEqual(comet.clock.getDelayedCalls(), [])

    def test_others_go_on_beside_it(self) -> None:
        """A slow sweep keeps nobody waiting, another sweep neither."""
        comet = Comet()
        connections = members(comet, 5)
        comet.push(to_all(b"a", speed=1), to_all(b"b", speed=1))
        self.assertIsNotNone(comet.push(to_room(b"now")))
        self.assertTrue(all(b"now" in bodies(connection) for connection in connections))

    def test_too_many(self) -> None:
        """Beyond the limit a sweep is dropped, and says so; the batch's others are not."""
        comet = Comet(sweeps=1)
        members(comet, 3)
        outcomes = comet.push(to_all(b"a", speed=1), to_all(b"b", speed=1), to_room(b"c"))
        self.assertEqual(outcomes, [Outcome(scheduled=3), Outcome(dropped=(("sweeps", 3),)), Outcome(delivered=3)])
        self.assertEqual(comet.dropped("sweeps"), 3)
        comet.server._delivery.stop()
        self.assertEqual(comet.dropped("stopped"), 2)
        self.assertEqual(comet.metrics.packets_offered.value("all"), 6)

    def test_negative_speed(self) -> None:
        """Is none."""
        comet = Comet()
        members(comet, 3)
        self.assertEqual(comet.push(to_all(b"a", speed=-1)), [Outcome(delivered=3)])


class KickTests(SynchronousTestCase):
    """A key that may be another server's by now."""

    def test_replaced_elsewhere(self) -> None:
        """Presence agrees: the session ends."""
        comet = Comet()
        connection = comet.client("k", mid=3)
        comet.logic.renewed = Renewed(replaced=("k",))
        self.assertEqual(comet.push(Item(Kind.KICK, keys=("k",))), [Outcome()])
        self.assertEqual(connection.closes, [CloseReason.REPLACED])
        self.assertEqual([call.entries for call in comet.logic.of(Renew)], [(("k", 3),)])

    def test_came_back_meanwhile(self) -> None:
        """A kick that comes late does not hit the connection that is right here again."""
        comet = Comet()
        connection = comet.client("k")
        comet.push(Item(Kind.KICK, keys=("k",)))
        self.assertEqual(connection.closes, [])

    def test_a_newer_one_here_while_presence_is_asked(self) -> None:
        """The answer was about the older one."""
        comet = Comet()
        comet.client("k")
        comet.logic.held.add(Renew)
        comet.logic.renewed = Renewed(replaced=("k",))
        comet.push(Item(Kind.KICK, keys=("k",)))
        newer = comet.client("k")
        comet.logic.release(Renew)
        self.assertEqual(newer.closes, [])

    def test_unknown(self) -> None:
        """It says so."""
        self.assertEqual(Comet().push(Item(Kind.KICK, keys=("k",))), [Outcome(unknown=("k",))])


class KeptTests(SynchronousTestCase):
    """Items that stand in timelines, for clients of both versions."""

    def setUp(self) -> None:
        kept = RoomTypes({"kept": RoomType(keep=Keep(100, 10**9))})
        self.comet = Comet(room_types=kept, deliveries_per_turn=3)

    def settle(self) -> None:
        for _ in range(20):
            self.comet.clock.turn()
        self.comet.clock.advance(2 * IDLE_SECONDS)

    def member(self, key: str, version: int = 2, mid: int = 0) -> FakeConnection:
        connection = self.comet.client(key, version=version, mid=mid, room_id="kept://1", accepts=[1000])
        self.settle()
        connection.writes.clear()
        return connection

    def push(self, *items: Item) -> Deferred[Outcomes]:
        return Deferred.fromCoroutine(self.comet.server.push(Batch(SERVER, BOOT, items)))

    def test_each_in_its_version(self) -> None:
        """The same bodies, bare or with their places."""
        older, newer = self.member("a", version=1), self.member("b")
        self.settle()
        self.assertEqual(self.comet.push(kept_in_room(1, b"x", b"y")), [Outcome(delivered=4)])
        self.assertEqual(older.written, pushed(b"x") + pushed(b"y"))
        self.assertEqual(seqs(newer.written), [("kept://1", 1), ("kept://1", 2)])

    def test_again(self) -> None:
        """What comes twice is a duplicate for version 2; version 1 cannot tell."""
        older, newer = self.member("a", version=1), self.member("b")
        for expected in (Outcome(delivered=2), Outcome(delivered=1, duplicate=1)):
            self.settle()
            self.assertEqual(self.comet.push(kept_in_room(1, b"x")), [expected])
        self.assertEqual((older.operations(), seqs(newer.written)), ([1000, 1000], [("kept://1", 1)]))
        self.assertEqual(self.comet.metrics.deliveries.value("room", "duplicate"), 1)

    def test_joined(self) -> None:
        """Waiting items of a room are one load; each hears of its own packets, of which one was there already."""
        connections = [self.member(key) for key in "abc"]
        self.settle()
        items = [kept_in_room(1, b"x"), kept_in_room(1, b"x", b"y"), kept_in_room(3, b"z")]
        pushing = [self.push(item) for item in items]
        self.settle()
        outcomes = [self.successResultOf(each).outcomes[0] for each in pushing]
        self.assertEqual(outcomes, [Outcome(delivered=3), Outcome(delivered=3, duplicate=3), Outcome(delivered=3)])
        for connection in connections:
            self.assertEqual(len(connection.writes), 2)
            self.assertEqual(seqs(connection.written), [("kept://1", 1), ("kept://1", 2), ("kept://1", 3)])

    def test_kept_and_live_in_order(self) -> None:
        """They are not joined, and do not pass each other."""
        connections = [self.member(key) for key in "abc"]
        self.settle()
        items = (kept_in_room(1, b"a"), to_room(b"b", "kept://1"), kept_in_room(2, b"c"), to_room(b"d", "kept://1"))
        pushing = [self.push(item) for item in items]
        self.settle()
        self.assertEqual([self.successResultOf(each).outcomes[0].delivered for each in pushing], [3] * 4)
        for connection in connections:
            self.assertEqual([seq for _, seq in seqs(connection.written)], [1, 0, 2, 0])

    def test_presence(self) -> None:
        """Who comes and goes is for version 2 alone."""
        older, newer = self.member("a", version=1), self.member("b")
        self.settle()
        item = Item(Kind.ROOM, pushed(b"{}", 46), operation=46, room="kept://1", marks=((3, 4),))
        self.assertEqual(self.comet.push(item), [Outcome(delivered=1, filtered=1)])
        self.assertEqual((older.writes, seqs(newer.written)), ([], [("kept://1", 0)]))

    def test_traced(self) -> None:
        """The outcome has a line a channel, by the date that was handed in."""
        self.member("a", version=1)
        self.member("b", mid=4)
        self.settle()
        (outcome,) = self.comet.push(kept_in_room(1, b"x", traced=True)) or []
        found = {(hop.device, hop.mid, hop.step, hop.seq) for hop in outcome.hops}
        self.assertEqual(found, {("a", 0, Step.WRITTEN, 1), ("b", 4, Step.WRITTEN, 1)})
        self.assertEqual({(hop.process, hop.timeline) for hop in outcome.hops}, {(f"comet/{SERVER}", "r:kept://1")})

    def test_traced_to_keys(self) -> None:
        """In the inbox of each."""
        self.member("b", mid=4)
        self.settle()
        (outcome,) = self.comet.push(kept_for_keys(b"x", {"b": 1}, traced=True)) or []
        self.assertEqual([(hop.timeline, hop.seq, hop.step) for hop in outcome.hops], [("m:4", 1, Step.WRITTEN)])

    def test_a_key_of_another_member_by_now(self) -> None:
        """It is not meant: neither what is private nor its place goes to whoever has the key now, in either version."""
        older, newer = self.member("a", version=1, mid=5), self.member("b", mid=5)
        item = msgspec.structs.replace(kept_for_keys(b"x", {"a": 1, "b": 1}), mids=(4, 4))
        self.settle()
        self.assertEqual(self.comet.push(item), [Outcome(unknown=("a", "b"))])
        live = msgspec.structs.replace(item, places=())
        self.settle()
        self.assertEqual(self.comet.push(live), [Outcome(unknown=("a", "b"))])
        self.assertEqual((older.written, newer.written), (b"", b""))
        self.settle()
        self.assertEqual(self.comet.push(msgspec.structs.replace(item, mids=(5, 5))), [Outcome(delivered=2)])

    def test_slow_by_policy(self) -> None:
        """What a policy drops is a gap that the client sees; what follows is delivered."""
        comet = self.comet = Comet(
            room_types=RoomTypes({"kept": RoomType(keep=Keep(100, 10**9))}),
            slow_policies={"kept": SlowPolicy.DROP_OLDEST},
            outbox_bytes=700,
        )
        connection = self.member("b")
        assert connection.session is not None
        connection.session.pause_writing()
        for seq in range(1, 5):
            self.settle()
            self.assertEqual(comet.push(kept_in_room(seq, b"x")), [Outcome(delivered=1)])
        connection.session.resume_writing()
        self.assertEqual(seqs(connection.written), [("kept://1", 3), ("kept://1", 4)])
        self.assertEqual(comet.dropped("outbox_oldest"), 2)

    def test_bad_items(self) -> None:
        """Places, or members, that do not fit are refused, and nothing is taken."""
        item = msgspec.structs.replace(kept_in_room(1, b"x", b"y"), places=(Place(1, "e"),))
        self.failureResultOf(self.push(item), BadRequest)
        item = msgspec.structs.replace(kept_for_keys(b"x", {"b": 1}), mids=(4, 5))
        self.failureResultOf(self.push(item), BadRequest)
        self.assertEqual(self.comet.metrics.items_taken.value(), 0)

    def test_fenced(self) -> None:
        """An older owner of the partition delivers nothing once a newer one was here."""
        connection = self.member("a", version=1)
        item = to_room(b"x", "kept://1")
        for fence, expected in ((5, None), (6, None), (5, Fenced)):
            self.settle()
            batch = Batch(SERVER, BOOT, (item,), partition=3, fence=fence)
            pushing = Deferred.fromCoroutine(self.comet.server.push(batch))
            if expected is None:
                self.successResultOf(pushing)
            else:
                self.failureResultOf(pushing, expected)
        self.assertEqual(bodies(connection), [b"x", b"x"])
