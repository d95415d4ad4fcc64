"""Figures that were taken before."""

from pathlib import Path

import msgspec
from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from benchmarks.docs_page import render
from benchmarks.document import dump, load
from benchmarks.report import command
from tests.benchmarks.documents import DOCUMENT

PAGE = (
    "# Before\n<!-- figures: delivery -->\nold\n<!-- /figures -->\nbetween\n<!-- figures: runs -->\n<!-- /figures -->\n"
)
FULL = """# Before
<!-- figures: delivery -->
|  | µs | × loop |
| --- | --- | --- |
| C loop | 4.00 | 1.00 |
| imd \\| comet | refused: 1 of 1 windows, others had 20% |  |
<!-- /figures -->
between
<!-- figures: runs -->
|  | date | took | machine | Linux | Python |
| --- | --- | --- | --- | --- | --- |
| `python -m benchmarks short` | 2026-01-02 | 0 min | x < y, 2 cores | 6 | 3 |
<!-- /figures -->
"""
RUN = msgspec.structs.replace(DOCUMENT.runs[0], machine={"cpu": "x < y", "cores": 2, "kernel": "6", "python": "3"})
FIGURES = msgspec.structs.replace(DOCUMENT, runs=(RUN,))


class PageTests(SynchronousTestCase):
    """Tables in Markdown."""

    def test_tables_are_filled_in(self) -> None:
        """Between their marks; what is around them stays. Once more changes nothing."""
        self.assertEqual(render(PAGE, FIGURES), FULL)
        self.assertEqual(render(FULL, FIGURES), FULL)

    def test_plots_are_shown(self) -> None:
        """By the file that --svg writes; above the table of the same key."""
        place = "<!-- figures: cost -->\n<!-- /figures -->"
        self.assertEqual(render(place, FIGURES).splitlines()[1], "![What it costs](benchmarks/cost.svg)")
        both = msgspec.structs.replace(FIGURES, tables=(msgspec.structs.replace(FIGURES.tables[0], key="cost"),))
        self.assertEqual([line[:2] for line in render(place, both).splitlines()[1:4]], ["![", "", "| "])

    def test_what_was_not_measured(self) -> None:
        """Is said."""
        place = "<!-- figures: million -->\nold\n<!-- /figures -->"
        self.assertIn("\nNot measured on this machine.\n", render(place, FIGURES))


class ReportTests(SynchronousTestCase):
    """``python -m benchmarks report``."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.file = self.folder / "figures.json"
        self.file.write_bytes(dump(FIGURES))

    def test_other_forms(self) -> None:
        """A page, a picture a plot, a Markdown page, and JSON without the single windows."""
        page, joined = self.folder / "page.md", self.folder / "joined.json"
        page.write_text(PAGE)
        words = [str(self.file), "--page", str(page), "--json", str(joined), "--html", str(self.folder / "x.html")]
        done = CliRunner().invoke(command, [*words, "--svg", str(self.folder / "plots")])
        self.assertEqual(done.exit_code, 0, done.output)
        self.assertIn("tcp × 10, flat out", done.output)
        self.assertEqual(page.read_text(), FULL)
        self.assertEqual(load(joined.read_bytes()), msgspec.structs.replace(FIGURES, raw={}))
        self.assertTrue((self.folder / "plots" / "cost.svg").exists())

    def test_what_is_no_document(self) -> None:
        """One line, with the file's name."""
        self.file.write_text("{}")
        done = CliRunner().invoke(command, [str(self.file)])
        self.assertEqual((done.exit_code, "figures.json is not what --json writes" in done.output), (1, True))
