"""A document as text and Markdown."""

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.document import Document, Table
from benchmarks.text import markdown, text
from tests.benchmarks.documents import DOCUMENT, TABLE


class TextTests(SynchronousTestCase):
    """A table with a result and a refusal."""

    def test_text(self) -> None:
        """Columns stand below each other; a refusal takes its row; how to read it stands at the end."""
        lines = text(DOCUMENT).splitlines()
        self.assertEqual(lines[0], "tcp × 10, flat out")
        self.assertEqual(lines[1].split(), ["µs", "×", "loop"])
        self.assertEqual(lines[2].split(), ["C", "loop", "4.00", "1.00"])
        self.assertEqual(lines[2].index("4.00") + 4, lines[1].index("µs") + 2)
        self.assertEqual(lines[3].split(maxsplit=3)[3], "refused: 1 of 1 windows, others had 20%")
        self.assertIn("1 of 1 aims are met, of what could be measured.", lines)
        self.assertIn("1 windows could not be believed: --html and --json say which, and why.", lines)
        self.assertEqual(lines[-1], "µs: of CPU time.")

    def test_a_column_of_words(self) -> None:
        """Words stand beside their names, and what is longer than a line goes on below."""
        table = Table("on", "How it went", ("",), (("outcome", "well"), ("on the way", "word " * 40)), "")
        lines = text(Document(runs=(), tables=(table,), plots=(), refusals=(), raw={})).splitlines()
        self.assertEqual(lines[:2], ["How it went", f"{'outcome':<20}well"])
        self.assertTrue(lines[2].startswith(f"{'on the way':<20}word"))
        self.assertTrue(lines[3].startswith(" " * 20 + "word"))
        self.assertTrue(all(len(line) <= 120 for line in lines))

    def test_markdown(self) -> None:
        """One line a row; a bar in a cell is no new cell."""
        self.assertEqual(
            markdown(TABLE).splitlines(),
            [
                "|  | µs | × loop |",
                "| --- | --- | --- |",
                "| C loop | 4.00 | 1.00 |",
                "| imd \\| comet | refused: 1 of 1 windows, others had 20% |  |",
            ],
        )
