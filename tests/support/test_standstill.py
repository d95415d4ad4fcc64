"""A process that was stopped does nothing, whichever of its threads was at work."""

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.support.standstill import _states, stand_still

BUSY = """
import threading
def work():
    while True: print("x" * 100)
for _ in range(4): threading.Thread(target=work, daemon=True).start()
work()
"""


class StandStillTests(SynchronousTestCase):
    """Of a process that writes without a pause."""

    def test_all_threads_have_stopped(self) -> None:
        """When the call returns."""
        process = subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        assert process.stdout is not None
        self.addCleanup(process.stdout.close)
        process.stdout.readline()
        stand_still(process.pid)
        self.assertEqual(_states(process.pid), {"T"})

    def test_one_that_has_ended(self) -> None:
        """Stands still already."""
        process = subprocess.Popen([sys.executable, "-c", ""])
        self.addCleanup(process.wait)
        while "Z" not in _states(process.pid):
            pass
        stand_still(process.pid)
