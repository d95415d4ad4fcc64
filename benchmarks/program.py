"""A child process that is told what to do by lines, and answers by lines of JSON."""

import json
import os
import select
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine

ROOT = Path(__file__).resolve().parent.parent  # where ``python -m`` finds imd and benchmarks
START_SECONDS = 60.0
TICK_SECONDS = 1.0  # between two looks at how far it is

Event = dict[str, Any]


class ProgramFailed(Exception):
    """It ended, or did not answer in time; with the last that it said."""


class Program:
    """Running from the start. What it writes to stderr goes to ``log``."""

    def __init__(self, command: Sequence[str], *, log: Path) -> None:
        self._name = command[2] if "-m" in command[:2] else Path(command[0]).name
        self._log = log
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=out, cwd=ROOT
            )
        self._heard = b""  # of a line that is not whole

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def cpu_seconds(self) -> float:
        return machine.cpu_seconds(self.pid)

    def say(self, line: str) -> None:
        """Raises :class:`ProgramFailed` when nobody reads it."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()
        except OSError:
            raise self._failure("does not listen") from None

    def wait_for(self, event: str, *, seconds: float = START_SECONDS, tick: Callable[[], None] | None = None) -> Event:
        """The next event of this name; others are passed over. ``tick`` is called about every second meanwhile.

        Raises :class:`ProgramFailed`.
        """
        ends = time.monotonic() + seconds
        while True:
            line = self._line(min(TICK_SECONDS, max(0.0, ends - time.monotonic())))
            if line is None:
                if time.monotonic() >= ends:
                    raise self._failure(f"did not say {event!r} within {seconds:g} s")
                if tick is not None:
                    tick()
                continue
            said: Event = json.loads(line)
            if said["event"] == event:
                return said

    def ask(self, line: str, event: str) -> Event:
        """Say it; the answer."""
        self.say(line)
        return self.wait_for(event)

    def end(self) -> None:
        """Killed: nothing of it is wanted any more."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue  # what it was told last went nowhere

    def _line(self, seconds: float) -> bytes | None:
        """One line; None when none came in time."""
        assert self._process.stdout is not None
        number = self._process.stdout.fileno()
        while b"\n" not in self._heard:
            if not select.select([number], [], [], seconds)[0]:
                return None
            data = os.read(number, 65536)
            if not data:
                raise self._failure("ended")
            self._heard += data
        line, _, self._heard = self._heard.partition(b"\n")
        return line

    def _failure(self, what: str) -> ProgramFailed:
        said = self._log.read_text(errors="replace").strip().splitlines()[-20:]
        return ProgramFailed("\n".join([f"{self._name} {what}", *said]))
