"""The ledger's arithmetic, and that it finds what is lost."""

from twisted.trial.unittest import SynchronousTestCase

from imd.ledger import ACCOUNTS, SHARED, Account, Balance, Figures, Term, balances
from imd.metrics import Metrics


def differences(metrics: Metrics) -> dict[str, int]:
    """layer -> difference, where there is one."""
    figures = Figures()
    figures.add_all(metrics)
    return {balance.layer: balance.difference for balance in balances(figures) if balance.difference}


class FiguresTests(SynchronousTestCase):
    """Samples of processes."""

    def test_processes_add_up(self) -> None:
        """By name and labels, in whatever order the labels come."""
        figures = Figures()
        figures.add("imd_drops", {"layer": "job", "reason": "error"}, 2)
        figures.add("imd_drops", {"reason": "error", "layer": "job"}, 3)
        figures.add("imd_drops", {"layer": "job", "reason": "overloaded"}, 1)
        expected = [({"layer": "job", "reason": "error"}, 5), ({"layer": "job", "reason": "overloaded"}, 1)]
        self.assertEqual(figures.of("imd_drops"), expected)
        self.assertEqual(figures.of("imd_pushes"), [])

    def test_the_backlog_is_one(self) -> None:
        """Each job tells all of it, or nothing when it owns no partition."""
        figures = Figures()
        for figure in (7, 7, 0):
            figures.add("imd_backlog_entries", {}, figure)
        self.assertEqual(figures.of("imd_backlog_entries"), [({}, 7)])

    def test_of_this_process(self) -> None:
        """Counters, gauges that are set, and gauges that are read; no histograms."""
        metrics = Metrics()
        metrics.pushes.add(2, "room", "accepted")
        metrics.asking.set(3)
        metrics.outbox_packets.read = lambda: 4
        metrics.delivery_seconds.observe(1)
        figures = Figures()
        figures.add_all(metrics)
        self.assertEqual(figures.of("imd_pushes"), [({"target": "room", "outcome": "accepted"}, 2)])
        self.assertEqual((figures.of("imd_pushes_asking"), figures.of("imd_outbox_packets")), ([({}, 3)], [({}, 4)]))
        self.assertEqual(figures.of("imd_delivery_seconds"), [])


class AccountTests(SynchronousTestCase):
    """One equation."""

    def balance(self, **figures: float) -> Balance:
        made = Figures()
        for name, figure in figures.items():
            made.add(name, {}, figure)
        account = Account("x", "y", [Term("in", "in")], *([Term(name, name)] for name in ("out", "held", "unsure")))
        return account.balance(made)

    def test_difference(self) -> None:
        """What went in, less what came out, less what is there."""
        self.assertEqual(self.balance().difference, 0)
        self.assertEqual(self.balance(**{"in": 5, "out": 3, "held": 2}).difference, 0)
        self.assertEqual(self.balance(**{"in": 5, "out": 3, "held": 1}).difference, 1)
        self.assertEqual(self.balance(**{"in": 5, "out": 7}).difference, -2)

    def test_unsure(self) -> None:
        """They explain what came out without having gone in, never what is missing."""
        self.assertEqual(self.balance(**{"in": 5, "out": 7, "unsure": 2}).difference, 0)
        self.assertEqual(self.balance(**{"in": 5, "out": 6, "unsure": 2}).difference, 0)
        self.assertEqual(self.balance(**{"in": 5, "out": 8, "unsure": 2}).difference, -1)
        self.assertEqual(self.balance(**{"in": 5, "out": 4, "unsure": 2}).difference, 1)

    def test_terms(self) -> None:
        """One sum in words, or one for each value of a label; where it says so, of some samples only."""
        figures = Figures()
        for reason, figure in (("a", 2), ("b", 3), ("c", 0)):
            figures.add("drops", {"layer": "job", "reason": reason}, figure)
        self.assertEqual(Term("drops", "dropped").sums(figures), {"dropped": 5})
        self.assertEqual(Term("drops", by="reason").sums(figures), {"a": 2, "b": 3})
        only = Term("drops", "bs", where=lambda labels: labels["reason"] == "b")
        self.assertEqual(only.sums(figures), {"bs": 3})


class AccountsTests(SynchronousTestCase):
    """The layers of imd."""

    def test_metrics_exist(self) -> None:
        """Every name in an account is a metric, every ``by`` a label of it; so are the shared ones."""
        metrics = {metric.name: metric for metric in Metrics().all()}
        for account in ACCOUNTS:
            for term in (*account.entered, *account.left, *account.pending, *account.unsure):
                self.assertIn(term.metric, metrics)
                self.assertTrue(term.words or term.by in metrics[term.metric].labels, term)
        self.assertLessEqual(SHARED, set(metrics))

    def test_every_drop_is_in_an_account(self) -> None:
        """A push that goes nowhere unbalances the layer that lost it, unless it is counted with its reason."""
        for layer, reason, expected in (
            ("broker", "undecodable", {"read": 1}),
            ("job", "not_connected", {"route": -1}),
            ("comet", "slow_consumer", {"fan-out": -1}),
            ("comet", "outbox_lost", {"outbox": -1}),
        ):
            metrics = Metrics()
            metrics.drops.add(1, layer, reason)
            self.assertEqual(differences(metrics), expected)

    def test_nothing_balances(self) -> None:
        """A process that has just started."""
        self.assertEqual(differences(Metrics()), {})

    def test_a_lost_answer(self) -> None:
        """A share that the broker has though nobody heard so, and an item delivered though no answer came."""
        metrics = Metrics()
        metrics.offered.add(1, "room")
        metrics.unpublished.add(1, "unknown")
        metrics.taken.add(1, "room")
        metrics.settled.add(1, "room")
        metrics.committed.add(1)
        metrics.items_unsure.add(1)
        metrics.items_taken.add(1)
        metrics.items_settled.add(1)
        self.assertEqual(differences(metrics), {})
