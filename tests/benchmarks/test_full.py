"""All parts in one report."""

from pathlib import Path

from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from benchmarks import full
from benchmarks.__main__ import main
from benchmarks.document import dump, load
from benchmarks.full import command, steps
from tests.benchmarks.documents import DOCUMENT


class FullTests(SynchronousTestCase):
    """Parts that measure nothing."""

    def test_the_parts_are_commands(self) -> None:
        """Each takes the words that it is given."""
        for words in steps(runs=3, windows=1, seconds=2.5, patience=10):
            done = CliRunner().invoke(main, [*words, "--help"])
            self.assertEqual(done.exit_code, 0, done.output)
            made = CliRunner().invoke(main, [*words, "--no-such-option"])
            self.assertIn("--no-such-option", made.output)

    def test_one_report(self) -> None:
        """Of the parts that wrote one; a part that failed is not passed over in silence."""
        statuses = {"fanout": 0, "stalled": 1}

        def run(words: list[str]) -> int:
            status = statuses.get(words[0], 0)
            if not status:
                Path(words[words.index("--json") + 1]).write_bytes(dump(DOCUMENT))
            return status

        self.patch(full, "run", run)
        path = Path(self.mktemp())
        done = CliRunner().invoke(command, ["--runs", "1", "--json", str(path)])
        self.assertEqual(done.exit_code, 3, done.output)
        self.assertIn("stalled: exit status 1", done.output)
        self.assertEqual(load(path.read_bytes()).tables, DOCUMENT.tables)
