"""imdctl as people run it: a process, what it printed, how it ended."""

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tests.support.reactor import eventually

SECONDS = 20.0


class Ended(NamedTuple):
    """A command that has ended."""

    status: int
    out: str
    err: str


class Command:
    """``imdctl`` with these arguments, running."""

    def __init__(self, *arguments: str, folder: str, environ: dict[str, str]) -> None:
        self._out, self._err = f"{folder}/out-{id(self)}", f"{folder}/err-{id(self)}"
        command = [str(Path(sys.executable).parent / "imdctl"), *arguments]
        with open(self._out, "wb") as out, open(self._err, "wb") as err:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environ)

    @property
    def err(self) -> str:
        """What it said so far."""
        return Path(self._err).read_text()

    async def ended(self) -> Ended:
        """Wait for it."""
        await eventually(lambda: self.process.poll() is not None, SECONDS)
        return Ended(self.process.returncode, Path(self._out).read_text(), self.err)

    def end(self) -> None:
        """A clean-up."""
        self.process.kill()
        self.process.wait()
