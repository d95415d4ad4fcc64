"""Pushes to members: what is believed, and what is told of it."""

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.back_end import Pushed
from benchmarks.document import Run
from benchmarks.load_client import Counted
from benchmarks.members import Case, Window, costs, document, figures, rates

RUN = Run("python -m benchmarks members", "2026-01-01T00:00:00Z", 1.0, {})
GOOD = Window(
    case=Case(100, True, 10_000.0),
    asked_seconds=2.0,
    pushed=Pushed(pushes=20_000, requests=200, seconds=2.0, late=0, p50_ms=1.0, p99_ms=2.0),
    seconds=2.5,
    counted=Counted(packets=20_000, reads=9, fewest=20, most=20, gone=0, p50_ms=5, p99_ms=9, p999_ms=10, max_ms=11),
    spent={"logic": 0.4, "comet": 0.2},
    others=0.0,
)


class WindowTests(SynchronousTestCase):
    """One window."""

    def test_figures(self) -> None:
        """Accepted in the time of pushing, delivered in all of it; CPU time for one push."""
        self.assertEqual((GOOD.accepted_per_second, GOOD.delivered_per_second), (10_000, 8_000))
        self.assertEqual(GOOD.us, {"logic": 20.0, "comet": 10.0})
        self.assertEqual(GOOD.refusals, [])

    def test_refusals(self) -> None:
        """Nothing may be missing or come twice, the pace is kept, and nobody else is at work."""
        for change, words in (
            ({"counted": replace(GOOD.counted, packets=19_999)}, "19,999 packets arrived, not 20,000"),
            ({"counted": replace(GOOD.counted, packets=20_001)}, "20,001 packets arrived"),
            ({"counted": replace(GOOD.counted, gone=1)}, "1 clients lost"),
            ({"case": Case(100, True, 11_000.0)}, "the pace was not kept"),
            ({"others": 9.0}, "others had 3.60 cores"),
        ):
            self.assertIn(words, " ".join(replace(GOOD, **change).refusals))


class DocumentTests(SynchronousTestCase):
    """All windows of a run."""

    def test_medians(self) -> None:
        """Of those that can be believed."""
        bad = replace(GOOD, others=9.0, spent={"logic": 9.0, "comet": 9.0})
        self.assertEqual(figures([GOOD, bad]), [10_000, 8_000, 5, 9, 11, 2.0])
        self.assertEqual(costs([GOOD, bad]), {"logic": 20.0, "comet": 10.0})
        self.assertIsNone(figures([bad]))

    def test_tables(self) -> None:
        """What was reached and what it cost, a line a case; a refused one says why; the plot has what was paced."""
        flat = replace(GOOD, case=Case(1, False, 0.0), counted=replace(GOOD.counted, packets=1))
        made = document([GOOD, flat], RUN)
        self.assertEqual(
            [table.rows for table in made.tables],
            [
                (
                    ("kept, arrays of 100, 10,000/s", "10,000", "8,000", "5.0", "9.0", "11.0", "2.0"),
                    ("live, one by one, flat out", "refused: 1 packets arrived, not 20,000", "", "", "", "", ""),
                ),
                (("kept, arrays of 100, 10,000/s", "20.0", "10.0", "30.0"),),
            ],
        )
        (mark,) = made.plots[0].groups[0].marks
        self.assertEqual((mark.values, mark.aim), ((5, 9, 11), 50.0))
        self.assertEqual([refusal.where for refusal in made.refusals], ["live, one by one, flat out"])

    def test_rates(self) -> None:
        """Flat out, and half of what is wanted."""
        self.assertEqual([rates(each) for each in (100, 1, 7)], [(0.0, 10_000.0), (0.0, 1_500.0), (0.0,)])
