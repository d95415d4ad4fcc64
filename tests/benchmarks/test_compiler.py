"""The C programs are built by what is there."""

import os
from pathlib import Path

from benchmarks import compiler
from benchmarks.compiler import SOURCES, NoCompiler, build
from tests.benchmarks.program_case import ProgramCase


class CompilerTests(ProgramCase):
    """cc, and none."""

    def test_every_program_builds(self) -> None:
        """Without a warning."""
        for source in SOURCES.glob("*.c"):
            self.assertTrue(os.access(self.built(source.stem), os.X_OK), source)

    def test_no_compiler(self) -> None:
        """Said with the remedy."""
        self.patch(os, "environ", {"PATH": "/nowhere"})
        with self.assertRaisesRegex(NoCompiler, "apt install gcc"):
            compiler.compiler()

    def test_what_the_compiler_says(self) -> None:
        """A source that does not build brings the compiler's words."""
        with self.assertRaisesRegex(NoCompiler, "missing"):
            build("missing", Path(self.folder.name))
