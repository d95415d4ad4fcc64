"""A run: every subject before every audience, one at a time."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

from benchmarks import compiler, machine, subject
from benchmarks.case import Audience, Kind, Load, loads, meets
from benchmarks.clients import Clients
from benchmarks.measurement import Memory, Result, Window, result
from benchmarks.meter import Meter, Say


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for."""

    subjects: Sequence[str]
    audiences: Sequence[Audience]
    seconds: float  # of one window
    windows: int  # of each subject, audience and load, in one run
    runs: int
    kinds: Sequence[Kind] = ("paced", "flat")
    body_bytes: Sequence[int] = (100,)
    merged: int = 20  # messages a write, of that kind
    warm_seconds: float = 0.5  # flat out, before the first window: not counted
    settle_seconds: float = 1.0  # before memory is read
    tries: int = 3  # of a window that cannot be believed: on a shared machine others come and go
    patience_seconds: float = 120.0  # in all, that is waited for others to leave the cores alone

    def loads(self, audience: Audience) -> list[Load]:
        """What it is sent."""
        return loads(
            audience.connections,
            kinds=self.kinds,
            seconds=self.seconds,
            body_bytes=self.body_bytes,
            merged=self.merged,
        )


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one subject before one audience under one load."""

    subject: str
    audience: Audience
    load: Load
    windows: tuple[Window, ...]
    result: Result | None  # None: it cannot be believed


@dataclass(slots=True)
class Findings:
    """Filled as it goes."""

    windows: dict[tuple[str, Audience, Load], list[Window]] = field(default_factory=dict)
    memories: dict[tuple[str, Audience], list[Memory]] = field(default_factory=dict)

    def rows(self, wanted: int) -> list[Row]:
        """In the order they were measured; ``wanted``: windows that each needs."""
        return [Row(*key, tuple(windows), result(windows, wanted=wanted)) for key, windows in self.windows.items()]

    def memory(self) -> dict[tuple[str, Audience], Memory]:
        """The medians."""
        return {
            key: Memory(median(each.process_kb for each in found), median(each.kernel_kb for each in found))
            for key, found in self.memories.items()
        }


class Runner:
    """Measures a plan."""

    def __init__(self, *, plan: Plan, scratch: Path, say: Say) -> None:
        """Compiles what it needs. Raises :class:`compiler.NoCompiler`."""
        self._plan = plan
        self._scratch = scratch
        self._say = say
        self._meter = Meter(say=say, patience_seconds=plan.patience_seconds)
        self._loop = compiler.build("send_loop", scratch)
        self._load_client = compiler.build("load_client", scratch)
        self.findings = Findings()

    def run(self) -> None:
        """All of it. Raises :class:`benchmarks.program.ProgramFailed` or :class:`benchmarks.pusher.PushFailed`."""
        plan = self._plan
        with self._meter:
            for number in range(plan.runs):
                for audience in plan.audiences:
                    for name in plan.subjects:
                        self._measure(name, audience, f"run {number + 1} of {plan.runs}")

    def _measure(self, name: str, audience: Audience, where: str) -> None:
        title, plan = f"{where}, {audience}, {name}", self._plan
        wanted = [load for load in plan.loads(audience) if meets(name, audience, load)]
        if not wanted:
            return
        self._say(f"{title}: connecting")
        core, scratch = self._meter.server_core, self._scratch
        server = subject.start(name, audience=audience, core=core, scratch=scratch, loop=self._loop)
        clients: Clients | None = None
        try:
            before = machine.process_kb(server.program.pid), machine.kernel_kb()
            clients = Clients(
                self._load_client,
                audience=audience,
                port=server.port,
                cores=self._meter.clients_cores,
                log=self._scratch / "clients.log",
            )
            server.ready()
            time.sleep(plan.settle_seconds)
            after = machine.process_kb(server.program.pid), machine.kernel_kb()
            memory = Memory(*((late - early) / audience.connections for early, late in zip(before, after, strict=True)))
            self.findings.memories.setdefault((name, audience), []).append(memory)
            for load in wanted:
                found = self.findings.windows.setdefault((name, audience, load), [])
                found += self._windows(server, clients, audience, load, title)
        finally:
            if clients is not None:
                clients.end()
            server.end()

    def _windows(
        self, server: subject.Subject, clients: Clients, audience: Audience, load: Load, title: str
    ) -> Iterator[Window]:
        plan, meter, count = self._plan, self._meter, audience.connections
        warm = replace(load, rate=0, seconds=plan.warm_seconds)
        meter.window(server, clients, count, warm, f"{title}: warming")
        for number in range(plan.windows):
            where = f"{title}, {load}, {number + 1} of {plan.windows}"
            yield from meter.believable(server, clients, count, load, where, tries=plan.tries)
