"""The command, small: what is tested is that it counts, and leaves nothing behind."""

import json
from pathlib import Path

import click
from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from benchmarks import million
from benchmarks.capacity import Demand, Host
from benchmarks.million import chosen, command

SMALL = Host(
    files_of_a_process=1_024, files=10_000, watches=10_000, ports=10_000, tracked=None, memory_kb=4 * 1024 * 1024
)


class MillionTests(SynchronousTestCase):
    """``python -m benchmarks million``."""

    def test_every_client_gets_every_push_once(self) -> None:
        """Through real processes, two comets on one port; clients that were silent for the idle time would have been ended."""
        path = Path(self.mktemp())
        words = "-n 30 --per-process 15 --idle-seconds 3 --heartbeat-seconds 1 --handshakes 8 --json"
        done = CliRunner().invoke(command, [*words.split(), str(path)])
        self.assertEqual(done.exit_code, 0, done.output)
        self.assertIn("every client got every push exactly once", done.output)
        self.assertIn("nothing went wrong", done.output)
        said = json.loads(path.read_text())["raw"]["million"]
        self.assertEqual([(each["target"], each["packets"]) for each in said["pushes"]], [("room", 30), ("all", 30)])
        self.assertEqual((len(said["channels"]), sum(said["channels"])), (2, 30))
        self.assertEqual(said["handed_over"], {"delivered": 60})
        self.assertEqual(
            [each["name"] for each in said["phases"]], ["connecting", "idle", "push to room", "push to all"]
        )
        for phase in said["phases"]:
            self.assertEqual(
                set(phase["cpu_seconds"]), {"clients", "redis", "zookeeper", "logic", "job", "comets"}, phase
            )

    def test_what_does_not_fit_is_refused(self) -> None:
        """Before anything starts, with why, and what would fit."""
        self.patch(million, "host", lambda: SMALL)
        done = CliRunner().invoke(command, ["-n", "1000000"])
        self.assertEqual(done.exit_code, 1)
        self.assertIn("19,749 open files of a process: a higher ulimit -Hn", done.output)
        self.assertIn("2,000,000 sockets that epoll watches", done.output)

    def test_auto(self) -> None:
        """As many as fit."""
        self.patch(million, "host", lambda: SMALL)
        self.assertEqual(chosen(None, 500, "tcp"), Demand(SMALL.most(500, "tcp"), 500, "tcp"))
        with self.assertRaisesRegex(click.ClickException, "not a single connection fits"):
            self.patch(million, "host", lambda: Host(1_024, 0, 0, 0, None, 0))
            chosen(None, 500, "tcp")
        self.assertIn("neither a number nor auto", CliRunner().invoke(command, ["-n", "many"]).output)
