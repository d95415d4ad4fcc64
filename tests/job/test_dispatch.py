"""Promises of the dispatcher: which partitions are ours, and what waits."""

from twisted.internet.defer import Deferred

from imd.errors import BrokerUnavailable
from imd.protocol.push import Target
from tests.support.job_fakes import JobTestCase


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


class TroubleTests(JobTestCase):
    """What keeps pushes waiting."""

    def test_a_job_without_partitions_has_none(self) -> None:
        """It asks no product any more, so it would never hear that one is back."""
        dispatcher = self.dispatcher((0,))
        self.broker.error = BrokerUnavailable("away")
        self.push(Target.KEYS, keys=("k",), partition=0)
        self.clock.pump([1.0] * 7)
        self.assertIn("away", dispatcher.trouble() or "")
        given_up = Deferred.fromCoroutine(dispatcher.assigned(frozenset()))
        self.clock.pump([1.0] * 20)
        self.successResultOf(given_up)
        self.broker.error = None
        self.clock.advance(60)
        self.assertIsNone(dispatcher.trouble())
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
        self.assertEqual((self.metrics.broker_appended.value(), self.metrics.broker_committed.value()), (1, 0))
        self.run_now(dispatcher.assigned(frozenset()))
        self.clock.advance(5)
        self.assertEqual(self.metrics.backlog_entries.value(), 0)
        self.end(dispatcher)
