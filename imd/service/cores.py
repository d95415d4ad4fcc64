"""The cores that this process may use, and how many processes to run on them."""

import math
import os
from pathlib import Path

from imd.errors import ConfigError

MAX_PROCESSES = 256  # of one command; a machine of more cores runs several
_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # what a container may use, where there is a version-2 control group


def cores() -> list[int]:
    """Those that the scheduler may run this process on."""
    return sorted(os.sched_getaffinity(0))


def allowance(quota: Path = _QUOTA) -> float:
    """How many cores' time the control group lets us have, as containers are bounded; infinite where nothing says so."""
    try:
        most, period = quota.read_text(encoding="ascii").split()
        return int(most) / int(period)
    except (OSError, ValueError):  # no such file, or "max"
        return math.inf


def count_processes(text: str, *, cores: int, allowance: float) -> int:
    """What ``--processes`` asks for. "auto": one a core, and no more than there is time for. Raises :class:`ConfigError`."""
    if text == "auto":
        return max(1, min(cores, math.ceil(min(allowance, MAX_PROCESSES))))
    count = int(text) if text.isascii() and text.isdecimal() else 0
    if not 1 <= count <= MAX_PROCESSES:
        raise ConfigError(f"--processes {text}: give a number from 1 to {MAX_PROCESSES}, or auto for one a core")
    return count


def pin(pid: int, core: int) -> None:
    """Let the process, and what it starts, run on that core alone. Raises :class:`ConfigError` where that is forbidden."""
    try:
        os.sched_setaffinity(pid, {core})
    except ProcessLookupError:
        return  # it has ended already; its end says why
    except OSError as error:
        raise ConfigError(
            f"--pin: process {pid} cannot be kept on core {core}: {(error.strerror or str(error)).lower()}; "
            "a sandbox must allow sched_setaffinity"
        ) from None
