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

    def test_who_was_asked(self) -> None:
        """Each process tells its name."""
        figures = Figures()
        for name in ("job1@1", "comet1@2"):
            figures.add("imd_process", {"name": name}, 1)
        self.assertEqual(figures.processes, {"job1@1", "comet1@2"})

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
        entered, left, pending, unsure = ([Term(name, name)] for name in ("in", "out", "held", "unsure"))
        return Account("x", "y", entered, left, pending, unsure).balance(made)

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

    def test_others(self) -> None:
        """What a store has beyond what was counted is theirs who were not asked; what it lacks is nobody's."""
        account = Account("x", "y", [Term("in", "in")], [Term("out", "out")], others="by others")
        for entered, left, difference, others in ((5, 7, 0, 2), (5, 5, 0, None), (5, 4, 1, None)):
            figures = Figures()
            figures.add("in", {}, entered)
            figures.add("out", {}, left)
            balance = account.balance(figures)
            self.assertEqual((balance.difference, balance.entered.get("by others")), (difference, others))

    def test_pairs(self) -> None:
        """Each pair of those that were asked balances for itself; what concerns a process that was not is left out by name."""
        account = Account("x", "y", [Term("in", "in")], [Term("out", "out")], unsure=[Term("unsure", "?")], paired=True)

        def balance(*samples: tuple[str, str, str, int]) -> Balance:
            figures = Figures()
            for name in ("j1", "j2", "c1", "c2"):
                figures.add("imd_process", {"name": name}, 1)
            for metric, job, comet, figure in samples:
                figures.add(metric, {"job": job, "comet": comet}, figure)
            return account.balance(figures)

        self.assertEqual(balance().difference, 0)
        good = balance(("in", "j1", "c1", 5), ("out", "j1", "c1", 5), ("in", "j2", "c1", 1), ("out", "j2", "c1", 1))
        self.assertEqual((good.entered, good.left, good.difference, good.left_out), ({"in": 6}, {"out": 6}, 0, {}))
        dead = balance(("in", "j1", "dead", 5), ("out", "gone", "c1", 3), ("in", "gone", "dead", 0))
        self.assertEqual((dead.difference, dead.left_out), (0, {"dead": 5, "gone": 3}))
        self.assertEqual(balance(("in", "j1", "c1", 5)).difference, 5)
        unsure = (("out", "j1", "c1", 5), ("unsure", "j1", "c1", 4))
        self.assertEqual(balance(*unsure).difference, -1)
        self.assertEqual(balance(*unsure, ("in", "j1", "c1", 1)).difference, 0)
        crossed = balance(("in", "j1", "c1", 5), ("out", "j2", "c1", 5))
        self.assertEqual(crossed.difference, 10, "one pair's surplus hides another's loss")

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

    def test_what_the_store_lost(self) -> None:
        """Of entries and of messages: found by the store's own figures, whoever is gone."""
        metrics = Metrics()
        metrics.broker_appended.set(5)
        metrics.backlog_entries.set(4)
        metrics.timeline_messages.set(3, "kept")
        metrics.timeline_messages.set(1, "held")
        metrics.timeline_messages.set(1, "acked")
        self.assertEqual(differences(metrics), {"broker": 1, "timelines": 1})
        metrics.offered.add(6, "room")
        metrics.published.add(6, "room")
        self.assertEqual(differences(metrics), {"append": 1, "broker": 1, "timelines": 1})

    def test_a_kept_packet_is_left_to_its_timeline(self) -> None:
        """That is no drop, and no loss."""
        metrics = Metrics()
        metrics.addressed.add(1)
        metrics.deferred.add(1, "not_connected")
        self.assertEqual(differences(metrics), {})

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
        metrics.broker_appended.set(1)
        metrics.broker_committed.set(1)
        metrics.process.set(1, "me@1")
        metrics.items_unsure.add(1, "me@1", "me@1")
        metrics.items_told.add(1, "me@1", "me@1")
        metrics.items_taken.add(1)
        metrics.items_settled.add(1)
        self.assertEqual(differences(metrics), {})
