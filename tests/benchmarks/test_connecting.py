"""What it takes to let a client in: what is counted, what is refused, and a run that is small. Its figures prove nothing."""

import os
import tempfile
from dataclasses import replace
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.case import Audience
from benchmarks.connecting import Row, Runner, Window, document
from tests.benchmarks.documents import RUN

TCP = Audience("tcp", 1000)
GOOD = Window(
    connections=1000,
    alone=True,
    seconds=0.1,
    server_seconds=0.099,
    gone_seconds=0.05,
    clients_seconds=0.02,
    others_seconds={"logic": 0.03},
    strangers_seconds=0.0,
)


class WindowTests(SynchronousTestCase):
    """One window."""

    def test_figures(self) -> None:
        """By hand."""
        self.assertAlmostEqual(GOOD.rate, 10_000)
        self.assertAlmostEqual(GOOD.us_per_connect, 99)
        self.assertAlmostEqual(GOOD.us_per_end, 50)
        self.assertEqual(GOOD.refusals, [])

    def test_the_clients_were_the_limit(self) -> None:
        """Then the rate is not the server's; one that waits for logic anyway claims none."""
        waiting = replace(GOOD, server_seconds=0.05)
        self.assertEqual(waiting.refusals, ["the server was only 50% busy: it waited for its clients"])
        self.assertEqual(replace(waiting, alone=False).refusals, [])

    def test_others_on_its_core(self) -> None:
        """Whoever else ran there made it slower."""
        self.assertEqual(replace(GOOD, strangers_seconds=0.02).refusals, ["others had 20% of the server's core"])


class DocumentTests(SynchronousTestCase):
    """The table."""

    def test_a_row(self) -> None:
        """Medians; what logic spends; what a core could do."""
        windows = (GOOD, replace(GOOD, server_seconds=0.1), replace(GOOD, server_seconds=0.098))
        found = document([Row("cluster", TCP, windows, windows)], RUN)
        (table,), (plot,) = found.tables, found.plots
        self.assertEqual((table.key, table.title), ("connect-tcp-1000", "tcp × 1,000 clients come, and go"))
        self.assertEqual(table.rows[0][1:], ("10,000", "99.0", "50.0", "10,101", "99%", "logic 30"))
        self.assertEqual((plot.groups[0].marks[0].values, plot.groups[0].marks[0].aim), ((99.0, 50.0), 125.0))

    def test_a_refused_row(self) -> None:
        """Says why, and has no figures, neither here nor in JSON."""
        bad = replace(GOOD, strangers_seconds=0.02)
        row = Row("comet", TCP, (bad,), ())
        found = document([row], RUN)
        self.assertEqual(found.tables[0].rows[0][1], "refused: others had 20% of the server's core")
        self.assertEqual((found.plots, len(found.refusals)), ((), 1))
        (value,) = found.raw["connect"]
        self.assertIsNone(value["us_per_connect"])
        self.assertEqual(value["windows"][0]["refusals"], bad.refusals)


class RunTests(SynchronousTestCase):
    """Twenty clients."""

    def test_they_come_and_go(self) -> None:
        """To the C loop and to a comet, as often as asked."""
        said: list[str] = []
        self.addCleanup(os.sched_setaffinity, 0, os.sched_getaffinity(0))
        with tempfile.TemporaryDirectory(prefix="imd-bench-test-") as scratch:
            runner = Runner(scratch=Path(scratch), handshakes=8, windows=2, tries=1, say=said.append)
            for name in ("loop", "comet"):
                row = runner.measure(name, Audience("tcp", 20))
                self.assertEqual(len(row.windows), 2)
                for window in row.windows:
                    self.assertEqual(window.connections, 20)
                    self.assertGreater(window.server_seconds, 0)
                    self.assertEqual(window.gone_seconds > 0, name == "comet")
        self.assertTrue(any("imd comet, 2 of 2" in line for line in said))
