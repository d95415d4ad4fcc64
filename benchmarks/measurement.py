"""A window of sending, what it cost, and whether that can be believed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.load_client import Counted

MAX_CLIENTS_BUSY = 0.9  # of their core, at a pace: beyond it, they add to the latency
MAX_JOINED = (
    1.2  # packets a read, unless some are merged: beyond it, the clients fell behind, and what is joined costs less
)
MIN_SERVER_BUSY = 0.9  # of its core, flat out: below it, something else was what was measured
MIN_PACE = 0.98  # of the messages that were asked for
MAX_WAITED = 0.001  # of all sends: beyond it, the clients were too slow
MAX_OTHERS = (
    0.1  # of a core: beyond it, somebody else worked on it. The kernel counts that in ticks, so less means nothing
)


@dataclass(frozen=True, slots=True)
class Window:
    """One. Seconds are of CPU time, but ``seconds``, which is from the first send to the last receipt."""

    connections: int
    rate: float  # messages a second that were asked for; 0 = flat out
    merged: int  # messages that a write might hold
    asked_seconds: float
    messages: int  # that were sent to everybody
    waited: int  # sends that found a socket full
    seconds: float
    server_seconds: float  # with what the kernel does for it in a thread of its own
    clients_seconds: float  # the load client, and what pushes
    clients_cores: int  # that they had
    others_on_server_core: float
    others_on_clients_core: float
    counted: Counted
    run: int = 1  # whose it is

    @property
    def deliveries(self) -> int:
        """That should have arrived."""
        return self.messages * self.connections

    @property
    def us_per_delivery(self) -> float:
        """Of the server's CPU time; 0 when nothing arrived."""
        return 1e6 * self.server_seconds / self.counted.packets if self.counted.packets else 0.0

    @property
    def server_busy(self) -> float:
        """Share of its core."""
        return self.server_seconds / self.seconds

    @property
    def clients_busy(self) -> float:
        """Share of theirs."""
        return self.clients_seconds / self.seconds / self.clients_cores

    @property
    def joined(self) -> float:
        """Packets that a client read at once."""
        return self.counted.packets / max(1, self.counted.reads)

    @property
    def refusals(self) -> list[str]:
        """Why it proves nothing; empty when it does."""
        found = []
        counted = self.counted
        if not self.messages:
            found.append("nothing was sent")
        if counted.packets != self.deliveries or counted.fewest != counted.most:
            found.append(f"{counted.packets:,} packets arrived, not {self.deliveries:,}")
        if counted.gone:
            found.append(f"{counted.gone} clients lost their connection")
        if self.rate and self.clients_busy > MAX_CLIENTS_BUSY:
            found.append(f"the clients' core was {self.clients_busy:.0%} busy")
        if self.merged == 1 and self.joined > MAX_JOINED:
            found.append(f"the clients fell behind: {self.joined:.1f} packets a read")
        if self.waited > MAX_WAITED * self.deliveries:
            found.append(f"{self.waited:,} sends waited for the clients")
        if self.rate and self.messages < MIN_PACE * self.rate * self.asked_seconds:
            found.append(f"{self.messages} messages in {self.asked_seconds:g} s: the pace was not kept")
        if not self.rate and self.server_busy < MIN_SERVER_BUSY:
            found.append(f"flat out, the server was only {self.server_busy:.0%} busy")
        for core, others in (("server's", self.others_on_server_core), ("clients'", self.others_on_clients_core)):
            if others > MAX_OTHERS * self.seconds:
                found.append(f"others had {others / self.seconds:.0%} of the {core} core")
        return found


@dataclass(frozen=True, slots=True)
class Result:
    """Medians: of the runs' costs, and of the windows that can be believed."""

    windows: int
    costs: Mapping[int, float]  # run -> µs of the server's CPU time for a delivery, in all its windows together
    p50_ms: float
    p99_ms: float
    max_ms: float  # the largest of all
    server_busy: float
    clients_busy: float
    joined: float  # packets that a client read at once: near 1 unless something was merged, or the clients fell behind

    @property
    def us_per_delivery(self) -> float:
        """The median."""
        return median(self.costs.values())


def result(windows: Sequence[Window], *, wanted: int) -> Result | None:
    """None when fewer than ``wanted`` of them can be believed, or none of a run."""
    good = [window for window in windows if not window.refusals]
    runs = {window.run: [each for each in good if each.run == window.run] for window in windows}
    if len(good) < wanted or not good or not all(runs.values()):
        return None
    return Result(
        windows=len(good),
        costs={run: _us_per_delivery(found) for run, found in runs.items()},
        p50_ms=median(window.counted.p50_ms for window in good),
        p99_ms=median(window.counted.p99_ms for window in good),
        max_ms=max(window.counted.max_ms for window in good),
        server_busy=median(window.server_busy for window in good),
        clients_busy=median(window.clients_busy for window in good),
        joined=median(window.joined for window in good),
    )


def _us_per_delivery(windows: Sequence[Window]) -> float:
    """Of all together. The host's other guests come and go within a second: windows are many and short, and a mean is nearer
    to what was spent than a median that has to choose between two speeds of the machine."""
    return 1e6 * sum(each.server_seconds for each in windows) / sum(each.counted.packets for each in windows)


@dataclass(frozen=True, slots=True)
class Memory:
    """Of one idle connection, KiB."""

    process_kb: float  # of the server's own
    kernel_kb: float  # both ends of the connection, as all is on one machine
