"""Promises of a partition: nothing committed before its outcome, nothing lost."""

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from imd.errors import BrokerUnavailable, Fenced
from imd.interfaces import Entry
from imd.job.dispatch import Dispatcher
from imd.protocol.push import Push, Target
from tests.support.job_fakes import NOW_MS, JobTestCase, Switch


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


class GiveUpTests(JobTestCase):
    """It becomes another job's."""

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
        self.assertEqual((self.metrics.given_up.value("open"), self.metrics.packets_given_up.value()), (1, 1))
        self.end(dispatcher)

    def test_what_settled_but_could_not_be_committed_is_counted(self) -> None:
        """It comes again, though its outcome is known."""
        self.attach("a", "k")
        dispatcher = self.dispatcher(settle_seconds=1.0)
        self.a.holding = True
        self.push(Target.KEYS, keys=("k",))
        self.assertEqual((self.metrics.uncommitted.value(), self.metrics.open_pushes.value()), (1, 1))
        self.assertEqual(self.metrics.packets_under_way.value(), 1)
        self.broker.error = BrokerUnavailable("away")
        self.a.release()
        self.assertEqual((self.metrics.uncommitted.value(), self.metrics.open_pushes.value()), (1, 0))
        given_up = Deferred.fromCoroutine(dispatcher.assigned(frozenset()))
        self.assertEqual(self.metrics.uncommitted.value(), 1)  # as long as it may still be committed
        self.clock.advance(1.0)
        self.successResultOf(given_up)
        self.assertEqual((self.metrics.given_up.value("settled"), self.metrics.given_up.value("open")), (1, 0))
        self.assertEqual(self.metrics.uncommitted.value(), 0)
        self.broker.error = None
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


class FenceTests(JobTestCase):
    """Two owners at once: one was paused, and returns."""

    def test_an_old_owner_cannot_deliver(self) -> None:
        """Not at a comet where the new owner was: nothing of it is settled, it is said once, and it comes again when the old
        one turns out to own the partition after all."""
        self.attach("a", "k")
        old = self.paused()
        new = self.dispatcher()
        self.push(Target.KEYS, b"new", keys=("k",))
        self.assertEqual(self.a.bodies, [b"new"])
        with capturedLogs() as logs:
            self.had_read(old, Entry(b"stale", Push(99, NOW_MS, Target.KEYS, 1000, b"old", keys=("k",))))
            self.assertEqual(self.a.bodies, [b"new"])
            self.clock.advance(0)
        self.assertEqual([log["log_format"][:36] for log in logs], ["Partition {number} has a newer owner"])
        self.assertEqual(self.metrics.given_up.value("open"), 1)
        self.assertEqual(self.metrics.settled.value("keys"), 1)
        self.run_now(old.assigned(frozenset()))  # its assignment tells it
        self.clock.advance(2)
        self.assertEqual(self.a.bodies, [b"new"])
        self.end(new)
        self.end(old)

    def paused(self) -> Dispatcher:
        """It owns partition 0, and reads nothing by itself."""

        class Paused(Switch):
            async def read(self, *_: object) -> None:
                await Deferred()

        broker, self.broker = self.broker, Paused(self.store)
        dispatcher = self.dispatcher()
        self.broker = broker
        return dispatcher

    def had_read(self, dispatcher: Dispatcher, entry: Entry) -> None:
        """What the dispatcher had read when it was paused."""
        self.run_now(dispatcher._partitions[0]._take([entry]))

    def test_an_old_owner_cannot_commit(self) -> None:
        """What it delivered before it was paused is the new owner's to settle."""
        self.attach("a", "k")
        self.a.holding = True
        old = self.paused()
        self.push(Target.KEYS, keys=("k",))
        (entry,) = self.run_now(self.store.read(0, 10, 0))
        self.had_read(old, entry)
        new = self.dispatcher()  # takes it too, and waits for the comet's answer
        self.assertEqual(len(self.a.held), 2)
        request, reply = self.a.held.pop(0)
        reply.callback(self.a.answer(request))
        self.assertEqual(self.waiting, 1)
        self.clock.advance(0)
        self.assertEqual((self.metrics.given_up.value("settled"), self.waiting), (1, 1))
        self.a.release()
        self.assertEqual(self.waiting, 0)
        self.run_now(old.assigned(frozenset()))
        self.end(new)
        self.end(old)

    def test_a_rightful_owner_recovers(self) -> None:
        """Whoever fenced it off: still told to own the partition it begins again, with a higher fence, and nothing is lost."""
        self.attach("a", "k")
        dispatcher = self.dispatcher()
        fence = self.a.fences[0] = self.run_now(self.store.rewind(0))
        self.push(Target.KEYS, keys=("k",))
        self.clock.advance(0)
        self.assertEqual((self.a.bodies, self.waiting), ([], 1))
        self.advance(1.5)
        self.assertEqual((self.a.bodies, self.waiting), ([b"hi"], 0))
        self.assertGreater(self.a.batches[0].fence, fence)
        self.end(dispatcher)

    def test_fenced_while_it_is_given_up(self) -> None:
        """It ends at once: there is nothing to wait for."""
        self.attach("a", "k")
        self.a.holding = True
        dispatcher = self.dispatcher()
        self.push(Target.KEYS, keys=("k",))
        given_up = Deferred.fromCoroutine(dispatcher.assigned(frozenset()))
        self.a.fail(Fenced("a newer owner was here"))
        self.clock.advance(0)
        self.successResultOf(given_up)
        self.assertEqual(self.waiting, 1)
        self.end(dispatcher)

    def test_batches_say_whose_they_are(self) -> None:
        """Partition and fence; each ownership has a higher one."""
        self.attach("a", "k")
        for _ in range(2):
            dispatcher = self.dispatcher((2,))
            self.push(Target.KEYS, keys=("k",), partition=2)
            self.end(dispatcher)
        first, second = ((batch.partition, batch.fence) for batch in self.a.batches)
        self.assertEqual((first[0], second[0]), (2, 2))
        self.assertGreater(second[1], first[1])


class ReachTests(JobTestCase):
    """No comet can be reached."""

    def test_pushes_wait_in_the_broker(self) -> None:
        """Where they are safe: another job may do better, and this one goes on when a link is up."""
        self.attach("a", "k")
        self.comets.cut_off = True
        dispatcher = self.dispatcher()
        self.push(Target.KEYS, keys=("k",))
        self.advance(60)
        self.assertEqual((self.waiting, self.metrics.taken.value("keys")), (1, 0))
        self.comets.cut_off = False
        self.advance(2)
        self.assertEqual((self.waiting, self.a.bodies), (0, [b"hi"]))
        self.end(dispatcher)

    def test_no_comet_is_no_reason_to_wait(self) -> None:
        """Then there is nobody to push to."""
        self.comets.comets.clear()
        self.comets.cut_off = True
        dispatcher = self.dispatcher()
        self.push(Target.KEYS, keys=("k",))
        self.assertEqual((self.waiting, self.drops("not_connected")), (0, 1))
        self.end(dispatcher)


class ReadTests(JobTestCase):
    """The broker is away, or wrong."""

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

    def test_a_rewind_is_no_sign_of_a_return(self) -> None:
        """It may need nothing of the product: that the broker is away, and back, is said once, and trouble stays between."""
        dispatcher = self.dispatcher(read_wait_seconds=1.0)
        self.broker.local = {"rewind"}
        self.broker.error = BrokerUnavailable("away")
        with capturedLogs() as logs:
            for _ in range(10):
                self.advance(1)
                self.assertIn("away", str(dispatcher.trouble()))
            self.broker.error = None
            self.advance(3)
        self.assertIsNone(dispatcher.trouble())
        self.assertEqual(len(logs), 2)
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
