"""Tests that run the C programs."""

import subprocess
import tempfile
from pathlib import Path
from typing import ClassVar

from twisted.trial.unittest import SynchronousTestCase

from benchmarks import compiler


class ProgramCase(SynchronousTestCase):
    """A folder for a class's programs, built when they are asked for."""

    folder: ClassVar[tempfile.TemporaryDirectory[str]]

    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = tempfile.TemporaryDirectory(prefix="imd-bench-test-")

    @classmethod
    def tearDownClass(cls) -> None:
        cls.folder.cleanup()

    def built(self, name: str) -> Path:
        made = Path(self.folder.name, name)
        return made if made.exists() else compiler.build(name, made.parent)

    def self_test(self, what: str, given: bytes) -> list[str]:
        """The lines that ``self_test`` says of it."""
        done = subprocess.run([self.built("self_test"), what], input=given, capture_output=True, check=True)
        return done.stdout.decode().splitlines()
