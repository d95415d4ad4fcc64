"""How a command ends: by status, by one line, or by a traceback when it is a bug."""

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

PROGRAM = """
from imd.ctl.failure import run
from imd.errors import PeerUnavailable
async def work(reactor):
    {body}
run(work)
"""


class RunTests(SynchronousTestCase):
    """Programs that end by ``run``: each in a process of its own, for a reactor runs once."""

    def run_body(self, body: str) -> subprocess.CompletedProcess[str]:
        """The program with this body of ``work``."""
        command = [sys.executable, "-c", PROGRAM.format(body=body)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def test_value_is_the_status(self) -> None:
        """Nothing is said."""
        done = self.run_body("return 3")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (3, "", ""))

    def test_error_is_one_line(self) -> None:
        """What imd's own errors say, and status 1."""
        done = self.run_body("raise PeerUnavailable('nobody there')")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (1, "", "Error: nobody there\n"))

    def test_bug_shows_its_traceback(self) -> None:
        """What is not foreseen is not hidden."""
        done = self.run_body("return 1 / 0")
        self.assertEqual(done.returncode, 1)
        self.assertIn("ZeroDivisionError", done.stderr)
