"""Promises of the sweeper."""

from imd.errors import TimelineUnavailable
from imd.interfaces import Swept
from imd.protocol.push import Target
from tests.support.job_fakes import JobTestCase


class SweepTests(JobTestCase):
    """Old messages go."""

    def test_what_is_too_old_goes(self) -> None:
        """Without anybody reading it; the gauges tell what the store has counted."""
        dispatcher = self.dispatcher()
        self.run_now(dispatcher.open())
        self.kept(Target.MEMBERS, mids=(7, 8))
        self.advance(10)
        state = self.metrics.timeline_messages.value
        self.assertEqual([state(name) for name in ("kept", "held", "acked", "expired")], [2, 2, 0, 0])
        self.advance(70)
        self.assertEqual([state(name) for name in ("kept", "held", "acked", "expired")], [2, 0, 0, 2])
        self.run_now(dispatcher.assigned(frozenset()))
        self.advance(6)
        self.assertEqual(state("kept"), 0, "who owns nothing tells nothing")
        self.end(dispatcher)

    def test_only_owned_partitions_and_all_of_them(self) -> None:
        """At once again while there is more."""
        asked: list[int] = []

        class Much:
            async def sweep(self, partition: int, limit: int) -> Swept:
                asked.append(partition)
                return Swept(more=asked.count(partition) < 3)

        self.timelines.behind = Much()
        dispatcher = self.dispatcher((1, 3))
        assert dispatcher._sweeper is not None
        dispatcher._sweeper.open()
        self.clock.advance(5)
        for _ in range(10):
            self.clock.advance(0)
        self.assertEqual(asked, [1, 1, 1, 3, 3, 3])
        self.end(dispatcher)

    def test_an_absent_store(self) -> None:
        """Is said, and tried again; a bug with one partition keeps no other."""
        dispatcher = self.dispatcher((0, 1))
        self.run_now(dispatcher.open())
        self.timelines.error = TimelineUnavailable("away")
        self.advance(6)
        self.assertEqual(dispatcher.trouble(), "timelines: away")
        self.timelines.error = None
        self.advance(6)
        self.assertIsNone(dispatcher.trouble())
        self.timelines.error = ZeroDivisionError()
        self.advance(5)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 3)  # two sweeps, one look at the totals
        self.timelines.error = None
        self.end(dispatcher)
