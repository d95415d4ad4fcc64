"""What the kernel says."""

import os
import time

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
