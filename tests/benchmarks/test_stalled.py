"""Clients that do not read. What is tested is that they do not, and what is said of it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from benchmarks.document import dump
from benchmarks.stalled import OUTBOX_BYTES, Found, command, document
from tests.benchmarks.documents import RUN
from tests.benchmarks.windows import window


class DocumentTests(SynchronousTestCase):
    """One policy that was measured, one that was not."""

    def test_a_line_a_policy(self) -> None:
        """Latencies, their ratio and memory; or why there are none."""
        good = Found("drop_oldest", [window(p99_ms=10)], [window(p99_ms=11)], held_kb=1000, grown_kb=1010)
        found = document([good, Found("disconnect", [window(gone=1)], [window()])], 1_000, 1, RUN)
        (table,), (plot,) = found.tables, found.plots
        self.assertEqual(
            table.rows[0], ("drop_oldest", "10.0", "11.0", "1.10", "3.90", "3.90", "1,000", "1,010", "1,024")
        )
        self.assertEqual(table.rows[1][:2], ("disconnect", "refused: 1 clients lost their connection"))
        self.assertEqual([mark.aim for mark in plot.groups[0].marks], [None, 12.0])
        self.assertEqual(len(found.refusals), 1)
        self.assertIn(b'"held_kb": 1000', dump(found))


@pytest.mark.slow
class StalledTests(SynchronousTestCase):
    """Twenty clients, two of which stop."""

    def test_they_do_not_read(self) -> None:
        """The outboxes of the two are full, or they are gone; the others get everything."""
        path = Path(self.mktemp())
        words = "-n 20 --policy drop_oldest --policy disconnect --seconds 0.2 --windows 1 --patience 0 --json"
        done = CliRunner().invoke(command, [*words.split(), str(path)])
        self.assertIn(done.exit_code, (0, 3), done.output)
        kept, ended = json.loads(path.read_text())["raw"]["stalled-20"]
        for found, receivers in ((kept["reading"], 20), (kept["stalled"], 18), (ended["stalled"], 18)):
            self.assertEqual(
                [each["counted"]["packets"] for each in found], [each["messages"] * receivers for each in found]
            )
        self.assertGreater(kept["dropped"], 0)
        self.assertLess(OUTBOX_BYTES / 1024 / 2, kept["held_kb"])
        self.assertLessEqual(kept["held_kb"], OUTBOX_BYTES / 1024)
        self.assertEqual((kept["ended"], ended["ended"]), (0, 2))
