"""New clients go where connections lack, by values computed by hand."""

from twisted.trial.unittest import SynchronousTestCase

from imd.interfaces import Instance
from imd.logic.balancer import MAX_SCORE, Balancer, score


def comet(
    id: str, *, weight: int = 10, conns: int = 0, at: int = 1, region: str = "", offline: bool = False
) -> Instance:
    return Instance(
        "comet", id, 1, "", weight=weight, conn_count=conns, updated_at_ms=at, region=region, offline=offline
    )


class ScoreTests(SynchronousTestCase):
    """W + round((W / sum of W - conns / sum of conns / 2) * sum of conns), 1 to 2**20."""

    def test_by_hand(self) -> None:
        """Figures worked out on paper."""
        # 10 + round((10/20 - 0.5 * 30/100) * 100) = 10 + round(35)
        self.assertEqual(score(10, 20, 30, 100), 45)
        # 16 + round((16/26 - 0.5 * 70/100) * 100) = 16 + round(26.538…)
        self.assertEqual(score(16, 26, 70, 100), 43)
        # 10 + round((10/26 - 0.5 * 30/100) * 100) = 10 + round(23.46…)
        self.assertEqual(score(10, 26, 30, 100), 33)
        # half rounds down: 1 + round((1/2 - 0.5 * 0/5) * 5) = 1 + round(2.5)
        self.assertEqual(score(1, 2, 0, 5), 3)
        # nobody connected yet: the weight alone
        self.assertEqual(score(10, 20, 0, 0), 10)

    def test_bounds(self) -> None:
        """Never below 1, never above 2**20; no weights at all is no division by zero."""
        self.assertEqual(score(1, 1000, 1000, 1000), 1)
        self.assertEqual(score(10, 10, 0, 2**30), MAX_SCORE)
        self.assertEqual(score(0, 0, 0, 10), 1)


class BalancerTests(SynchronousTestCase):
    """Choices, and the count between reports."""

    def chosen(self, balancer: Balancer, region: str = "", limit: int = 5) -> list[str]:
        return [comet.id for comet in balancer.choose(region, limit)]

    def test_fewer_connections_first(self) -> None:
        """Of equals, the emptier one."""
        balancer = Balancer(region_weight=1.6)
        balancer.update([comet("a", conns=70), comet("b", conns=30)])
        self.assertEqual(self.chosen(balancer), ["b", "a"])

    def test_weight(self) -> None:
        """A heavier one takes more before it is second."""
        balancer = Balancer(region_weight=1.6)
        balancer.update([comet("a", weight=30, conns=50), comet("b", weight=10, conns=50)])
        self.assertEqual(self.chosen(balancer), ["a", "b"])

    def test_own_region(self) -> None:
        """A comet of the client's region weighs 1.6 times as much; no region is nobody's own."""
        balancer = Balancer(region_weight=1.6)
        balancer.update([comet("a", conns=55, region="eu"), comet("b", conns=45)])
        self.assertEqual(self.chosen(balancer, "eu"), ["a", "b"])
        self.assertEqual(self.chosen(balancer, ""), ["b", "a"])

    def test_limit_and_offline(self) -> None:
        """At most so many, and never one that takes no clients."""
        balancer = Balancer(region_weight=1.6)
        balancer.update([comet("a"), comet("b"), comet("c", offline=True), comet("d")])
        self.assertEqual(len(self.chosen(balancer, limit=2)), 2)
        self.assertNotIn("c", self.chosen(balancer))

    def test_provisional_count(self) -> None:
        """Between reports, choices spread as if those who were sent had come."""
        balancer = Balancer(region_weight=1.6)
        balancer.update([comet("a"), comet("b"), comet("c")])
        firsts = [self.chosen(balancer)[0] for _ in range(9)]
        self.assertEqual(sorted(firsts), ["a"] * 3 + ["b"] * 3 + ["c"] * 3)

    def test_report_replaces_the_provisional_count(self) -> None:
        """The same report seen again keeps it; a new one, or another start, replaces it."""
        balancer = Balancer(region_weight=1.6)
        balancer.update([comet("a", conns=0), comet("b", conns=2)])
        self.assertEqual([self.chosen(balancer)[0] for _ in range(2)], ["a", "a"])
        balancer.update([comet("a", conns=0), comet("b", conns=2)])  # the registry woke for another reason
        self.assertEqual(self.chosen(balancer, limit=1), ["a"])  # 2 and 2: by id
        balancer.update([comet("a", conns=3, at=2), comet("b", conns=2)])
        self.assertEqual(self.chosen(balancer, limit=1), ["b"])

    def test_gone(self) -> None:
        """A comet that left is not chosen; without any, nobody is."""
        balancer = Balancer(region_weight=1.6)
        balancer.update([comet("a"), comet("b")])
        balancer.update([comet("b")])
        self.assertEqual(self.chosen(balancer), ["b"])
        balancer.update([])
        self.assertEqual(self.chosen(balancer), [])
