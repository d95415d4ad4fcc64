"""``connect``: what it takes to accept a client, to authenticate it, to let it into a room; and to let it go."""

import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import click

from benchmarks import compiler, machine
from benchmarks.case import TRANSPORTS, Audience
from benchmarks.cluster import Cluster
from benchmarks.compiler import NoCompiler
from benchmarks.document import Document, Group, Mark, Plot, Refusal, Run, Stopwatch, Table
from benchmarks.load_client import LoadClient
from benchmarks.measurement import MAX_OTHERS
from benchmarks.output import Output, output_options
from benchmarks.program import ProgramFailed
from benchmarks.progress import Progress
from benchmarks.subject import Comet, SelfDriven

SUBJECTS = ("loop", "comet", "cluster")
NAMES = {"loop": "C loop of accept()", "comet": "imd comet", "cluster": "imd comet, logic, Redis"}
MIN_SERVER_BUSY = 0.85  # of its core: below it, the rate is that of the clients, or of whoever else was waited for
QUIET_SECONDS = 0.2  # in which whoever has done its work uses
QUIET_SHARE = 0.03  # of a core, at most
SETTLE_SECONDS = 30.0  # for a server to have done with those who left
FIRST_MID = 1_000_000
COLUMNS = ("connects/s", "µs", "its end", "a core", "busy", "others, µs")
READING = (
    "Connects/s: from the first connect() to the last op 8. µs: of the server's CPU time, user and system, a client: from "
    "accept to op 8, and for its end until presence has heard of it. A core: clients a second that it could let in if it "
    "had nobody to wait for, 1,000,000 / µs. Others: what logic and Redis spend on a client who comes. On loopback a "
    "server also pays for the TCP work of its clients, alike for all. The C loop knows nobody and asks nobody: it is what "
    "the kernel takes."
)
WANTED = 8_000  # clients a second and core


@dataclass(frozen=True, slots=True)
class Window:
    """All clients came, and went. Seconds are of CPU time, but ``seconds``."""

    connections: int
    alone: bool  # it can have all of its core: its rate counts too
    seconds: float  # from the first connect to the last op 8
    server_seconds: float  # while they came
    gone_seconds: float  # of the server's, until it had done with those who went; 0 = it does not outlive them
    clients_seconds: float  # while they came
    others_seconds: Mapping[str, float]  # of each process that takes part besides, while they came
    strangers_seconds: float  # on the server's core, of who takes no part

    @property
    def rate(self) -> float:
        """Clients a second."""
        return self.connections / self.seconds

    @property
    def us_per_connect(self) -> float:
        """Of the server's CPU time."""
        return 1e6 * self.server_seconds / self.connections

    @property
    def us_per_end(self) -> float:
        """The same."""
        return 1e6 * self.gone_seconds / self.connections

    @property
    def server_busy(self) -> float:
        """Share of its core."""
        return self.server_seconds / self.seconds

    @property
    def refusals(self) -> list[str]:
        """Why it proves nothing; empty when it does."""
        found = []
        if self.alone and self.server_busy < MIN_SERVER_BUSY:
            found.append(f"the server was only {self.server_busy:.0%} busy: it waited for its clients")
        if self.strangers_seconds > MAX_OTHERS * self.seconds:
            found.append(f"others had {self.strangers_seconds / self.seconds:.0%} of the server's core")
        return found


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one subject."""

    subject: str
    audience: Audience
    windows: tuple[Window, ...]
    best: tuple[Window, ...]  # those that can be believed; empty when there are too few

    def middle(self, name: str) -> float:
        """The median of a property of the windows."""
        return float(median(getattr(window, name) for window in self.best))

    def others_us(self) -> dict[str, float]:
        """Name -> µs of CPU time a client, medians."""
        names = self.best[0].others_seconds
        return {
            name: median(1e6 * window.others_seconds[name] / window.connections for window in self.best)
            for name in names
        }


class Server(Protocol):
    """A subject that runs."""

    port: int

    def spent(self) -> dict[str, float]:
        """CPU seconds by process; the first is the server's own."""

    def end(self) -> None:
        """Kill it."""


class _Alone:
    """One process: the C loop, or a comet with a logic that agrees inside it."""

    def __init__(self, subject: SelfDriven | Comet) -> None:
        self._subject = subject
        self.port = subject.port

    def spent(self) -> dict[str, float]:
        return {"server": self._subject.program.cpu_seconds}

    def end(self) -> None:
        self._subject.end()


class _Clustered:
    """comet has a core of its own; logic, Redis and whoever else share the clients'."""

    def __init__(self, audience: Audience, *, core: int, other: int, scratch: Path) -> None:
        limit = audience.connections + 16
        settings = {
            "comet.max_connections": limit,
            "comet.max_connections_per_address": limit,
            "comet.heartbeat_seconds": 3600.0,
            "comet.handshake_seconds": 60.0,
        }
        self._cluster = Cluster(scratch, settings=settings)
        for name, daemon in self._cluster.daemons.items():
            _pin(daemon.pid, core if name == "comet" else other)
        self.port = self._cluster.ports["TCP clients" if audience.transport == "tcp" else "WebSocket clients"]

    def spent(self) -> dict[str, float]:
        spent = self._cluster.cpu_seconds
        return {"comet": spent["comet"], "logic": spent["logic"], "redis": spent["redis"]}

    def end(self) -> None:
        self._cluster.end()


class Runner:
    """comet has the first core that this process may use, everybody else the last."""

    def __init__(self, *, scratch: Path, handshakes: int, windows: int, tries: int, say: Callable[[str], None]) -> None:
        """``handshakes``: under way at a time. Raises :class:`benchmarks.compiler.NoCompiler`."""
        self._server_core, self._clients_core = machine.cores()[0], machine.cores()[-1]
        self._scratch = scratch
        self._handshakes = handshakes
        self._windows = windows
        self._tries = tries  # of each window
        self._say = say
        self._loop = compiler.build("send_loop", scratch)
        self._load_client = compiler.build("load_client", scratch)

    def measure(self, name: str, audience: Audience) -> Row:
        """All windows of one subject. Raises :class:`benchmarks.program.ProgramFailed`."""
        windows: list[Window] = []
        server: Server | None = None
        try:
            for number in range(-1, self._windows):  # the first one warms it
                for _ in range(self._tries):
                    if server is None:
                        server = self._start(name, audience)
                    window = self._window(server, audience, name)
                    if name == "loop":  # serves but once
                        server.end()
                        server = None
                    if number >= 0:
                        windows.append(window)
                        found = (
                            f"{window.rate:,.0f}/s, {window.us_per_connect:.1f} µs, its end {window.us_per_end:.1f} µs"
                        )
                        words = "; ".join([found, *window.refusals])
                        self._say(f"{audience}, {NAMES[name]}, {number + 1} of {self._windows}: {words}")
                    if number < 0 or not window.refusals:
                        break
        finally:
            if server is not None:
                server.end()
        good = tuple(window for window in windows if not window.refusals)
        return Row(name, audience, tuple(windows), good if len(good) >= self._windows else ())

    def _start(self, name: str, audience: Audience) -> Server:
        self._say(f"{audience}, {NAMES[name]}: starting")
        folder = Path(tempfile.mkdtemp(dir=self._scratch))
        log, core = folder / "server.log", self._server_core
        if name == "loop":
            return _Alone(SelfDriven([str(self._loop)], audience=audience, core=core, log=log))
        if name == "comet":
            return _Alone(Comet(audience=audience, core=core, scratch=folder, log=log))
        return _Clustered(audience, core=core, other=self._clients_core, scratch=folder)

    def _window(self, server: Server, audience: Audience, name: str) -> Window:
        busy, before = machine.busy_seconds(self._server_core), server.spent()
        clients = LoadClient(
            self._load_client,
            audience=audience,
            port=server.port,
            core=self._clients_core,
            log=self._scratch / "clients.log",
            mid=FIRST_MID,
            handshakes=self._handshakes,
        )
        try:
            after, busy_after = server.spent(), machine.busy_seconds(self._server_core)
            clients_seconds = clients.cpu_seconds
        finally:
            clients.end()
        spent = {process: after[process] - before[process] for process in before}
        server_seconds = spent.pop(next(iter(spent)))
        return Window(
            connections=audience.connections,
            alone=name == "comet",
            seconds=clients.connect_seconds,
            server_seconds=server_seconds,
            gone_seconds=0.0 if name == "loop" else self._settle(server) - next(iter(after.values())),
            clients_seconds=clients_seconds,
            others_seconds=spent,
            strangers_seconds=max(0.0, busy_after - busy - server_seconds),
        )

    def _settle(self, server: Server) -> float:
        """What the server has spent, once all of its processes are at rest. Raises :class:`ProgramFailed`."""
        ends, before = time.monotonic() + SETTLE_SECONDS, server.spent()
        while time.monotonic() < ends:
            time.sleep(QUIET_SECONDS)
            now = server.spent()
            if all(now[process] - before[process] < QUIET_SHARE * QUIET_SECONDS for process in now):
                return next(iter(now.values()))
            before = now
        raise ProgramFailed(f"the server was not done with its clients {SETTLE_SECONDS:g} s after they had gone")


def _pin(pid: int, core: int) -> None:
    """All threads that it has."""
    for task in (machine.PROC / str(pid) / "task").iterdir():
        os.sched_setaffinity(int(task.name), {core})


def document(rows: Sequence[Row], run: Run) -> Document:
    """A table for each audience, a plot, and every window."""
    tables, groups = [], []
    for audience in dict.fromkeys(row.audience for row in rows):
        here = [row for row in rows if row.audience == audience]
        name = f"connect-{audience.transport}-{audience.connections}"
        lines = tuple((NAMES[row.subject], *_cells(row)) for row in here)
        tables.append(Table(name, f"{audience} clients come, and go", COLUMNS, lines, READING))
        groups.append(Group(str(audience), tuple(_mark(row) for row in here if row.best)))
    shown = tuple(group for group in groups if group.marks)
    title = "To let a client in, and go"
    plot = Plot("connect", title, "µs of the server's CPU", "stacked", shown, ("to come", "to go"))
    return Document(
        runs=(run,),
        tables=tuple(tables),
        plots=(plot,) if shown else (),
        refusals=tuple(
            Refusal(f"{row.audience} clients, {NAMES[row.subject]}", tuple(window.refusals))
            for row in rows
            for window in row.windows
            if window.refusals
        ),
        raw={"connect": values(rows)},
    )


def _cells(row: Row) -> tuple[str, ...]:
    if not row.best:
        return (f"refused: {'; '.join(row.windows[-1].refusals)}", *[""] * (len(COLUMNS) - 1))
    cost, end = row.middle("us_per_connect"), row.middle("us_per_end")
    return (
        f"{row.middle('rate'):,.0f}",
        f"{cost:.1f}",
        f"{end:.1f}" if end else "",
        f"{1e6 / cost:,.0f}",
        f"{row.middle('server_busy'):.0%}",
        ", ".join(f"{name} {us:.0f}" for name, us in row.others_us().items()),
    )


def _mark(row: Row) -> Mark:
    values = (row.middle("us_per_connect"), row.middle("us_per_end"))
    if row.subject == "loop":
        return Mark(NAMES[row.subject], values, "limit")
    return Mark(NAMES[row.subject], values, "ours", 1e6 / WANTED)


def values(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """For JSON: every window, refused or not."""
    return [
        {
            "subject": row.subject,
            "transport": row.audience.transport,
            "connections": row.audience.connections,
            "us_per_connect": row.middle("us_per_connect") if row.best else None,
            "us_per_end": row.middle("us_per_end") if row.best else None,
            "rate": row.middle("rate") if row.best else None,
            "others_us": row.others_us() if row.best else {},
            "windows": [asdict(window) | {"refusals": window.refusals} for window in row.windows],
        }
        for row in rows
    ]


@click.command("connect")
@click.option("--connections", "-n", type=click.IntRange(min=1), default=10_000, show_default=True)
@click.option(
    "--transport", "transports", multiple=True, type=click.Choice(TRANSPORTS), default=TRANSPORTS, show_default=True
)
@click.option("--subject", "subjects", multiple=True, type=click.Choice(SUBJECTS), default=SUBJECTS, show_default=True)
@click.option("--handshakes", type=click.IntRange(min=1), default=256, show_default=True, help="Under way at a time.")
@click.option("--windows", type=click.IntRange(min=1), default=3, show_default=True, help="Of each case.")
@output_options
def command(
    connections: int,
    transports: tuple[str, ...],
    subjects: tuple[str, ...],
    handshakes: int,
    windows: int,
    json: Path | None,
    html: Path | None,
    svg: Path | None,
) -> None:
    """Clients who come all at once, and go."""
    if len(machine.cores()) < 2:
        raise click.ClickException("two cores are needed: one for the server, one for the clients")
    watch, everywhere = Stopwatch(), os.sched_getaffinity(0)
    with Progress() as say, tempfile.TemporaryDirectory(prefix="imd-bench-") as scratch:
        try:
            runner = Runner(scratch=Path(scratch), handshakes=handshakes, windows=windows, tries=3, say=say)
            os.sched_setaffinity(0, {max(everywhere)})
            chosen = [way for way in TRANSPORTS if way in transports]
            rows = [runner.measure(name, Audience(way, connections)) for way in chosen for name in subjects]
        except (NoCompiler, ProgramFailed) as error:
            raise click.ClickException(str(error)) from None
        finally:
            os.sched_setaffinity(0, everywhere)
    believable = all(row.best for row in rows)
    Output(json, html, svg).publish(document(rows, watch.run()), believable=believable)
