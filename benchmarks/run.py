"""A run: every subject before every audience, one at a time."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

from benchmarks import compiler, machine, subject
from benchmarks.case import Audience, Kind, Load, loads, meets
from benchmarks.clients import Clients
from benchmarks.measurement import MAX_OTHERS, Memory, Result, Window, result

QUIET_LOOK_SECONDS = 0.3  # how long the cores must have been quiet before a window

Say = Callable[[str], None]


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
    """Measures on two cores: the first that it may use is the server's, the last is its own, and the clients', who have those
    between too."""

    def __init__(self, *, plan: Plan, scratch: Path, say: Say) -> None:
        """Compiles what it needs. Raises :class:`compiler.NoCompiler`."""
        cores = machine.cores()
        self._server_core, self._clients_cores = cores[0], cores[1:]
        self._plan = plan
        self._scratch = scratch
        self._say = say
        self._loop = compiler.build("send_loop", scratch)
        self._load_client = compiler.build("load_client", scratch)
        self._patience_seconds = plan.patience_seconds  # what is left of it
        self.findings = Findings()

    def run(self) -> None:
        """All of it. Raises :class:`benchmarks.program.ProgramFailed` or :class:`benchmarks.pusher.PushFailed`."""
        plan, everywhere = self._plan, os.sched_getaffinity(0)
        os.sched_setaffinity(0, {self._clients_cores[-1]})
        try:
            for number in range(plan.runs):
                for audience in plan.audiences:
                    for name in plan.subjects:
                        self._measure(name, audience, f"run {number + 1} of {plan.runs}")
        finally:
            os.sched_setaffinity(0, everywhere)

    def _measure(self, name: str, audience: Audience, where: str) -> None:
        title = f"{where}, {audience}, {name}"
        plan = self._plan
        found = loads(
            audience.connections,
            kinds=plan.kinds,
            seconds=plan.seconds,
            body_bytes=plan.body_bytes,
            merged=plan.merged,
        )
        wanted = [load for load in found if meets(name, audience, load)]
        if not wanted:
            return
        self._say(f"{title}: connecting")
        server = subject.start(name, audience=audience, core=self._server_core, scratch=self._scratch, loop=self._loop)
        clients: Clients | None = None
        try:
            before = machine.process_kb(server.program.pid), machine.kernel_kb()
            clients = Clients(
                self._load_client,
                audience=audience,
                port=server.port,
                cores=self._clients_cores,
                log=self._scratch / "clients.log",
            )
            server.ready()
            time.sleep(plan.settle_seconds)
            after = machine.process_kb(server.program.pid), machine.kernel_kb()
            memory = Memory(*((late - early) / audience.connections for early, late in zip(before, after, strict=True)))
            self.findings.memories.setdefault((name, audience), []).append(memory)
            self._windows(server, clients, audience, name, title, wanted)
        finally:
            if clients is not None:
                clients.end()
            server.end()

    def _windows(
        self,
        server: subject.Subject,
        clients: Clients,
        audience: Audience,
        name: str,
        title: str,
        wanted: Sequence[Load],
    ) -> None:
        plan = self._plan
        for load in wanted:
            warm = replace(load, rate=0, seconds=plan.warm_seconds)
            self._window(server, clients, audience, warm, f"{title}: warming")
            for number in range(plan.windows):
                where = f"{title}, {load}, {number + 1} of {plan.windows}"
                for _ in range(plan.tries):
                    self._wait_for_quiet(where)
                    window = self._window(server, clients, audience, load, where)
                    self.findings.windows.setdefault((name, audience, load), []).append(window)
                    refusals = window.refusals
                    refused = f", refused: {'; '.join(refusals)}" if refusals else ""
                    self._say(f"{where}: {window.us_per_delivery:.2f} µs a delivery{refused}")
                    if not refusals:
                        break

    def _wait_for_quiet(self, where: str) -> None:
        """Until others leave both cores alone; not longer than patience lasts."""
        said = False
        while self._patience_seconds > 0:
            before = self._busy()
            time.sleep(QUIET_LOOK_SECONDS)
            busiest = max(late - early for early, late in zip(before, self._busy(), strict=True)) / QUIET_LOOK_SECONDS
            if busiest <= MAX_OTHERS:
                return
            self._patience_seconds -= QUIET_LOOK_SECONDS
            if not said:
                said = True
                self._say(f"{where}: waiting for others, who have {busiest:.0%} of a core")

    def _busy(self) -> tuple[float, float]:
        return machine.busy_seconds(self._server_core), sum(map(machine.busy_seconds, self._clients_cores))

    def _window(self, server: subject.Subject, clients: Clients, audience: Audience, load: Load, where: str) -> Window:
        def tick() -> None:
            self._say(f"{where}: {clients.look().packets:,} deliveries")

        def spent() -> tuple[float, ...]:
            return (
                time.monotonic(),
                server.program.cpu_seconds,
                clients.cpu_seconds + time.process_time(),
                *self._busy(),
            )

        clients.begin()
        before = spent()
        sent = server.send(load, tick)
        counted = clients.drain(sent.messages * audience.connections, tick)
        seconds, ours, theirs, server_core, clients_core = (
            late - early for early, late in zip(before, spent(), strict=True)
        )
        return Window(
            connections=audience.connections,
            rate=load.rate,
            merged=load.merged,
            asked_seconds=load.seconds,
            messages=sent.messages,
            waited=sent.waited,
            seconds=seconds,
            server_seconds=ours,
            clients_seconds=theirs,
            clients_cores=len(self._clients_cores),
            others_on_server_core=max(0.0, server_core - ours),
            others_on_clients_core=max(0.0, clients_core - theirs),
            counted=counted,
        )
