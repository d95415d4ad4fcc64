"""A child that speaks by lines."""

import sys
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.program import Program, ProgramFailed

ECHO = """
import json, sys, time
print(json.dumps({"event": "listening", "port": 7}), flush=True)
for line in sys.stdin:
    if line == "die\\n":
        sys.exit("it was told to")
    print(json.dumps({"event": "noise"}), flush=True)
    sys.stdout.write('{"event": "heard", ')
    sys.stdout.flush()
    time.sleep(0.05)
    print(f'"line": "{line.strip()}"}}', flush=True)
"""


class ProgramTests(SynchronousTestCase):
    """Python that echoes."""

    def setUp(self) -> None:
        self.program = Program([sys.executable, "-c", ECHO], log=Path(self.mktemp()))
        self.addCleanup(self.program.end)
        self.assertEqual(self.program.wait_for("listening"), {"event": "listening", "port": 7})

    def test_ask(self) -> None:
        """The answer is waited for, though it comes in pieces and behind others."""
        self.assertEqual(self.program.ask("one", "heard")["line"], "one")
        self.assertEqual(self.program.ask("two", "heard")["line"], "two")
        self.assertGreater(self.program.cpu_seconds, 0)

    def test_it_ends(self) -> None:
        """What it said last is in the failure."""
        with self.assertRaisesRegex(ProgramFailed, r"(?s)ended.*it was told to"):
            self.program.ask("die", "heard")

    def test_it_does_not_answer(self) -> None:
        """Not longer than is waited for; ``tick`` is called meanwhile."""
        ticks: list[None] = []
        began = time.monotonic()
        with self.assertRaisesRegex(ProgramFailed, "did not say 'gone' within 0.1 s"):
            self.program.wait_for("gone", seconds=0.1, tick=lambda: ticks.append(None))
        self.assertLess(time.monotonic() - began, 1)

    def test_nobody_listens(self) -> None:
        """Told after its end."""
        self.program.end()
        with self.assertRaises((ProgramFailed, ValueError)):
            self.program.say("one")
