"""Where a document goes."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.document import load
from benchmarks.output import Output
from tests.benchmarks.documents import DOCUMENT


class OutputTests(SynchronousTestCase):
    """Files, and the exit status."""

    def test_files(self) -> None:
        """JSON that can be read again, a page, and a picture a plot, in folders that are made."""
        folder = Path(self.mktemp())
        Output(folder / "x.json", folder / "x.html", folder / "plots").publish(DOCUMENT)
        self.assertEqual(load((folder / "x.json").read_bytes()), DOCUMENT)
        self.assertTrue((folder / "x.html").read_text().startswith("<!doctype html>"))
        names = sorted(path.name for path in (folder / "plots").iterdir())
        self.assertEqual(names, ["cost.svg", "latency.svg", "memory.svg"])

    def test_what_cannot_be_believed(self) -> None:
        """Is printed, and ends with 3."""
        with self.assertRaises(SystemExit) as ended:
            Output().publish(DOCUMENT, believable=False)
        self.assertEqual(ended.exception.code, 3)
