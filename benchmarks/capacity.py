"""What so many connections take of a machine, and what the machine has."""

import resource
from dataclasses import dataclass
from math import ceil, sqrt
from pathlib import Path

from benchmarks import machine
from benchmarks.case import Transport
from imd.service.file_limit import RESERVE

SYSCTL = Path("/proc/sys")
SOURCES = 250  # addresses that the clients of one process come from: load_client's default
CLIENT_FILES = 32  # of a client process, beside its connections
UNEVEN = 5.0  # standard deviations: what a comet may get above its share of SO_REUSEPORT; one run of 60,000 has more
MOST = 100_000_000  # connections: nobody has more

# KiB, measured by this benchmark (docs/benchmarks.md), a little rounded up.
COMET_KB = 45 * 1024
CLIENTS_KB = 2 * 1024  # a process of them
OTHERS_KB = 512 * 1024  # one logic, one job, Redis and ZooKeeper
# comet 1.3 (WebSocket 2.5), both ends in the kernel 10, presence in Redis 0.2, and up to 4 in flight while a push goes out
CONNECTION_KB: dict[Transport, float] = {"tcp": 15.5, "websocket": 16.7}
KEPT_FREE_KB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Demand:
    """How many connections, over how many processes: as many comets as processes of clients."""

    connections: int
    per_process: int
    transport: Transport = "tcp"

    @property
    def processes(self) -> int:
        return ceil(self.connections / self.per_process)

    @property
    def shares(self) -> list[int]:
        """Connections of each client process."""
        each, more = divmod(self.connections, self.processes)
        return [each + (number < more) for number in range(self.processes)]

    @property
    def most_of_a_comet(self) -> int:
        """The kernel deals connections out by a hash of their addresses, so a comet's number is binomial."""
        share = 1 / self.processes
        return ceil(self.connections * share + UNEVEN * sqrt(self.connections * share * (1 - share)))

    @property
    def memory_kb(self) -> float:
        processes = self.processes * (COMET_KB + CLIENTS_KB) + OTHERS_KB
        return processes + self.connections * CONNECTION_KB[self.transport]


@dataclass(frozen=True, slots=True)
class Host:
    """What there is, and a user may have."""

    files_of_a_process: int  # the hard limit
    files: int  # not open yet, of fs.file-max
    watches: int  # of epoll
    ports: int  # that one address may call another's port from
    tracked: int | None  # connections that conntrack remembers; None = it does not look at them
    memory_kb: float

    def refusals(self, demand: Demand) -> list[str]:
        """Why it cannot hold them, with what would help; empty when it can."""
        both_ends, memory_kb = 2 * demand.connections, demand.memory_kb + KEPT_FREE_KB
        files = max(demand.most_of_a_comet + RESERVE, demand.shares[0] + CLIENT_FILES)
        wanted: list[tuple[float, float | None, str]] = [
            (
                files,
                self.files_of_a_process,
                "open files of a process: a higher ulimit -Hn, or a smaller --per-process",
            ),
            (both_ends + 300 * demand.processes, self.files, "open files of the machine: a higher fs.file-max"),
            (both_ends, self.watches, "sockets that epoll watches: a higher fs.epoll.max_user_watches"),
            (
                demand.connections / SOURCES,
                self.ports,
                "ports of a source address: a wider net.ipv4.ip_local_port_range",
            ),
            (both_ends, self.tracked, "connections that are tracked: a higher net.netfilter.nf_conntrack_max"),
            (memory_kb / 1024, self.memory_kb / 1024, "MiB of memory, with one GiB left"),
        ]
        return [
            f"{demand.connections:,} connections need {need:,.0f} {what}; there are {has:,.0f}"
            for need, has, what in wanted
            if has is not None and need > has
        ]

    def most(self, per_process: int, transport: Transport) -> int:
        """As many connections as it can hold; 0 when not even one."""
        least, beyond = 0, MOST
        while beyond - least > 1:
            middle = (least + beyond) // 2
            if self.refusals(Demand(middle, per_process, transport)):
                beyond = middle
            else:
                least = middle
        return least


def host() -> Host:
    """This one, now."""
    open_now, _, most_open = map(int, (SYSCTL / "fs/file-nr").read_text().split())
    first, last = map(int, (SYSCTL / "net/ipv4/ip_local_port_range").read_text().split())
    return Host(
        files_of_a_process=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        files=most_open - open_now,
        watches=int((SYSCTL / "fs/epoll/max_user_watches").read_text()),
        ports=last - first + 1,
        tracked=_tracked(SYSCTL / "net/netfilter"),
        memory_kb=machine.available_kb(),
    )


def _tracked(netfilter: Path) -> int | None:
    """Where conntrack is on, it knows some connection."""
    count = netfilter / "nf_conntrack_count"
    return int((netfilter / "nf_conntrack_max").read_text()) if count.exists() and int(count.read_text()) else None
