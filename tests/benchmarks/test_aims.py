"""What was wanted."""

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from benchmarks.aims import aims, missed
from benchmarks.document import Document, Group, Mark, Plot
from tests.benchmarks.documents import BARS, DOCUMENT, RUN


class AimsTests(SynchronousTestCase):
    """One that was reached, one that was not."""

    def test_what_counts(self) -> None:
        """A bar's value, the percentile before the largest, the first part."""
        marks = (Mark("a", (1, 2.5, 9), aim=2), Mark("b", (1, 2.0, 9), aim=2), Mark("c", (1, 1, 1)))
        plots = [
            Plot("x", "Time", "ms", "spans", (Group("tcp", marks),), ("p50", "p99", "max")),
            Plot("y", "Memory", "KiB", "stacked", (Group("", marks[:1]),), ("a", "b", "c")),
        ]
        found = Document((RUN,), (), (BARS, *plots))
        table = aims(found)
        assert table is not None
        self.assertEqual(
            table.rows,
            (
                ("What it costs, tcp & co, imd", "1.20", "1.25", "× the C loop", "met"),
                ("Time, tcp, a", "2.50", "2.00", "ms", "missed"),
                ("Time, tcp, b", "2.00", "2.00", "ms", "met"),
                ("Memory, a", "1.00", "2.00", "KiB", "met"),
            ),
        )
        self.assertEqual(missed(found), ["Time, tcp, a"])

    def test_nothing_is_wanted(self) -> None:
        """No table."""
        found = msgspec.structs.replace(DOCUMENT, plots=())
        self.assertEqual((aims(found), missed(found)), (None, []))
