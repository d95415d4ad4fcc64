"""A whole run, small. What is tested is the counting; figures of so little prove nothing."""

import os
import tempfile
from pathlib import Path
from typing import ClassVar

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.case import KINDS, USUAL, Audience, Load, meets
from benchmarks.program import ROOT
from benchmarks.run import Findings, Plan, Runner

AUDIENCES = (Audience("tcp", 20), Audience("websocket", 20), Audience("tls", 5))


class RunTests(SynchronousTestCase):
    """Twenty clients by each transport, and five under TLS."""

    findings: ClassVar[Findings]
    said: ClassVar[list[str]]
    logs: ClassVar[set[Path]]  # in the repository's root before it
    cores: ClassVar[set[int]]  # of this process before it

    @classmethod
    def setUpClass(cls) -> None:
        cls.said = []
        plan = Plan(
            subjects=USUAL,
            audiences=AUDIENCES,
            seconds=0.2,
            windows=1,
            runs=1,
            kinds=KINDS,
            merged=5,
            warm_seconds=0.02,
            settle_seconds=0.1,
            tries=1,
            patience_seconds=0,
        )
        cls.logs = set(ROOT.glob("*.log"))
        with tempfile.TemporaryDirectory(prefix="imd-bench-test-") as scratch:
            runner = Runner(plan=plan, scratch=Path(scratch), say=cls.said.append)
            cls.cores = os.sched_getaffinity(0)
            runner.run()
        cls.findings = runner.findings

    def test_everything_arrives(self) -> None:
        """What a subject says that it sent is what each client was sent, by each transport, under each load."""
        self.assertEqual(len(self.findings.windows), (4 + 4) * len(KINDS) + 3 * (len(KINDS) - 1) + 1)
        for (name, audience, load), windows in self.findings.windows.items():
            for window in windows:
                with self.subTest(subject=name, audience=str(audience), load=str(load)):
                    self.assertGreater(window.messages, 0)
                    self.assertEqual(window.counted.packets, window.messages * audience.connections)
                    self.assertEqual((window.counted.fewest, window.counted.most), (window.messages,) * 2)
                    self.assertEqual(window.counted.gone, 0)

    def test_latency_is_measured(self) -> None:
        """From the timestamp in the body: above nothing, below the time of the test."""
        for windows in self.findings.windows.values():
            counted = windows[0].counted
            self.assertLess(0, counted.p50_ms)
            self.assertLessEqual(counted.p50_ms, counted.p99_ms)
            self.assertLessEqual(counted.p99_ms, counted.max_ms)
            self.assertLess(counted.max_ms, 20_000)

    def test_rows_and_memory(self) -> None:
        """One of each for the report, in the order of the run."""
        rows = self.findings.rows(1)
        met = [(name, each) for each in AUDIENCES for name in USUAL if meets(name, each, Load(20, 1, 100))]
        self.assertEqual(list(dict.fromkeys((row.subject, row.audience) for row in rows)), met)
        self.assertEqual(list(self.findings.memory()), met)

    def test_progress(self) -> None:
        """It is said what is being done, of how much."""
        self.assertIn("run 1 of 1, tcp × 20, imd: connecting", self.said)
        self.assertTrue(
            any(
                line.startswith("run 1 of 1, websocket × 20, write, flat out, 100 bytes, 1 of 1: ")
                for line in self.said
            )
        )

    def test_nothing_is_left(self) -> None:
        """Logs go into the scratch directory."""
        self.assertEqual(set(ROOT.glob("*.log")), self.logs)

    def test_the_runner_leaves_its_core(self) -> None:
        """It pins itself for the run only."""
        self.assertEqual(os.sched_getaffinity(0), self.cores)
