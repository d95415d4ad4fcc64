"""Promises of the dispatcher: nothing lost, nothing committed before its outcome, nobody waits for somebody else."""

from twisted.internet.defer import Deferred
from twisted.logger import LogLevel, capturedLogs

from imd.errors import (
    BadRequest,
    BrokerUnavailable,
    DeadlineExceeded,
    ImdError,
    Overloaded,
    PeerDown,
    PeerUnavailable,
    PresenceUnavailable,
)
from imd.protocol import rpc
from imd.protocol.push import Push, Target
from imd.protocol.rpc import Kind
from tests.support.job_fakes import NOW_MS, FakeComet, JobTestCase, delivered


class DeliveryTests(JobTestCase):
    """From the broker to the comets."""

    def test_a_push_reaches_the_comet_of_its_key(self) -> None:
        """One item, its packet, its operation; counted and committed."""
        self.attach("a", "k1")
        dispatcher = self.dispatcher()
        self.push(Target.KEYS, keys=("k1",))
        (item,) = self.a.items
        self.assertEqual((item.kind, item.keys, item.operation), (Kind.KEYS, ("k1",), 1000))
        self.assertEqual(self.a.bodies, [b"hi"])
        self.assertEqual(self.b.batches, [])
        self.assertEqual(self.waiting, 0)
        self.assertEqual(self.metrics.taken.value("keys"), 1)
        self.assertEqual(self.metrics.settled.value("keys"), 1)
        self.assertEqual(self.metrics.handed_over.value("delivered"), 1)
        self.end(dispatcher)

    def test_a_member_gets_it_on_every_device(self) -> None:
        """Keys of one member on two comets, each with its own share."""
        self.attach("a", "phone", mid=7)
        self.attach("b", "laptop", mid=7)
        self.attach("b", "other", mid=8)
        dispatcher = self.dispatcher()
        self.push(Target.MEMBERS, mids=(7,))
        self.assertEqual([item.keys for item in self.a.items], [("phone",)])
        self.assertEqual([item.keys for item in self.b.items], [("laptop",)])
        self.end(dispatcher)

    def test_a_room_goes_to_its_hosts_only(self) -> None:
        """A comet without members of the room hears nothing."""
        self.host("b", "live://1")
        dispatcher = self.dispatcher()
        self.push(Target.ROOM, room="live://1")
        self.assertEqual(self.a.batches, [])
        self.assertEqual([(item.kind, item.room) for item in self.b.items], [(Kind.ROOM, "live://1")])
        self.end(dispatcher)

    def test_all_goes_everywhere_at_a_share_of_its_speed(self) -> None:
        """Speed is the cluster's; each comet gets its part, at least one; 0 stays at once."""
        dispatcher = self.dispatcher()
        for speed in (100, 1, 0):
            self.push(Target.ALL, speed=speed)
        for comet in (self.a, self.b):
            self.assertEqual([item.speed for item in comet.items], [50, 1, 0])
        self.end(dispatcher)

    def test_a_kick_goes_to_that_start_only(self) -> None:
        """Another boot, or a comet that is gone, has no such connection: nothing to do, nothing dropped."""
        dispatcher = self.dispatcher()
        for server, boot in (("a", 1), ("a", 2), ("gone", 1)):
            self.push(Target.KICK, body=b"", keys=("k",), server=server, boot=boot)
        self.assertEqual([(item.kind, item.keys) for item in self.a.items], [(Kind.KICK, ("k",))])
        self.assertEqual(self.waiting, 0)
        self.assertEqual(dict(self.metrics.drops.values), {})
        self.end(dispatcher)

    def test_no_comet_at_all(self) -> None:
        """A broadcast to nobody is a counted drop, no crash."""
        self.comets.comets.clear()
        dispatcher = self.dispatcher()
        self.push(Target.ALL)
        self.assertEqual(self.drops("no_comet"), 1)
        self.assertEqual(self.waiting, 0)
        self.end(dispatcher)

    def test_nobody_there_is_counted(self) -> None:
        """Unknown keys, members and rooms: one drop each, and committed."""
        dispatcher = self.dispatcher()
        self.push(Target.KEYS, keys=("x", "y"))
        self.push(Target.MEMBERS, mids=(1, 2, 3))
        self.push(Target.ROOM, room="live://nobody")
        self.assertEqual(self.drops("not_connected"), 6)
        self.assertEqual(self.waiting, 0)
        self.end(dispatcher)

    def test_seconds_from_acceptance_to_outcome(self) -> None:
        """Measured on the epoch's clock."""
        self.attach("a", "k")
        self.a.holding = True
        dispatcher = self.dispatcher()
        self.push(Target.KEYS, keys=("k",))
        self.clock.advance(2)
        self.a.release()
        self.assertEqual(self.metrics.delivery_seconds.values[()][-1], 2.0)
        self.end(dispatcher)


class OrderTests(JobTestCase):
    """What comes after what."""

    def test_pushes_of_a_partition_arrive_in_order(self) -> None:
        """One request at a time to a comet; what gathers meanwhile leaves in the next."""
        self.attach("a", "k")
        self.a.holding = True
        dispatcher = self.dispatcher()
        for number in range(10):
            self.push(Target.KEYS, b"%d" % number, keys=("k",))
        self.assertEqual(len(self.a.batches), 1)
        self.a.release()
        self.assertEqual(self.a.bodies, [b"%d" % number for number in range(10)])
        self.assertEqual([len(batch.items) for batch in self.a.batches], [1, 9])
        self.end(dispatcher)

    def test_order_holds_when_a_comet_refuses(self) -> None:
        """A refused request is tried again before anything that came later."""
        self.attach("a", "k")
        dispatcher = self.dispatcher()
        self.a.error = Overloaded("busy")
        self.push(Target.KEYS, b"1", keys=("k",))
        self.push(Target.KEYS, b"2", keys=("k",))
        self.a.error = None
        self.a.batches.clear()
        self.clock.advance(1)
        self.assertEqual(self.a.bodies, [b"1", b"2"])
        self.end(dispatcher)

    def test_pushes_read_together_to_one_room_leave_in_one_item(self) -> None:
        """Merged once for all its hosts, counted, order kept."""
        self.host("a", "live://1")
        self.host("b", "live://1")
        self.publish([Push(n, NOW_MS, Target.ROOM, 1000, b"%d" % n, room="live://1") for n in range(5)])
        dispatcher = self.dispatcher()
        for comet in (self.a, self.b):
            (item,) = comet.items
            self.assertEqual(item.count, 5)
            self.assertEqual(comet.bodies, [b"%d" % n for n in range(5)])
        self.assertIs(self.a.items[0], self.b.items[0])
        self.assertEqual(self.metrics.merged.value(), 5)
        self.assertEqual(self.metrics.settled.value("room"), 5)
        self.end(dispatcher)

    def test_an_idle_room_does_not_wait(self) -> None:
        """A single push leaves at once, alone."""
        self.host("a", "live://1")
        dispatcher = self.dispatcher()
        self.push(Target.ROOM, room="live://1")
        self.assertEqual([item.count for item in self.a.items], [1])
        self.assertEqual(self.metrics.merged.value(), 0)
        self.end(dispatcher)


class CommitTests(JobTestCase):
    """When the broker may forget."""

    def test_nothing_is_committed_before_its_outcome(self) -> None:
        """A push is in the broker until the comet has answered."""
        self.attach("a", "k")
        self.a.holding = True
        dispatcher = self.dispatcher()
        self.push(Target.KEYS, keys=("k",))
        self.assertEqual(self.waiting, 1)
        self.a.release()
        self.assertEqual(self.waiting, 0)
        self.end(dispatcher)

    def test_commits_are_contiguous(self) -> None:
        """A later read whose outcome is known waits for the earlier one."""
        self.attach("a", "slow")
        self.attach("b", "quick")
        self.a.holding = True
        dispatcher = self.dispatcher()
        self.push(Target.KEYS, keys=("slow",))
        self.push(Target.KEYS, keys=("quick",))
        self.assertEqual(self.metrics.handed_over.value("delivered"), 1)
        self.assertEqual(self.waiting, 2)
        self.a.release()
        self.assertEqual(self.waiting, 0)
        self.end(dispatcher)

    def test_a_job_that_dies_loses_nothing(self) -> None:
        """What was under way is delivered again by the next owner."""
        self.attach("a", "k")
        self.a.holding = True
        first = self.dispatcher(settle_seconds=0.0)
        self.push(Target.KEYS, keys=("k",))
        self.run_now(first.close())  # nothing of it is settled or committed
        self.a.holding = False
        second = self.dispatcher()
        self.assertEqual(self.a.bodies, [b"hi", b"hi"])
        self.assertEqual(self.waiting, 0)
        self.end(second)

    def test_the_window_bounds_what_is_under_way(self) -> None:
        """Beyond it nothing is read; it goes on when the oldest is committed."""
        self.attach("a", "k")
        self.a.holding = True
        dispatcher = self.dispatcher(window=2, read_limit=1)
        for _ in range(5):
            self.push(Target.KEYS, keys=("k",))
        self.assertEqual(self.metrics.taken.value("keys"), 2)
        self.a.release()
        self.assertEqual(self.metrics.taken.value("keys"), 5)
        self.assertEqual(self.waiting, 0)
        self.end(dispatcher)

    def test_a_commit_outlives_the_brokers_absence(self) -> None:
        """Tried until it is there; nothing is delivered twice for that."""
        self.attach("a", "k")
        self.a.holding = True
        dispatcher = self.dispatcher()
        self.push(Target.KEYS, keys=("k",))
        self.broker.error = BrokerUnavailable("away")
        self.a.release()
        self.advance(3)
        self.assertIn("away", str(dispatcher.trouble()))
        self.broker.error = None
        self.advance(3)
        self.assertIsNone(dispatcher.trouble())
        self.assertEqual((self.waiting, self.a.bodies), (0, [b"hi"]))
        self.end(dispatcher)


class PartitionTests(JobTestCase):
    """Partitions come and go."""

    def test_only_owned_partitions_are_read(self) -> None:
        """The others are some other job's."""
        self.attach("a", "k")
        dispatcher = self.dispatcher((1, 2))
        for partition in range(4):
            self.push(Target.KEYS, b"%d" % partition, partition, keys=("k",))
        self.assertEqual(sorted(self.a.bodies), [b"1", b"2"])
        self.assertEqual(self.metrics.partitions.value(), 2)
        self.end(dispatcher)

    def test_giving_up_waits_for_what_is_under_way(self) -> None:
        """assigned returns once it is settled and committed; nothing new is read meanwhile."""
        self.attach("a", "k")
        self.a.holding = True
        dispatcher = self.dispatcher()
        self.push(Target.KEYS, b"1", keys=("k",))
        given_up = Deferred.fromCoroutine(dispatcher.assigned(frozenset()))
        self.push(Target.KEYS, b"2", keys=("k",))
        self.assertNoResult(given_up)
        self.a.release()
        self.successResultOf(given_up)
        self.assertEqual((self.a.bodies, self.waiting), ([b"1"], 1))
        self.assertEqual(self.metrics.partitions.value(), 0)
        self.end(dispatcher)

    def test_giving_up_does_not_wait_for_ever(self) -> None:
        """Past its deadline the rest is left to the next owner, uncommitted; a late answer changes nothing."""
        self.attach("a", "k")
        self.a.holding = True
        dispatcher = self.dispatcher(settle_seconds=3.0)
        self.push(Target.KEYS, keys=("k",))
        given_up = Deferred.fromCoroutine(dispatcher.assigned(frozenset()))
        self.clock.advance(3.0)
        self.successResultOf(given_up)
        self.assertEqual(self.waiting, 1)
        self.assertTrue(all(reply.called for _, reply in self.a.held))
        self.end(dispatcher)

    def test_a_partition_that_comes_back_begins_where_it_ended(self) -> None:
        """Nothing is skipped, nothing that was committed comes again."""
        self.attach("a", "k")
        dispatcher = self.dispatcher()
        self.push(Target.KEYS, b"1", keys=("k",))
        self.run_now(dispatcher.assigned(frozenset({1})))
        self.push(Target.KEYS, b"2", keys=("k",))
        self.run_now(dispatcher.assigned(frozenset({0})))
        self.assertEqual(self.a.bodies, [b"1", b"2"])
        self.end(dispatcher)


class AbsenceTests(JobTestCase):
    """Presence, broker or comets are away."""

    def test_pushes_wait_for_presence(self) -> None:
        """Nothing is committed or dropped; said once when it goes and once when it is back."""
        self.attach("a", "k")
        dispatcher = self.dispatcher()
        self.presence.error = PresenceUnavailable("no Redis")
        with capturedLogs() as logs:
            self.push(Target.KEYS, keys=("k",))
            self.advance(30)
            self.assertIn("no Redis", str(dispatcher.trouble()))
            self.assertEqual((self.waiting, dict(self.metrics.drops.values)), (1, {}))
            self.presence.error = None
            self.advance(2)
        self.assertEqual((self.waiting, self.a.bodies), (0, [b"hi"]))
        said = [log["log_format"] for log in logs if log["log_level"] in (LogLevel.warn, LogLevel.info)]
        self.assertEqual([text.split()[0] for text in said], ["{product}", "{product}"])
        self.end(dispatcher)

    def test_a_failed_read_is_followed_by_a_rewind(self) -> None:
        """What the broker had handed out and we never saw comes again, in order, once."""
        self.attach("a", "k")
        dispatcher = self.dispatcher(read_wait_seconds=1.0)
        self.broker.error = BrokerUnavailable("away")
        self.clock.advance(1.0)
        self.run_now(self.store.publish([(0, Push(1, NOW_MS, Target.KEYS, 1000, b"1", keys=("k",)))]))
        self.run_now(self.store.read(0, 10, 0))  # taken by a call whose answer was lost
        self.broker.error = None
        self.advance(5)
        self.assertEqual((self.a.bodies, self.waiting), ([b"1"], 0))
        self.end(dispatcher)

    def test_a_bug_in_the_broker_does_not_end_a_partition(self) -> None:
        """Logged, and tried again."""
        self.attach("a", "k")
        dispatcher = self.dispatcher(read_wait_seconds=1.0)
        self.broker.error = ZeroDivisionError()
        self.clock.advance(1.0)
        self.advance(1)
        self.broker.error = None
        self.advance(2)
        self.push(Target.KEYS, keys=("k",))
        self.assertEqual(self.a.bodies, [b"hi"])
        self.assertTrue(self.flushLoggedErrors(ZeroDivisionError))
        self.end(dispatcher)

    def test_a_comet_that_connects_in_time_gets_what_waited(self) -> None:
        """Nothing was sent to a link that was down, so even a live room push waits for it a little, in order."""
        self.host("a", "live://1")
        dispatcher = self.dispatcher()
        self.a.error = PeerDown("dialling")
        self.push(Target.ROOM, b"1", room="live://1")
        self.push(Target.ROOM, b"2", room="live://1")
        self.advance(1)
        self.a.error = None
        self.a.batches.clear()
        self.advance(1)
        self.assertEqual(self.a.bodies, [b"1", b"2"])
        self.end(dispatcher)

    def test_a_comet_that_the_registry_shows_late(self) -> None:
        """Presence may know it before our watch does."""
        comet = self.comet("new")
        entry = self.comets.comets.pop("new")
        self.attach("new", "k")
        dispatcher = self.dispatcher()
        self.push(Target.KEYS, keys=("k",))
        self.advance(0.5)
        self.comets.comets["new"] = entry
        self.advance(1)
        self.assertEqual(comet.bodies, [b"hi"])
        self.end(dispatcher)

    def test_a_comet_that_stays_away_is_waited_for_once(self) -> None:
        """Then its pushes fail at once, counted, until it answers again."""
        self.host("a", "live://1")
        dispatcher = self.dispatcher()
        self.a.error = PeerDown("gone")
        self.push(Target.ROOM, room="live://1")
        self.advance(3)
        self.assertEqual(self.drops("comet_unavailable"), 1)
        self.push(Target.ROOM, room="live://1")
        self.assertEqual(self.drops("comet_unavailable"), 2)
        self.assertEqual(self.waiting, 0)
        self.a.error = None
        self.push(Target.ROOM, b"back", room="live://1")
        self.assertEqual(self.a.bodies[-1], b"back")
        self.end(dispatcher)

    def test_a_live_room_push_is_not_repeated(self) -> None:
        """Its comet vanished with it: it may have been delivered, so it is dropped and counted."""
        self.host("a", "live://1")
        dispatcher = self.dispatcher()
        for error in (PeerUnavailable("vanished"), DeadlineExceeded("stalled")):
            self.a.error = error
            self.push(Target.ROOM, room="live://1")
        self.assertEqual(self.drops("comet_unavailable"), 2)
        self.assertEqual((len(self.a.batches), self.waiting), (2, 0))
        self.end(dispatcher)

    def test_clients_of_a_lost_comet_are_found_elsewhere(self) -> None:
        """Late binding: who reconnected meanwhile gets it there, under the same key or another of the member."""
        self.attach("a", "k")
        self.attach("a", "old", mid=7)
        self.a.holding = True
        dispatcher = self.dispatcher()
        self.push(Target.KEYS, b"key", keys=("k",))
        self.a.fail(PeerUnavailable("vanished"))
        self.push(Target.MEMBERS, b"member", mids=(7,))
        self.a.fail(PeerUnavailable("vanished"))
        self.attach("b", "k")
        self.attach("b", "new", mid=7)
        self.run_now(self.presence.behind.detach(("a", 1), "old", 7))
        self.advance(2)
        self.assertEqual(sorted(item.keys for item in self.b.items), [("k",), ("new",)])
        self.assertEqual((self.waiting, dict(self.metrics.drops.values)), (0, {}))
        self.end(dispatcher)

    def test_who_stays_at_a_lost_comet_is_given_up(self) -> None:
        """It may have been delivered there: not sent there again, counted after a bounded time."""
        self.attach("a", "k")
        dispatcher = self.dispatcher()
        self.a.error = PeerUnavailable("vanished")
        self.push(Target.KEYS, keys=("k",))
        self.advance(3)
        self.assertEqual(self.drops("comet_unavailable"), 1)
        self.assertEqual((len(self.a.batches), self.waiting), (1, 0))
        self.end(dispatcher)

    def test_another_boot_is_another_comet(self) -> None:
        """A comet that was started again holds none of the old connections."""
        self.attach("a", "k")
        self.comets.comets["a"] = (2, self.a)
        dispatcher = self.dispatcher()
        self.push(Target.KEYS, keys=("k",))
        self.assertEqual(self.drops("comet_unavailable"), 1)
        self.comets.comets["a"] = (1, self.a)
        self.a.error = BadRequest("another boot")
        self.push(Target.KEYS, keys=("k",))
        self.assertEqual((self.drops("comet_unavailable"), self.waiting), (2, 0))
        self.end(dispatcher)

    def test_a_stalled_comet_does_not_stop_the_others(self) -> None:
        """Pushes to other comets of the same partition go on while one does not answer."""
        self.attach("a", "stalled")
        self.attach("b", "fine")
        self.a.holding = True
        dispatcher = self.dispatcher()
        self.push(Target.KEYS, keys=("stalled",))
        for number in range(5):
            self.push(Target.KEYS, b"%d" % number, keys=("fine",))
        self.assertEqual(self.b.bodies, [b"%d" % number for number in range(5)])
        self.a.release()
        self.end(dispatcher)

    def test_an_overloaded_comet_is_tried_again_and_given_up(self) -> None:
        """Backs off within a deadline; past it the packets are counted as overloaded."""
        self.host("a", "live://1")
        self.a.error = Overloaded("busy")
        dispatcher = self.dispatcher()
        self.push(Target.ROOM, room="live://1")
        self.advance(4)
        self.assertGreater(len(self.a.batches), 4)
        self.assertEqual(self.waiting, 1)
        self.advance(4)
        self.assertEqual((self.drops("overloaded"), self.waiting), (1, 0))
        self.end(dispatcher)


class UnknownKeyTests(JobTestCase):
    """Keys that a comet does not have any more."""

    def forget(self, comet: FakeComet, key: str) -> None:
        """``comet`` knows every key but this."""

        def outcome(item: rpc.Item) -> rpc.Outcome:
            unknown = tuple(name for name in item.keys if name == key)
            return rpc.Outcome(delivered=len(item.keys) - len(unknown), unknown=unknown)

        comet.outcome = outcome

    def test_a_key_is_looked_up_again(self) -> None:
        """It moved between the look-up and the delivery: it gets the push at its new place."""
        self.attach("a", "moved")
        self.attach("a", "stays")
        self.forget(self.a, "moved")
        self.a.holding = True
        dispatcher = self.dispatcher()
        self.push(Target.KEYS, keys=("moved", "stays"))
        self.attach("b", "moved")
        self.a.release()
        self.assertEqual([item.keys for item in self.b.items], [("moved",)])
        self.assertEqual(self.metrics.handed_over.value("delivered"), 2)
        self.assertEqual((self.waiting, dict(self.metrics.drops.values)), (0, {}))
        self.end(dispatcher)

    def test_a_member_is_looked_up_under_new_keys(self) -> None:
        """A device that came back under another key is reached; one that had the push is not reached twice."""
        self.attach("a", "old", mid=7)
        self.attach("b", "laptop", mid=7)
        self.forget(self.a, "old")
        self.a.holding = True
        dispatcher = self.dispatcher()
        self.push(Target.MEMBERS, mids=(7,))
        self.run_now(self.presence.behind.detach(("a", 1), "old", 7))
        self.attach("b", "new", mid=7)
        self.a.release()
        self.assertEqual([item.keys for item in self.b.items], [("laptop",), ("new",)])
        self.assertEqual((self.waiting, dict(self.metrics.drops.values)), (0, {}))
        self.end(dispatcher)

    def test_a_key_that_is_nowhere_is_dropped(self) -> None:
        """Presence does not know it either: counted once."""
        self.attach("a", "gone")
        self.forget(self.a, "gone")
        self.a.holding = True
        dispatcher = self.dispatcher()
        self.push(Target.KEYS, keys=("gone",))
        self.run_now(self.presence.behind.detach(("a", 1), "gone", 0))
        self.a.release()
        self.assertEqual((self.drops("not_connected"), self.waiting), (1, 0))
        self.end(dispatcher)

    def test_looking_again_has_an_end(self) -> None:
        """Presence insists on a comet that does not know the key: tried a bounded number of times."""
        self.attach("a", "ghost")
        self.forget(self.a, "ghost")
        dispatcher = self.dispatcher()
        self.push(Target.KEYS, keys=("ghost",))
        self.assertEqual((self.drops("not_connected"), self.waiting), (1, 0))
        self.assertLessEqual(len(self.a.batches), 3)
        self.end(dispatcher)


class PoisonTests(JobTestCase):
    """Entries that nobody foresaw."""

    def test_a_push_that_cannot_be_encoded(self) -> None:
        """Counted as an error; its neighbours are delivered."""
        self.attach("a", "k")
        good = [Push(n, NOW_MS, Target.KEYS, 1000, b"%d" % n, keys=("k",)) for n in (1, 2)]
        bad = Push(3, NOW_MS, Target.KEYS, 2**40, b"", keys=("k",))
        self.publish([good[0], bad, good[1]])
        dispatcher = self.dispatcher()
        self.assertEqual(self.a.bodies, [b"1", b"2"])
        self.assertEqual((self.drops("error"), self.waiting), (1, 0))
        self.assertEqual(len(self.flushLoggedErrors()), 1)
        self.end(dispatcher)

    def test_a_push_that_presence_chokes_on(self) -> None:
        """The whole look-up fails for it: the others are looked up without it."""
        self.attach("a", "k")
        locate = self.presence.behind.locate_keys

        class Choosy:
            async def locate_keys(self, keys: set[str]) -> object:
                if "poison" in keys:
                    raise ZeroDivisionError
                return await locate(keys)

        self.presence.behind = Choosy()
        names = ("k", "poison", "k")
        self.publish([Push(n, NOW_MS, Target.KEYS, 1000, b"%d" % n, keys=(key,)) for n, key in enumerate(names)])
        dispatcher = self.dispatcher()
        self.assertEqual(self.a.bodies, [b"0", b"2"])
        self.assertEqual((self.drops("error"), self.waiting), (1, 0))
        self.flushLoggedErrors(ZeroDivisionError)
        self.end(dispatcher)

    def test_a_comet_that_fails_on_a_batch(self) -> None:
        """Its bug, or an answer for other items, drops that batch only."""
        self.attach("a", "k")
        dispatcher = self.dispatcher()
        self.a.error = ImdError("internal error")
        self.push(Target.KEYS, keys=("k",))
        self.a.error = None
        self.a.answer = lambda request: rpc.Outcomes(())  # type: ignore[method-assign]  # a comet with a bug
        self.push(Target.KEYS, keys=("k",))
        self.a.answer = lambda request: rpc.Outcomes(tuple(map(delivered, request.items)))  # type: ignore[method-assign]  # as above
        self.push(Target.KEYS, keys=("k",))
        self.assertEqual((self.drops("error"), self.waiting), (2, 0))
        self.assertEqual(self.metrics.handed_over.value("delivered"), 1)
        self.end(dispatcher)


class BacklogTests(JobTestCase):
    """The gauges of what waits."""

    def test_only_an_owner_asks(self) -> None:
        """Entries and age while it owns partitions; nothing afterwards."""
        dispatcher = self.dispatcher(())
        self.run_now(dispatcher.open())
        self.push(Target.KEYS, keys=("k",), partition=3)
        self.clock.advance(5)
        self.assertNotIn("backlog", self.broker.calls)
        self.run_now(dispatcher.assigned(frozenset({0})))
        self.clock.advance(5)
        self.assertEqual(self.metrics.backlog_entries.value(), 1)
        self.assertEqual(self.metrics.backlog_oldest_seconds.value(), 10)
        self.run_now(dispatcher.assigned(frozenset()))
        self.clock.advance(5)
        self.assertEqual(self.metrics.backlog_entries.value(), 0)
        self.end(dispatcher)
