"""Counts of channels become counts of packets."""

from twisted.trial.unittest import SynchronousTestCase

from imd.comet.drop import Drop
from imd.comet.fate import Fate
from imd.comet.tally import Tally
from imd.metrics import Metrics
from imd.protocol.rpc import Outcome


class TallyTests(SynchronousTestCase):
    """Times the packets of an item, or of a whole load."""

    def setUp(self) -> None:
        self.tally = Tally()
        self.tally.offered = 13
        self.tally.add(Fate.DELIVERED, 5)
        self.tally.add(Fate.FILTERED, 2)
        self.tally.add(Fate.LEFT)
        self.tally.add(Fate.DUPLICATE, 0)
        self.tally.add(Drop.FULL)
        self.tally.add(Drop.FULL)
        self.tally.add(Drop.CLOSING, 3)
        self.tally.unknown.append("k")

    def test_outcome(self) -> None:
        """As job hears it."""
        self.assertEqual(self.tally.outcome(3), Outcome(15, 6, 0, (("full", 6), ("closing", 9)), ("k",)))

    def test_count(self) -> None:
        """As the metrics do."""
        metrics = Metrics()
        self.tally.count(metrics, "room", 2)
        expected = {("room", "delivered"): 10, ("room", "filtered"): 4, ("room", "left"): 2}
        self.assertEqual(dict(metrics.deliveries.values), expected)
        self.assertEqual(metrics.packets_offered.value("room"), 26)
        self.assertEqual(dict(metrics.drops.values), {("comet", "full"): 4, ("comet", "closing"): 6})

    def test_parts(self) -> None:
        """A channel that had the first two of five packets: each item hears what became of its own share."""
        tally = Tally()
        tally.offered = 2
        tally.add(Fate.DELIVERED)
        tally.add_part(Fate.DUPLICATE, 0, 2)
        tally.add_part(Fate.DEFERRED, 2, 5)
        self.assertEqual(tally.outcome(1, 0), Outcome(delivered=1, duplicate=1))
        self.assertEqual(tally.outcome(3, 1), Outcome(delivered=3, duplicate=1, deferred=2))
        self.assertEqual(tally.outcome(1, 4), Outcome(delivered=1, deferred=1))
        metrics = Metrics()
        tally.count(metrics, "room", 5)
        expected = {("room", "delivered"): 5, ("room", "duplicate"): 2, ("room", "deferred"): 3}
        self.assertEqual(dict(metrics.deliveries.values), expected)
        self.assertEqual(metrics.packets_offered.value("room"), 10)
