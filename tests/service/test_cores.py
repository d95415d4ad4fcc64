"""How many processes, and where."""

import math
import os
import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from imd.errors import ConfigError
from imd.service.cores import MAX_PROCESSES, allowance, cores, count_processes, pin


class CountTests(SynchronousTestCase):
    """``--processes``."""

    def test_numbers(self) -> None:
        """Taken as they are, also beyond the cores: file limits may ask for more processes."""
        self.assertEqual(count_processes("3", cores=2, allowance=0.5), 3)
        self.assertEqual(count_processes(str(MAX_PROCESSES), cores=2, allowance=2), MAX_PROCESSES)

    def test_auto(self) -> None:
        """One a core; a container's share of a large machine counts, rounded up."""
        for held, quota, wanted in ((4, math.inf, 4), (64, 4.0, 4), (64, 2.5, 3), (2, 8.0, 2), (8, 0.25, 1)):
            self.assertEqual(count_processes("auto", cores=held, allowance=quota), wanted)
        self.assertEqual(count_processes("auto", cores=1000, allowance=math.inf), MAX_PROCESSES)

    def test_refused(self) -> None:
        """In one line that says what would be right."""
        for text in ("0", "-1", "four", "", "²", "2.5", str(MAX_PROCESSES + 1)):
            with self.assertRaisesRegex(ConfigError, f"^--processes {text}: give a number from 1 to 256, or auto"):
                count_processes(text, cores=2, allowance=2)


class AllowanceTests(SynchronousTestCase):
    """``cpu.max`` of a control group."""

    def allowed(self, text: str) -> float:
        path = Path(self.mktemp())
        path.write_text(text)
        return allowance(path)

    def test_quota(self) -> None:
        """Microseconds in a period."""
        self.assertEqual(self.allowed("400000 100000\n"), 4)
        self.assertEqual(self.allowed("50000 100000\n"), 0.5)

    def test_none(self) -> None:
        """No quota, no such file, words of another kernel."""
        for text in ("max 100000\n", "", "so much\n"):
            self.assertEqual(self.allowed(text), math.inf)
        self.assertEqual(allowance(Path("/none/such")), math.inf)


class PinTests(SynchronousTestCase):
    """A process of ours."""

    def test_pinned(self) -> None:
        """It runs on that core alone; a core that is not there is refused in one line, a process that is gone is left."""
        with subprocess.Popen(["sleep", "60"]) as process:
            try:
                pin(process.pid, cores()[-1])
                self.assertEqual(os.sched_getaffinity(process.pid), {cores()[-1]})
                with self.assertRaisesRegex(
                    ConfigError, r"^--pin: process \d+ cannot be kept on core 1023: invalid arg"
                ):
                    pin(process.pid, 1023)
            finally:
                process.kill()
        pin(process.pid, 0)
