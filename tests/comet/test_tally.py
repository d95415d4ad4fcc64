"""Counts of channels become counts of packets."""

from twisted.trial.unittest import SynchronousTestCase

from imd.comet.drop import Drop
from imd.comet.tally import Tally
from imd.metrics import Metrics
from imd.protocol.rpc import Outcome


class TallyTests(SynchronousTestCase):
    """Times the packets of an item, or of a whole load."""

    def setUp(self) -> None:
        self.tally = Tally()
        self.tally.delivered, self.tally.filtered, self.tally.left, self.tally.offered = 5, 2, 1, 13
        self.tally.drop(Drop.FULL)
        self.tally.drop(Drop.FULL)
        self.tally.drop(Drop.CLOSING, 3)
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
