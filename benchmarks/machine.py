"""What the kernel says about processes, cores and memory."""

import os
import platform
from contextlib import suppress
from functools import cache
from pathlib import Path

from imd import __version__

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")
PAGE_KB = os.sysconf("SC_PAGE_SIZE") / 1024


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads, to the nanosecond. What the kernel does in a thread's context counts too: on
    loopback that is the receiver's TCP work."""
    total = 0
    for task in (PROC / str(pid) / "task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def softirq_seconds(core: int) -> float:
    """What the kernel did in its own thread for such as send and receive on that core, when that became too much for theirs; 0
    where it cannot be seen, in a container."""
    pid = _softirq_pid(core)
    return cpu_seconds(pid) if pid is not None else 0.0


@cache
def _softirq_pid(core: int) -> int | None:
    for comm in PROC.glob("[0-9]*/comm"):
        with suppress(OSError):  # it has ended
            if comm.read_text().strip() == f"ksoftirqd/{core}":
                return int(comm.parent.name)
    return None


def busy_seconds(core: int) -> float:
    """For how long a core was not idle since it started, whoever used it, the hypervisor's other guests included."""
    line = next(line for line in (PROC / "stat").read_text().splitlines() if line.startswith(f"cpu{core} "))
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, line.split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICKS


def process_kb(pid: int) -> float:
    """What a process has in memory of its own."""
    return _kb(PROC / str(pid) / "status", "RssAnon")


def kernel_kb() -> float:
    """What the kernel has in slabs and socket buffers, for the whole machine."""
    return _kb(PROC / "meminfo", "Slab") + buffers_kb()


def buffers_kb() -> float:
    """What TCP has in flight and not read, for the whole machine: what ``net.ipv4.tcp_mem`` bounds."""
    sockets = next(line for line in (PROC / "net/sockstat").read_text().splitlines() if line.startswith("TCP:"))
    words = sockets.split()
    return int(words[words.index("mem") + 1]) * PAGE_KB


def available_kb() -> float:
    """What processes and the kernel may still take, for the whole machine."""
    return _kb(PROC / "meminfo", "MemAvailable")


def _kb(path: Path, key: str) -> float:
    return float(next(line for line in path.read_text().splitlines() if line.startswith(f"{key}:")).split()[1])


def cores() -> list[int]:
    """Those that this process may use."""
    return sorted(os.sched_getaffinity(0))


def description() -> dict[str, str | int]:
    """For whoever reads a figure elsewhere."""
    cpu = [
        line.partition(":")[2].strip() for line in (PROC / "cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return {
        "cpu": cpu[0] if cpu else platform.machine(),
        "cores": len(cores()),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "imd": __version__,
    }


def give_way(pid: int, nice: int) -> None:
    """Let others go before it, as ``nice`` does; of a process that began a session the kernel may ask for its group's."""
    os.setpriority(os.PRIO_PROCESS, pid, nice)
    with suppress(OSError):  # a kernel without groups by session
        Path(f"/proc/{pid}/autogroup").write_text(str(nice))
