"""The page."""

import re
from html.parser import HTMLParser

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.page import page
from tests.benchmarks.documents import DOCUMENT

VOID = {"meta"}


class Checked(HTMLParser):
    """Every element that is opened is closed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """It is closed already."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


class PageTests(SynchronousTestCase):
    """One file."""

    def test_it_is_whole(self) -> None:
        """Elements are closed; plots, cells, refusals, machine and command are there, whatever letters they hold."""
        checked = Checked()
        checked.feed(page(DOCUMENT))
        self.assertEqual(checked.open, [])
        for words in (
            "What it costs",
            "1 of 1 aims are met, of what could be measured",
            "4.00",
            "tcp × 10, imd: others had 20%",
            "x < y",
            "python -m benchmarks short",
        ):
            self.assertIn(words, checked.words)

    def test_it_needs_nothing_else(self) -> None:
        """No script, no address but the name of SVG."""
        said = page(DOCUMENT).replace("http://www.w3.org/2000/svg", "")
        self.assertEqual(re.findall(r"https?:|<script|<link|url\(|@import|\bsrc=", said), [])

    def test_light_and_dark(self) -> None:
        """Both are styled."""
        self.assertIn("prefers-color-scheme:dark", page(DOCUMENT))
