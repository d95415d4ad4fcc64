"""imdctl bench: the benchmarks of the checkout."""

import os
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from imd.ctl import bench
from imd.ctl.main import main


class BenchTests(SynchronousTestCase):
    """From any folder."""

    def test_words_go_through(self) -> None:
        """Commands, options and their help are the benchmarks' own; so is the exit status."""
        folder = Path(self.mktemp())
        folder.mkdir()
        script = "from imd.ctl.main import main; main()"

        def said(*words: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-c", script, "bench", *words]
            return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)

        done = said("fanout", "--help")
        self.assertEqual((done.returncode, "Usage: python -m benchmarks fanout" in done.stdout), (0, True), done.stderr)
        self.assertEqual((said("--runs", "many").returncode, said("fan-out").returncode), (2, 2))
        self.assertEqual(os.listdir(folder), [])

    def test_installed_without_them(self) -> None:
        """One line that says what to do."""
        self.patch(bench, "ROOT", Path("/usr/lib/python3/site-packages"))
        done = CliRunner().invoke(main, ["bench", "--runs", "3"])
        self.assertEqual(done.exit_code, 1)
        self.assertEqual(len(done.stderr.splitlines()), 1)
        self.assertIn("clone imd's repository, and run make bench", done.stderr)
