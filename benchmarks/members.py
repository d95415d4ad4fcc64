"""``python -m benchmarks members``: pushes to single members, from HTTP to the socket, through real processes."""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import click

from benchmarks import compiler, machine
from benchmarks.back_end import BackEnd, NotAccepted, Pushed, requests
from benchmarks.case import Audience
from benchmarks.cluster import Cluster
from benchmarks.document import Document, Group, Mark, Plot, Refusal, Run, Stopwatch, Table
from benchmarks.load_client import Counted, LoadClient
from benchmarks.output import Output, output_options
from benchmarks.program import ProgramFailed
from benchmarks.progress import Progress

MIN_PACE = 0.98  # of the pushes that were asked for
MAX_OTHERS = 0.1  # of all cores: beyond it, somebody else worked on them
CONNECTIONS = {1: 64, 100: 16}  # pushes a request -> connections of the back end
GOALS = {100: 20_000, 1: 3_000}  # pushes a request -> pushes a second that are wanted; paced is half of it
AIM_MS = 50.0  # of the p99, at that pace
COMET_AIM_US = 15.0
SETTLE_SECONDS = 1.0  # between windows: what they left is committed
SAY_SECONDS = 1.0
WARM_SECONDS = 1.0

TITLES = ("accepted/s", "delivered/s", "p50 ms", "p99 ms", "max ms", "answer p99 ms")
READING = """\
One logic, one job, one comet, Redis (appendfsync everysec), the back end and all clients share the machine's cores. Accepted:
pushes a second that logic answered; delivered: that clients got, until the last had come. Times: from when a push was due to be
sent to its receipt by the client; answer: to logic's answer. CPU time: for one push, user and system, of each process. Kept:
members' pushes as they are by default, in the broker and the member's inbox; live: with "keep": false."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Case:
    """What is pushed."""

    together: int  # pushes a request
    keep: bool
    rate: float  # pushes a second; 0 = flat out

    def __str__(self) -> str:
        how = "one by one" if self.together == 1 else f"arrays of {self.together}"
        pace = f"{self.rate:,.0f}/s" if self.rate else "flat out"
        return f"{'kept' if self.keep else 'live'}, {how}, {pace}"


@dataclass(frozen=True, slots=True)
class Window:
    """One."""

    case: Case
    asked_seconds: float
    pushed: Pushed
    seconds: float  # from the first request to the last receipt
    counted: Counted
    spent: Mapping[str, float]  # CPU seconds, by process; "clients" and "back end" among them
    others: float  # CPU seconds of everybody else, on all cores

    @property
    def delivered_per_second(self) -> float:
        return self.counted.packets / self.seconds

    @property
    def accepted_per_second(self) -> float:
        return self.pushed.pushes / self.pushed.seconds

    @property
    def us(self) -> dict[str, float]:
        """For one push."""
        return {name: 1e6 * spent / max(1, self.pushed.pushes) for name, spent in self.spent.items()}

    @property
    def refusals(self) -> list[str]:
        """Why it proves nothing; empty when it does."""
        found = []
        if self.counted.packets != self.pushed.pushes:
            found.append(f"{self.counted.packets:,} packets arrived, not {self.pushed.pushes:,}")
        if self.counted.gone:
            found.append(f"{self.counted.gone} clients lost their connection")
        if self.case.rate and self.pushed.pushes < MIN_PACE * self.case.rate * self.asked_seconds:
            found.append(f"{self.pushed.pushes:,} pushes in {self.asked_seconds:g} s: the pace was not kept")
        if self.others > MAX_OTHERS * self.seconds * len(machine.cores()):
            found.append(f"others had {self.others / self.seconds:.2f} cores")
        return found


class Members:
    """A cluster with so many members connected, and a back end."""

    def __init__(self, *, scratch: Path, connections: int, body_bytes: int, sampled: bool = False) -> None:
        """``sampled``: see :class:`Cluster`. Raises :class:`compiler.NoCompiler`, :class:`ProgramFailed`."""
        self._members = range(1, connections + 1)
        self._body_bytes = body_bytes
        room = {"comet.max_connections": connections + 16, "comet.max_connections_per_address": connections + 16}
        patience = {"comet.heartbeat_seconds": 3600.0, "comet.handshake_seconds": 60.0}  # the clients send none
        self.cluster = Cluster(scratch, settings={**room, **patience}, sampled=sampled)
        self._clients: LoadClient | None = None
        try:
            self._clients = LoadClient(
                compiler.build("load_client", scratch),
                audience=Audience("tcp", connections),
                port=self.cluster.ports["TCP clients"],
                core=-1,
                log=scratch / "clients.log",
                mid=self._members.start,
            )
        except BaseException:
            self.end()
            raise

    def window(self, case: Case, seconds: float, say: Say) -> Window:
        """Push, and wait for the last of it. Raises :class:`NotAccepted`, :class:`ProgramFailed`."""
        clients = self._clients
        assert clients is not None

        said = time.monotonic()

        def tick() -> None:
            nonlocal said
            if time.monotonic() - said >= SAY_SECONDS:
                said = time.monotonic()
                say(f"{case}: {clients.look().packets:,} delivered")

        prepared = requests(self._members, together=case.together, body_bytes=self._body_bytes, keep=case.keep)
        connections = CONNECTIONS.get(case.together, 16)
        back_end = BackEnd(self.cluster.ports["HTTP API"], prepared, together=case.together, connections=connections)
        try:
            clients.begin()
            before, busy, began = self._spent(clients), _busy(), time.monotonic()
            pushed = back_end.push(case.rate / case.together, seconds, tick)
            counted = clients.drain(pushed.pushes, tick)
            took = time.monotonic() - began
            spent = {name: late - before[name] for name, late in self._spent(clients).items()}
            others = max(0.0, _busy() - busy - sum(spent.values()))
        finally:
            back_end.close()
        return Window(case, seconds, pushed, took, counted, spent, others)

    def end(self) -> None:
        if self._clients is not None:
            self._clients.end()
        self.cluster.end()

    def _spent(self, clients: LoadClient) -> dict[str, float]:
        return {**self.cluster.cpu_seconds, "clients": clients.cpu_seconds, "back end": time.process_time()}


def _busy() -> float:
    return sum(map(machine.busy_seconds, machine.cores()))


def figures(windows: Sequence[Window]) -> list[float] | None:
    """The medians, as :data:`TITLES` has them; None without any that can be believed."""
    good = [window for window in windows if not window.refusals]
    rows = [
        (
            window.accepted_per_second,
            window.delivered_per_second,
            window.counted.p50_ms,
            window.counted.p99_ms,
            window.counted.max_ms,
            window.pushed.p99_ms,
        )
        for window in good
    ]
    return [median(column) for column in zip(*rows, strict=True)] or None


def costs(windows: Sequence[Window]) -> dict[str, float]:
    """CPU time for one push, by process, medians of those that can be believed."""
    good = [window.us for window in windows if not window.refusals]
    return {name: median(each[name] for each in good) for name in good[0]} if good else {}


def document(windows: Sequence[Window], run: Run) -> Document:
    """A line a case: what was reached, and what it cost."""
    cases = {case: [each for each in windows if each.case == case] for case in dict.fromkeys(w.case for w in windows)}
    names = list(windows[0].spent) if windows else []
    reached: list[tuple[str, ...]] = []
    spent: list[tuple[str, ...]] = []
    marks: list[Mark] = []
    for case, of_case in cases.items():
        found, cost = figures(of_case), costs(of_case)
        if found is None:
            reasons = dict.fromkeys(reason for window in of_case for reason in window.refusals)
            reached.append((str(case), f"refused: {'; '.join(reasons)}", *[""] * (len(TITLES) - 1)))
            continue
        reached.append((str(case), *(f"{each:,.0f}" for each in found[:2]), *(f"{each:.1f}" for each in found[2:])))
        spent.append((str(case), *(f"{cost[name]:.1f}" for name in names), f"{sum(cost.values()):.1f}"))
        if case.rate:
            marks.append(Mark(str(case), tuple(found[2:5]), "ours", AIM_MS))
    tables = [Table("members", "Pushes to single members", TITLES, tuple(reached), READING)]
    if spent:
        title = "CPU time for one push, µs"
        tables.append(Table("members-cpu", title, (*names, "together"), tuple(spent), READING))
    title = "From a push to a member's socket, at half of what is wanted"
    plot = Plot("members", title, "ms", "spans", (Group("", tuple(marks)),), ("p50", "p99", "max"))
    return Document(
        runs=(run,),
        tables=tuple(tables),
        plots=(plot,) if marks else (),
        refusals=tuple(Refusal(str(window.case), tuple(window.refusals)) for window in windows if window.refusals),
        raw={"members": [asdict(window) | {"us": window.us} for window in windows]},
    )


def rates(together: int) -> tuple[float, ...]:
    """Pushes a second: flat out, then half of what is wanted."""
    return (0.0, GOALS[together] / 2) if together in GOALS else (0.0,)


@click.command("members")
@click.option("--connections", "-n", type=click.IntRange(min=100), default=1_000, show_default=True)
@click.option(
    "--together",
    multiple=True,
    type=click.IntRange(min=1, max=1000),
    default=tuple(GOALS),
    show_default=True,
    help="Pushes a request.",
)
@click.option(
    "--rate", "paces", multiple=True, type=float, help="Pushes a second, 0 is flat out; else both, as wanted."
)
@click.option("--live/--no-live", default=True, show_default=True, help='Pushes with "keep": false too.')
@click.option("--seconds", default=5.0, show_default=True, help="Of one window.")
@click.option("--windows", type=click.IntRange(min=1), default=1, show_default=True, help="Of each case.")
@click.option("--body-bytes", type=click.IntRange(min=12, max=4096), default=100, show_default=True)
@output_options
def command(
    connections: int,
    together: tuple[int, ...],
    paces: tuple[float, ...],
    live: bool,
    seconds: float,
    windows: int,
    body_bytes: int,
    json: Path | None,
    html: Path | None,
    svg: Path | None,
) -> None:
    """Pushes to single members, from HTTP to the socket.

    \b
    python -m benchmarks members
    python -m benchmarks members --together 100 --rate 10000 --no-live --windows 3

    Starts Redis, ZooKeeper, and one each of logic, job and comet; connects members, and pushes to one after the other.
    """
    watch = Stopwatch()
    cases = [
        Case(count, keep, rate)
        for keep in ((True, False) if live else (True,))
        for count in together
        for rate in paces or rates(count)
    ]
    found: list[Window] = []
    with Progress() as say, tempfile.TemporaryDirectory(prefix="imd-bench-") as scratch:
        try:
            members = Members(scratch=Path(scratch), connections=connections, body_bytes=body_bytes)
            try:
                for case in cases:
                    members.window(Case(case.together, case.keep, 0), WARM_SECONDS, lambda _: None)
                    for _ in range(windows):
                        time.sleep(SETTLE_SECONDS)
                        found.append(members.window(case, seconds, say))
                        words = [f"{sum(found[-1].us.values()):.0f} µs a push", *found[-1].refusals]
                        say(f"{case}: {'; '.join(words)}")
            finally:
                members.end()
        except (compiler.NoCompiler, ProgramFailed, NotAccepted) as error:
            raise click.ClickException(str(error)) from None
    believable = all(figures([each for each in found if each.case == case]) for case in cases)
    Output(json, html, svg).publish(document(found, watch.run()), believable=believable)
