"""A process that stands still."""

import os
import signal
import time
from pathlib import Path

PATIENCE_SECONDS = 10.0
STILL = frozenset("TtXZ")  # stopped, or never to run again


def stand_still(pid: int) -> None:
    """SIGSTOP; returns when all of its threads have stopped: one on another core goes on for a moment, and may answer."""
    os.kill(pid, signal.SIGSTOP)
    ends = time.monotonic() + PATIENCE_SECONDS
    while not _states(pid) <= STILL:
        assert time.monotonic() < ends, f"process {pid} does not stop: {_states(pid)}"
        time.sleep(0.001)


def _states(pid: int) -> set[str]:
    """The letters of proc_pid_stat(5) of its threads."""
    states = set()
    for thread in Path(f"/proc/{pid}/task").iterdir():
        try:
            text = (thread / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            continue
        states.add(text.rpartition(")")[2].split()[0])
    return states
