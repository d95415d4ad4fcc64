"""``stalled``: what clients that do not read cost those that do, and the comet."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import click

from benchmarks import compiler, machine
from benchmarks.case import PACES, Audience, Load
from benchmarks.clients import Clients
from benchmarks.compiler import NoCompiler
from benchmarks.document import Document, Group, Mark, Plot, Refusal, Run, Stopwatch, Table
from benchmarks.fanout import timing_options
from benchmarks.measurement import Result, Window, result
from benchmarks.meter import Meter, Say
from benchmarks.output import Output, output_options
from benchmarks.program import ProgramFailed
from benchmarks.progress import Progress
from benchmarks.pusher import Pusher, PushFailed
from benchmarks.subject import Comet

POLICIES = ("disconnect", "drop_oldest", "latest_only")
EACH = 10  # a tenth
OUTBOX_BYTES = 1 << 20
FLOOD = Load(0, 0.25, 4096, merged=8)  # until sockets and outboxes are full
FLOODS = 120  # at most
AIM = 1.2
TRIES = 3
COLUMNS = (
    "p99 ms, all read",
    "p99 ms, others",
    "ratio",
    "µs, all read",
    "µs, others",
    "held KiB each",
    "grown KiB each",
    "limit",
)
READING = (
    "p99: from send to receipt, when all read, and for the others once each tenth client has stopped and is full. µs: of the "
    "comet's CPU time for one delivery to those that read. Held: in its outbox for each client that does not read, as its "
    "metrics say; grown: what the process has become larger by; both at their largest, against comet.outbox_bytes."
)


@dataclass(slots=True)
class Found:
    """Under one policy."""

    policy: str
    reading: list[Window] = field(default_factory=list)  # when all read
    stalled: list[Window] = field(default_factory=list)  # when a tenth does not
    held_kb: float = 0.0  # of the outboxes, for each that does not read, at most
    grown_kb: float = 0.0  # of the process, the same
    dropped: float = 0.0  # packets
    ended: float = 0.0  # connections


class Bench:
    """One comet after the other, each with clients that first read and then do not."""

    def __init__(self, *, connections: int, load: Load, windows: int, scratch: Path, say: Say, meter: Meter) -> None:
        """Raises :class:`NoCompiler`."""
        self._audience = Audience("tcp", connections)
        self._load = load
        self._windows = windows
        self._scratch = scratch
        self._say = say
        self._meter = meter
        self._load_client = compiler.build("load_client", scratch)
        self._before_kb = 0.0  # of the comet's process, when all read

    def measure(self, found: Found) -> None:
        """Adds to what was found under its policy."""
        title = f"{self._audience}, {found.policy}"
        self._say(f"{title}: connecting")
        settings = {"comet.slow_policy": found.policy, "comet.outbox_bytes": str(OUTBOX_BYTES)}
        log, core = self._scratch / "comet.log", self._meter.server_core
        server = Comet(audience=self._audience, core=core, scratch=self._scratch, log=log, settings=settings)
        try:
            clients = Clients(
                self._load_client,
                audience=self._audience,
                port=server.port,
                cores=self._meter.clients_cores,
                log=self._scratch / "clients.log",
            )
            try:
                server.ready()
                self._compare(found, server, clients, title)
            finally:
                clients.end()
        finally:
            server.end()

    def _compare(self, found: Found, server: Comet, clients: Clients, title: str) -> None:
        count = self._audience.connections
        self._meter.window(server, clients, count, FLOOD, f"{title}: warming")
        found.reading += self._measured(server, clients, count, f"{title}, all read")
        self._before_kb = machine.process_kb(server.program.pid)
        stalled = clients.stall(EACH)
        readers = count - stalled
        assert isinstance(server.pusher, Pusher)
        server.pusher.receivers = readers
        self._fill(found, server, clients, stalled, title)
        found.stalled += self._measured(server, clients, readers, f"{title}, {stalled} do not read")
        self._note(found, server, stalled)

    def _measured(self, server: Comet, clients: Clients, receivers: int, where: str) -> Iterator[Window]:
        for number in range(self._windows):
            said = f"{where}, {number + 1} of {self._windows}"
            self._meter.wait_for_quiet(said)
            yield from self._meter.believable(server, clients, receivers, self._load, said, tries=TRIES)

    def _fill(self, found: Found, server: Comet, clients: Clients, stalled: int, title: str) -> None:
        """Until the comet has let go of something of each that does not read. Raises :class:`PushFailed` if it does not."""
        for number in range(FLOODS):
            self._meter.window(server, clients, self._audience.connections - stalled, FLOOD, f"{title}: filling")
            self._note(found, server, stalled)
            self._say(f"{title}: filling, {number + 1}: {found.held_kb:,.0f} KiB held for each")
            if found.ended >= stalled or found.dropped >= stalled * FLOOD.merged:
                return
        raise PushFailed(f"{title}: clients that do not read do not fill up")

    def _note(self, found: Found, server: Comet, stalled: int) -> None:
        figures = server.figures()
        grown_kb = machine.process_kb(server.program.pid) - self._before_kb
        found.grown_kb = max(found.grown_kb, grown_kb / stalled)
        found.held_kb = max(found.held_kb, figures["imd_outbox_bytes"] / 1024 / stalled)
        found.dropped = sum(
            value for name, value in figures.items() if name.startswith('imd_drops_total{layer="comet"')
        )
        found.ended = figures.get('imd_connections_closed_total{reason="slow_consumer"}', 0.0)


def results(found: Found, wanted: int) -> tuple[Result | None, Result | None]:
    """When all read, and when a tenth does not."""
    return result(found.reading, wanted=wanted), result(found.stalled, wanted=wanted)


def document(all_found: Sequence[Found], connections: int, wanted: int, run: Run) -> Document:
    """A line a policy."""
    rows, groups = [], []
    for found in all_found:
        reading, stalled = results(found, wanted)
        held = (f"{found.held_kb:,.0f}", f"{found.grown_kb:,.0f}", f"{OUTBOX_BYTES // 1024:,}")
        if reading is None or stalled is None:
            refused = [reason for each in (*found.reading, *found.stalled) for reason in each.refusals]
            rows.append((found.policy, f"refused: {'; '.join(dict.fromkeys(refused))}", *[""] * (len(COLUMNS) - 1)))
            continue
        ratio = stalled.p99_ms / reading.p99_ms
        costs = (f"{reading.us_per_delivery:.2f}", f"{stalled.us_per_delivery:.2f}")
        rows.append((found.policy, f"{reading.p99_ms:.1f}", f"{stalled.p99_ms:.1f}", f"{ratio:.2f}", *costs, *held))
        marks = (
            Mark("all read", (reading.p50_ms, reading.p99_ms, reading.max_ms), "limit"),
            Mark(
                "the other nine tenths", (stalled.p50_ms, stalled.p99_ms, stalled.max_ms), "ours", AIM * reading.p99_ms
            ),
        )
        groups.append(Group(found.policy, marks))
    title = f"A tenth of {connections:,} clients does not read"
    plot = Plot(f"stalled-{connections}", title, "ms", "spans", tuple(groups), ("p50", "p99", "max"))
    return Document(
        runs=(run,),
        tables=(Table(f"stalled-{connections}", title, COLUMNS, tuple(rows), READING),),
        plots=(plot,) if groups else (),
        refusals=tuple(
            Refusal(f"{title}, {found.policy}", tuple(each.refusals))
            for found in all_found
            for each in (*found.reading, *found.stalled)
            if each.refusals
        ),
        raw={f"stalled-{connections}": [asdict(found) for found in all_found]},
    )


@click.command("stalled")
@click.option("--connections", "-n", type=click.IntRange(min=EACH), default=1_000, show_default=True)
@click.option("--policy", "policies", multiple=True, type=click.Choice(POLICIES), default=POLICIES, show_default=True)
@timing_options(windows=5, seconds=2.0)
@output_options
def command(
    connections: int,
    policies: tuple[str, ...],
    runs: int,
    windows: int,
    seconds: float,
    patience: float,
    json: Path | None,
    html: Path | None,
    svg: Path | None,
) -> None:
    """Each tenth client does not read: the others' latency, and memory.

    \b
    python -m benchmarks stalled
    python -m benchmarks stalled -n 10000 --policy drop_oldest --runs 3

    Under each policy a comet's clients all read first; then each tenth stops, and is sent as much as its sockets and its
    outbox hold; then the others are measured again.
    """
    if len(machine.cores()) < 2:
        raise click.ClickException("two cores are needed: one for the server, one for the clients")
    watch = Stopwatch()
    load = Load(PACES.get(connections, min(20.0, 50_000 / connections)), seconds, 100)
    all_found = [Found(policy) for policy in policies]
    with (
        Progress() as say,
        tempfile.TemporaryDirectory(prefix="imd-bench-") as scratch,
        Meter(say=say, patience_seconds=patience) as meter,
    ):
        try:
            bench = Bench(
                connections=connections, load=load, windows=windows, scratch=Path(scratch), say=say, meter=meter
            )
            for _ in range(runs):
                for found in all_found:
                    bench.measure(found)
        except (NoCompiler, ProgramFailed, PushFailed) as error:
            raise click.ClickException(str(error)) from None
    wanted = windows * runs
    believable = all(each is not None for found in all_found for each in results(found, wanted))
    Output(json, html, svg).publish(document(all_found, connections, wanted, watch.run()), believable=believable)
