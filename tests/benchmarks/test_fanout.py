"""The command."""

import json
from pathlib import Path

from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from benchmarks import machine
from benchmarks.fanout import command


class FanoutTests(SynchronousTestCase):
    """``python -m benchmarks fanout``."""

    def test_figures_or_refusals(self) -> None:
        """A table, JSON with every window, and exit status 3 when a result cannot be believed."""
        path = Path(self.mktemp())
        words = "-n 5 --transport tcp --subject loop --seconds 0.05 --windows 1 --patience 0 --json"
        done = CliRunner().invoke(command, [*words.split(), str(path)])
        said = json.loads(path.read_text())
        results = said["raw"]["fanout"]["results"]
        refused = any(each["result"] is None for each in results)
        self.assertEqual(done.exit_code, 3 if refused else 0, done.output)
        self.assertIn("tcp × 5, flat out, 100 bytes", done.output)
        self.assertEqual([each["rate"] for each in results], [20, 0])
        self.assertTrue(all(each["windows"] for each in results))
        self.assertEqual(said["runs"][0]["machine"], machine.description())

    def test_one_core(self) -> None:
        """Clients on the server's core would be measured with it."""
        self.patch(machine, "cores", lambda: [0])
        done = CliRunner().invoke(command, [])
        self.assertEqual(done.exit_code, 1)
        self.assertIn("two cores are needed", done.output)

    def test_no_room_for_a_timestamp(self) -> None:
        """A body holds the time when it was sent."""
        self.assertIn("8<=x<=4096", CliRunner().invoke(command, ["--body-bytes", "7"]).output)
