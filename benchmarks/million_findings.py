"""What a run of ``million`` found."""

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.case import Transport


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of the run."""

    name: str
    seconds: float
    cpu_seconds: Mapping[str, float]  # by role; all comets and all clients together


@dataclass(frozen=True, slots=True)
class Memory:
    """At one moment, KiB; of processes what is their own, anonymous."""

    comets_kb: float
    clients_kb: float
    redis_kb: float
    others_kb: float  # logic, job and ZooKeeper
    kernel_kb: float  # slabs and socket buffers: both ends of each connection
    available_kb: float  # left


@dataclass(frozen=True, slots=True)
class Pushed:
    """A push, and whom it reached. Times are from logic's answer, ms."""

    target: str
    packets: int
    fewest: int  # that a client got; 1 when all is well
    most: int
    gone: int  # clients that lost their connection
    accepted_ms: float  # from the request to its answer
    p50_ms: float
    p99_ms: float
    last_ms: float
    buffers_kb: float  # the most that TCP had in flight and not read, both ways


@dataclass(frozen=True, slots=True)
class Findings:
    """All of it."""

    connections: int
    transport: Transport
    channels: tuple[int, ...]  # of each comet, in the end
    phases: tuple[Phase, ...]
    memory: tuple[Memory, ...]  # before a client came; with all of them idle; after the pushes
    pushes: tuple[Pushed, ...]
    redials: int  # clients that were turned away while they connected, and dialled again
    handed_over: Mapping[str, float]  # outcome -> packets, as comets told job
    troubles: Mapping[str, float]  # counters that are not zero and should be
    complaints: Mapping[str, int]  # lines of the logs since all were ready -> how often

    @property
    def refusals(self) -> list[str]:
        """Why it was no success; empty when every client got every push exactly once."""
        found = []
        for pushed in self.pushes:
            if (pushed.packets, pushed.fewest, pushed.most) != (self.connections, 1, 1):
                found.append(
                    f"push to {pushed.target}: {pushed.packets:,} packets came to {self.connections:,} clients, "
                    f"{pushed.fewest} to {pushed.most} each"
                )
            if pushed.gone:
                found.append(f"push to {pushed.target}: {pushed.gone:,} clients had lost their connection")
        if sum(self.channels) != self.connections:
            found.append(f"comets have {sum(self.channels):,} channels, not {self.connections:,}")
        return found
