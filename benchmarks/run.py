"""A run: all subjects before each audience, by turns."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from math import ceil
from pathlib import Path
from statistics import median

from benchmarks import compiler, machine, subject
from benchmarks.case import Audience, Kind, Load, loads, meets
from benchmarks.clients import Clients
from benchmarks.measurement import Memory, Result, Window, result
from benchmarks.meter import Meter, Say

BELIEVABLE = 2 / 3  # of the windows of a case: with fewer there is no figure


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for."""

    subjects: Sequence[str]
    audiences: Sequence[Audience]
    seconds: float  # of one window
    windows: int  # of each subject, audience and load, in one run: a round of all subjects each
    runs: int
    kinds: Sequence[Kind] = ("paced", "flat")
    body_bytes: Sequence[int] = (100,)
    merged: int = 20  # messages a write, of that kind
    warm_seconds: float = 0.5  # flat out, before the first window: not counted
    settle_seconds: float = 1.0  # before memory is read
    tries: int = 2  # of a window that cannot be believed: on a shared machine others come and go
    patience_seconds: float = 120.0  # in all, that is waited for others to leave the cores alone

    @property
    def wanted(self) -> int:
        """Windows of each case that must be believable, in all runs."""
        return ceil(BELIEVABLE * self.windows * self.runs)

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


@dataclass(frozen=True, slots=True)
class Contestant:
    """A subject with an audience of its own, all of it connected."""

    name: str
    server: subject.Subject
    clients: Clients


class Runner:
    """Measures a plan. All subjects are there at once and take turns, a window each: what changes on the machine meanwhile
    changes all of them alike."""

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
                    with ExitStack() as ends:
                        self._measure(number + 1, audience, ends)

    def _measure(self, run: int, audience: Audience, ends: ExitStack) -> None:
        where = f"run {run} of {self._plan.runs}, {audience}"
        wanted = {load: self._who_meets(audience, load) for load in self._plan.loads(audience)}
        met = {name for names in wanted.values() for name in names}
        contestants = [
            self._enter(name, audience, f"{where}, {name}", ends) for name in self._plan.subjects if name in met
        ]
        for load, names in wanted.items():
            self._rounds(run, [each for each in contestants if each.name in names], audience, load)

    def _who_meets(self, audience: Audience, load: Load) -> list[str]:
        return [name for name in self._plan.subjects if meets(name, audience, load)]

    def _enter(self, name: str, audience: Audience, title: str, ends: ExitStack) -> Contestant:
        """Start it, connect its clients, and see what they take of memory."""
        self._say(f"{title}: connecting")
        core, scratch = self._meter.server_core, self._scratch
        server = subject.start(name, audience=audience, core=core, scratch=scratch, loop=self._loop)
        ends.callback(server.end)
        before = machine.process_kb(server.program.pid), machine.kernel_kb()
        clients = Clients(
            self._load_client,
            audience=audience,
            port=server.port,
            cores=self._meter.clients_cores,
            log=self._scratch / "clients.log",
        )
        ends.callback(clients.end)
        server.ready()
        time.sleep(self._plan.settle_seconds)
        after = machine.process_kb(server.program.pid), machine.kernel_kb()
        memory = Memory(*((late - early) / audience.connections for early, late in zip(before, after, strict=True)))
        self.findings.memories.setdefault((name, audience), []).append(memory)
        return Contestant(name, server, clients)

    def _rounds(self, run: int, contestants: Sequence[Contestant], audience: Audience, load: Load) -> None:
        plan, meter, count = self._plan, self._meter, audience.connections
        where = f"run {run} of {plan.runs}, {audience}"
        warm = replace(load, rate=0, seconds=plan.warm_seconds)
        for each in contestants:
            meter.window(each.server, each.clients, count, warm, f"{where}, {each.name}: warming")
        for number in range(plan.windows):
            meter.wait_for_quiet(where)
            for each in contestants[::-1] if number % 2 else contestants:  # who comes after whom may matter
                title = f"{where}, {each.name}, {load}, {number + 1} of {plan.windows}"
                found = meter.believable(each.server, each.clients, count, load, title, tries=plan.tries)
                windows = self.findings.windows.setdefault((each.name, audience, load), [])
                windows += [replace(window, run=run) for window in found]
