"""In CI a skipped test fails the run."""

import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

CONFTEST = Path(__file__).with_name("conftest.py")
SKIPS = """
import pytest
def test_runs(): pass
@pytest.mark.skip
def test_skips(): pass
"""


class NothingSkippedTests(SynchronousTestCase):
    """pytest as CI and as people run it."""

    def run_pytest(self, text: str, ci: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Run ``text`` as a test file of its own, with our conftest beside it."""
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        (folder / "conftest.py").write_text(CONFTEST.read_text())
        (folder / "test_it.py").write_text(text)
        (folder / "pytest.ini").write_text("[pytest]\n")
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options],
            cwd=folder,
            env={**os.environ, "CI": ci},
            capture_output=True,
            text=True,
            check=False,
        )

    def test_skip_fails_in_ci(self) -> None:
        """The test is named, and the exit status is a failure's."""
        done = self.run_pytest(SKIPS, "true")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("CI: test_it.py::test_skips did not run", done.stdout)
        self.assertIn("1 passed, 1 skipped", done.stdout)

    def test_skip_fails_in_ci_side_by_side(self) -> None:
        """Wherever it was left out."""
        done = self.run_pytest(SKIPS, "true", "--numprocesses", "2")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("CI: test_it.py::test_skips did not run", done.stdout)

    def test_skip_is_allowed_at_home(self) -> None:
        """A laptop may lack something."""
        self.assertEqual(self.run_pytest(SKIPS, "").returncode, 0)

    def test_full_run_is_green_in_ci(self) -> None:
        """Nothing else is a failure."""
        self.assertEqual(self.run_pytest("def test_runs(): pass\n", "true").returncode, 0)
