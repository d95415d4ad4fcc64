"""docs/benchmarks.md: its tables are those that were measured."""

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.__main__ import COMMANDS
from benchmarks.docs_page import render
from benchmarks.document import load
from benchmarks.measurement import MAX_CLIENTS_BUSY, MAX_JOINED, MAX_OTHERS, MAX_WAITED, MIN_PACE, MIN_SERVER_BUSY

DOCS = Path(__file__).parent.parent.parent / "docs"


class BenchmarksPageTests(SynchronousTestCase):
    """The page as it is."""

    def setUp(self) -> None:
        self.page = (DOCS / "benchmarks.md").read_text()

    def test_tables_are_those_of_the_figures(self) -> None:
        """Nobody mended a cell by hand; the command in the page's last section makes it again."""
        figures = load((DOCS / "benchmarks" / "figures.json").read_bytes())
        self.assertEqual(render(self.page, figures), self.page)
        self.assertIn("<!-- figures: runs -->", self.page)

    def test_plots_are_there(self) -> None:
        """Those that the page shows."""
        for name in re.findall(r"\]\((benchmarks/[^)]+)\)", self.page):
            self.assertTrue((DOCS / name).exists(), name)

    def test_every_command_is_named(self) -> None:
        """In the first table."""
        named = re.findall(r"^\| (?:\(nothing\), )?`([a-z]+)` \|", self.page, re.MULTILINE)
        self.assertEqual(set(named), set(COMMANDS))

    def test_refusals_are_those_of_the_code(self) -> None:
        """The limits, in words."""
        limits = (MAX_CLIENTS_BUSY, MAX_JOINED, MAX_OTHERS, MAX_WAITED, MIN_PACE, MIN_SERVER_BUSY)
        self.assertEqual(limits, (0.9, 1.2, 0.1, 0.001, 0.98, 0.9))
        for words in (
            "more than 90 % busy",
            "1.2 packets",
            "more than 10 % of either core",
            "one send in a thousand",
            "less than 98 %",
            "less than 90 % busy",
        ):
            self.assertIn(words, self.page)
