"""What the kernel says."""

import os
import subprocess
import sys
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from benchmarks import machine


class MachineTests(SynchronousTestCase):
    """Of this process, on this machine."""

    def test_cpu_seconds_are_this_process_s(self) -> None:
        """As much as Python says, whatever the threads."""
        before, own = machine.cpu_seconds(os.getpid()), time.process_time()
        while time.process_time() - own < 0.1:
            sum(range(10_000))
        time.sleep(0.01)  # the kernel brings the figure of a thread up to date when it stops
        self.assertApproximates(machine.cpu_seconds(os.getpid()) - before, time.process_time() - own, 0.03)

    def test_memory_grows_with_what_is_held(self) -> None:
        """In KiB."""
        before = machine.process_kb(os.getpid())
        held = b"x" * 40_000_000  # beyond 32 MiB malloc never takes it from what was freed before
        grown = machine.process_kb(os.getpid()) - before
        self.assertApproximates(grown, len(held) / 1024, 4_000)
        self.assertGreater(machine.kernel_kb(), 0)

    def test_cores(self) -> None:
        """Each that may be used has been busy for a while."""
        for core in machine.cores():
            self.assertGreater(machine.busy_seconds(core), 0)
        self.assertEqual(machine.description()["cores"], len(machine.cores()))

    def test_softirqs(self) -> None:
        """What a core's own thread did so far; where there is none to be seen, nothing."""
        names = [path.read_text().strip() for path in Path("/proc").glob("[0-9]*/comm")]
        seen = "ksoftirqd/0" in names
        self.assertEqual(machine.softirq_seconds(0) > 0, seen)
        self.assertEqual(machine.softirq_seconds(99_999), 0)

    def test_give_way(self) -> None:
        """A child that began a session goes last, by itself and as a group."""
        command = [sys.executable, "-c", "input()"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as child:
            machine.give_way(child.pid, 7)
            self.assertEqual(os.getpriority(os.PRIO_PROCESS, child.pid), 7)
            group = Path(f"/proc/{child.pid}/autogroup")
            if group.exists():  # a matter of the kernel's configuration
                self.assertIn("nice 7", group.read_text())
            child.communicate(b"\n")
