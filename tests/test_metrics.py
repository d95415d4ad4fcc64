"""Counting."""

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from imd.metrics import Counter, Gauge, Histogram, Metrics, PairCounter

ROOT = Path(__file__).parent.parent


class CounterTests(SynchronousTestCase):
    """Sums that only grow."""

    def test_without_labels_it_shows_from_the_start(self) -> None:
        """A rate needs a first point before the first event."""
        self.assertEqual(dict(Counter("a", "").values), {(): 0})

    def test_labels(self) -> None:
        """Each combination has its own sum."""
        counter = Counter("a", "", ("target", "outcome"))
        counter.add(2, "room", "delivered")
        counter.add(1, "room", "delivered")
        counter.add(5, "room", "filtered")
        self.assertEqual((counter.value("room", "delivered"), counter.value("room", "filtered")), (3, 5))
        self.assertEqual(counter.value("all", "delivered"), 0)

    def test_many_at_once(self) -> None:
        """Each counts one."""
        counter = Counter("c", "", ("a", "b"))
        counter.add_each([("x", "y"), ("x", "z"), ("x", "y")])
        self.assertEqual(dict(counter.values), {("x", "y"): 2, ("x", "z"): 1})

    def test_wrong_labels_are_our_bug(self) -> None:
        """Too few or too many fail at once, in tests."""
        self.assertRaises(AssertionError, Counter("a", "", ("reason",)).add)


class PairCounterTests(SynchronousTestCase):
    """Sums by processes that come and go."""

    def test_the_last_used_are_kept_apart(self) -> None:
        """However many there were: the rest is one sum, and the whole stays what it was."""
        counter = PairCounter("a", "", ("job", "comet"))
        for number in range(3 * PairCounter.bound):
            counter.add(1, "j", f"c{number}")
            counter.add(1, "j", "busy")
        self.assertLessEqual(len(counter.values), PairCounter.bound + 1)
        self.assertEqual(counter.value("j", "busy"), 3 * PairCounter.bound)
        self.assertEqual(counter.value("j", f"c{3 * PairCounter.bound - 1}"), 1)
        self.assertEqual(counter.value("j", "c0"), 0)
        self.assertGreater(counter.value("earlier", "earlier"), PairCounter.bound)
        self.assertEqual(sum(counter.values.values()), 6 * PairCounter.bound)


class GaugeTests(SynchronousTestCase):
    """Figures of now."""

    def test_set_and_asked(self) -> None:
        """As set last, or as who holds the figure says when it is read."""
        gauge = Gauge("a", "")
        gauge.set(3)
        self.assertEqual(gauge.value(), 3)
        gauge.read = lambda: 7.0
        self.assertEqual(gauge.value(), 7)


class HistogramTests(SynchronousTestCase):
    """Figures in buckets."""

    def test_buckets(self) -> None:
        """A figure on a bound belongs below it; what is over all bounds has a bucket; the sum comes last."""
        histogram = Histogram("a", "", (1.0, 2.0), ("route",))
        for figure in (0.5, 1.0, 1.5, 9.0):
            histogram.observe(figure, "/")
        self.assertEqual(histogram.values[("/",)], [2, 1, 1, 12])


class MetricsTests(SynchronousTestCase):
    """The whole of them."""

    def test_names(self) -> None:
        """Unique, ours or Prometheus' own for any process, without the suffix that the exposition adds to counters."""
        names = [metric.name for metric in Metrics().all()]
        self.assertEqual(len(names), len(set(names)))
        for name in names:
            self.assertRegex(name, re.compile(r"^(imd|process)_[a-z_]+(?<!_total)$"))

    def test_each_is_counted(self) -> None:
        """None is declared that nobody counts: it would read as "this never happens"."""
        source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "imd").rglob("*.py"))
        verbs = {"counter": r"add(_each)?\(", "gauge": r"(set\(|read = )", "histogram": r"observe\("}
        uncounted = [
            name
            for name, metric in vars(Metrics()).items()
            if not re.search(rf"metrics\.{name}\.{verbs[metric.kind]}", source)
        ]
        self.assertEqual(uncounted, [])

    def test_each_process_counts_for_itself(self) -> None:
        """No state is shared between two."""
        one, two = Metrics(), Metrics()
        one.closed.add(1, "peer_closed")
        self.assertEqual(two.closed.value("peer_closed"), 0)
