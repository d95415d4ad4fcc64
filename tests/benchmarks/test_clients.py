"""Several processes of clients."""

import subprocess
import sys
from pathlib import Path

from benchmarks.case import Audience
from benchmarks.clients import Clients, together
from benchmarks.load_client import Counted
from benchmarks.program import Program
from tests.benchmarks.program_case import ProgramCase


class ClientsTests(ProgramCase):
    """Five, before the loop of send()."""

    def setUp(self) -> None:
        folder = Path(self.folder.name)
        self.server = Program([str(self.built("send_loop")), "--connections", "5"], log=folder / "loop.log")
        self.addCleanup(self.server.end)
        self.clients = Clients(
            self.built("load_client"),
            audience=Audience("tcp", 5),
            port=self.server.wait_for("listening")["port"],
            cores=[-1, -1, -1],
            log=folder / "clients.log",
        )
        self.addCleanup(self.clients.end)
        self.server.wait_for("in")

    def send(self, seconds: float, receivers: int) -> Counted:
        self.clients.begin()
        messages = self.server.ask(f"send 100 {seconds} 1 100", "sent")["messages"]
        return self.clients.drain(messages * receivers, lambda: None)

    def test_all_are_counted(self) -> None:
        """Three on one core, two on another; the third is left to who pushes."""
        found = self.send(0.05, 5)
        self.assertEqual((found.packets, found.fewest, found.most), (25, 5, 5))
        self.assertGreater(self.clients.cpu_seconds, 0)

    def test_stalled(self) -> None:
        """Who does not read is not counted; reading again, it has what was sent meanwhile."""
        self.assertEqual(self.clients.stall(2), 3)  # the first and the third of three, the first of two
        found = self.send(0.05, 2)
        self.assertEqual((found.packets, found.fewest, found.most, found.gone), (10, 5, 5, 0))
        self.assertEqual(self.clients.stall(0), 0)
        found = self.clients.look()
        self.assertEqual((found.packets, found.fewest, found.most), (25, 5, 5))


class TogetherTests(ProgramCase):
    """What they say, in one."""

    def test_sums_and_extremes(self) -> None:
        """Percentiles are those of the process that has the largest: the real ones are not above."""
        first, second = Counted(10, 9, 1, 2, 0, 1, 2, 3, 4), Counted(20, 19, 0, 5, 1, 4, 3, 2, 1)
        self.assertEqual(together([first, second]), Counted(30, 28, 0, 5, 1, 4, 3, 3, 4))


class TlsClientTests(ProgramCase):
    """Under TLS; ``test_run.py`` has it count."""

    def test_nobody_is_there(self) -> None:
        """It says so, and ends."""
        words = [sys.executable, "-m", "benchmarks.tls_client", "--port", "1", "--connections", "1", "--core", "0"]
        done = subprocess.run([*words, "--room", "live://x"], capture_output=True, text=True, check=False, timeout=60)
        self.assertEqual((done.returncode, "refused" in done.stderr), (1, True))
