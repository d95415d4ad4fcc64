"""What fan-out and an idle connection cost, as a document."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from benchmarks.case import COMETS, LIMIT, WHOLE, Audience, Load, limit_of
from benchmarks.document import Document, Group, Mark, Plot, Refusal, Run, Table, Tone
from benchmarks.measurement import Memory
from benchmarks.run import Row

NAMES = {
    LIMIT: "C loop of send()",
    "write": "transport.write",
    "imd": "imd comet",
    "imd-python": "imd comet, Python",
    "imd-send": "imd comet, C send",
    "imd-io_uring": "imd comet, io_uring",
    WHOLE: "twistd imd, HTTP",
}
TONES: Mapping[str, Tone] = {LIMIT: "limit", "write": "other", "imd": "ours"}  # the rest: ours, too
COLUMNS = ("µs", "× loop", "by run", "p50 ms", "p99 ms", "max ms", "server", "clients", "a read")
READING = (
    "µs: of the server's CPU time for one delivery, user and system; each run's is that of all its windows, this is the median "
    "of the runs. × loop: against the bare loop in C, the median of what each run found, and from the lowest to the highest of "
    "those; lower is better. On loopback a sender also pays the receiver's TCP "
    "work, alike for all. Latency: from send to receipt; over HTTP from the request. Server, clients: how busy their cores "
    "were. A read: packets that a client got at once. TLS is given in loops without TLS, for the loop has none."
)
MEMORY_READING = (
    "Memory: of an idle connection in a room, KiB; the kernel's is for both its ends, "
    "for the clients are on this machine too."
)
REFUSED = "refused"

# What is wanted: times the loop, by kind of comet.
PYTHON_AIM, NATIVE_AIM, WEBSOCKET_AIM, MERGED_AIM = 1.25, 1.0, 1.35, 1.3
MERGED_AIM_MS = 250.0  # of the 99th percentile
MEMORY_AIMS = {"tcp": 3000 / 1024, "websocket": 5000 / 1024}  # KiB of the process


@dataclass(frozen=True, slots=True)
class Ratio:
    """A cost in loops, by runs."""

    runs: tuple[float, ...]

    @property
    def middle(self) -> float:
        """The median."""
        return median(self.runs)

    def __str__(self) -> str:
        lowest, highest = f"{min(self.runs):.2f}", f"{max(self.runs):.2f}"
        return lowest if lowest == highest else f"{lowest}–{highest}"


Ratios = Mapping[tuple[str, Audience, Load], Ratio]


def ratios(rows: Sequence[Row]) -> Ratios:
    """(subject, audience, load) -> its cost in loops; only where both can be believed."""
    limits = {(row.audience, row.load): row.result.costs for row in rows if row.subject == LIMIT and row.result}
    found = {}
    for row in rows:
        limit = limits.get((limit_of(row.audience), row.load))
        if row.result and limit:
            costs = tuple(cost / limit[run] for run, cost in row.result.costs.items() if run in limit)
            if costs:
                found[row.subject, row.audience, row.load] = Ratio(costs)
    return found


def aim(subject: str, audience: Audience, load: Load) -> float | None:
    """What is wanted of imd's comet, in loops; None = nothing is, here."""
    if not subject.startswith("imd") or subject == WHOLE or audience.transport == "tls" or load.to == "all":
        return None
    if load.merged > 1:
        return MERGED_AIM
    if audience.transport == "websocket":
        return WEBSOCKET_AIM
    return PYTHON_AIM if subject == "imd-python" else NATIVE_AIM


def document(rows: Sequence[Row], memory: Mapping[tuple[str, Audience], Memory], run: Run) -> Document:
    """Tables, plots, what was refused, and every window."""
    found = ratios(rows)
    return Document(
        runs=(run,),
        tables=(*_summaries(rows, found), *_tables(rows, found), *_memory_table(memory)),
        plots=(*_cost_plots(rows, found), *_latency_plots(rows), *_memory_plot(memory)),
        refusals=tuple(
            Refusal(f"{row.audience}, {row.load}, {NAMES[row.subject]}", tuple(window.refusals))
            for row in rows
            for window in row.windows
            if window.refusals
        ),
        raw={"fanout": _raw(rows, found, memory)},
    )


def key(*words: object) -> str:
    """Of a table or plot: ``fanout-tcp-1000-flat-out-100-bytes``."""
    joined = "-".join(map(str, words)).lower()
    kept = "".join(letter if letter.isalnum() else "-" for letter in joined.replace(",", "").replace("/s", ""))
    return "-".join(filter(None, kept.split("-")))


def _summaries(rows: Sequence[Row], found: Ratios) -> Iterator[Table]:
    """For each number of connections a line a case and a column a subject: what it costs, and how long it takes."""

    def cost(row: Row) -> str:
        assert row.result is not None
        ratio = found.get((row.subject, row.audience, row.load))
        return f"{row.result.us_per_delivery:.2f}" + ("" if ratio is None else f" ({ratio.middle:.2f} ×)")

    def longest(row: Row) -> str:
        assert row.result is not None
        return f"{row.result.p99_ms:.1f}"

    for connections in dict.fromkeys(row.audience.connections for row in rows):
        here = [row for row in rows if row.audience.connections == connections]
        crowd = f"before {connections:,} clients"
        title = f"What a delivery costs the server {crowd}, µs (in loops)"
        yield _summary(f"fanout-cost-{connections}", title, here, cost)
        yield _summary(f"fanout-p99-{connections}", f"From send to receipt {crowd}, 99th percentile, ms", here, longest)


def _summary(name: str, title: str, rows: Sequence[Row], cell: Callable[[Row], str]) -> Table:
    subjects = tuple(dict.fromkeys(row.subject for row in rows))
    by_case = {(row.subject, row.audience, row.load): row for row in rows}
    lines = [
        (f"{audience.transport}, {load}", *(_cell(by_case.get((each, audience, load)), cell) for each in subjects))
        for audience, load in dict.fromkeys((row.audience, row.load) for row in rows)
    ]
    return Table(name, title, tuple(NAMES[each] for each in subjects), tuple(lines), READING)


def _cell(row: Row | None, cell: Callable[[Row], str]) -> str:
    if row is None:
        return ""
    return cell(row) if row.result else REFUSED


def _tables(rows: Sequence[Row], found: Ratios) -> Iterator[Table]:
    for audience, load in dict.fromkeys((row.audience, row.load) for row in rows):
        lines = [
            (NAMES[row.subject], *_cells(row, found.get((row.subject, audience, load))))
            for row in rows
            if (row.audience, row.load) == (audience, load)
        ]
        name = key("fanout", audience.transport, audience.connections, load)
        yield Table(name, f"{audience}, {load}", COLUMNS, tuple(lines), READING)


def _cells(row: Row, ratio: Ratio | None) -> tuple[str, ...]:
    found = row.result
    if found is None:
        refusals = [window.refusals for window in row.windows if window.refusals]
        count = f"{len(refusals)} of {len(row.windows)} windows"
        said = f"{REFUSED}: {count}, the last because {'; '.join(refusals[-1])}"
        return (said, *[""] * (len(COLUMNS) - 1))
    return (
        f"{found.us_per_delivery:.2f}",
        "" if ratio is None else f"{ratio.middle:.2f}",
        "" if ratio is None else str(ratio),
        *(f"{each:.1f}" for each in (found.p50_ms, found.p99_ms, found.max_ms)),
        f"{found.server_busy:.0%}",
        f"{found.clients_busy:.0%}",
        f"{found.joined:.1f}",
    )


def _memory_table(memory: Mapping[tuple[str, Audience], Memory]) -> Iterator[Table]:
    if memory:
        rows = [
            (f"{NAMES[name]}, {audience}", f"{each.process_kb:.2f}", f"{each.kernel_kb:.2f}")
            for (name, audience), each in memory.items()
        ]
        yield Table("idle-memory", "An idle connection", ("process KiB", "kernel KiB"), tuple(rows), MEMORY_READING)


def _tone(subject: str) -> Tone:
    return TONES.get(subject, "ours_too")


def _cost_plots(rows: Sequence[Row], found: Ratios) -> Iterator[Plot]:
    """One a number of connections, with a group for each transport and load; one for TLS, whose bars are the longest."""
    crowds = dict.fromkeys((row.audience.connections, row.audience.transport == "tls") for row in rows)
    for connections, secure in crowds:
        groups = []
        for audience, load in dict.fromkeys((row.audience, row.load) for row in rows):
            marks = tuple(
                Mark(NAMES[name], (ratio.middle,), _tone(name), aim(name, audience, load))
                for (name, *where), ratio in found.items()
                if where == [audience, load] and name not in (LIMIT, WHOLE)
            )
            if (audience.connections, audience.transport == "tls") == (connections, secure) and marks:
                groups.append(Group(f"{audience.transport}, {load}", marks))
        if groups:
            title = f"What a delivery costs the server, before {connections:,} clients"
            line = (1.0, "the C loop")
            name = key("cost", connections, "tls" if secure else "")
            yield Plot(
                name, f"{title} under TLS" if secure else title, "× the C loop", "bars", tuple(groups), line=line
            )


def _latency_plots(rows: Sequence[Row]) -> Iterator[Plot]:
    """From the send to the last receipt, at a pace and merged: there latency is what is wanted, not what is put up with."""
    for connections in dict.fromkeys(row.audience.connections for row in rows):
        groups = []
        here = [row for row in rows if row.audience.connections == connections and row.result]
        shown = [row for row in here if row.load.rate or row.load.merged > 1]
        for audience, load in dict.fromkeys((row.audience, row.load) for row in shown):
            of_case = [row for row in shown if (row.audience, row.load) == (audience, load)]
            groups.append(Group(f"{audience.transport}, {load}", tuple(_spans(of_case))))
        if groups:
            title = f"How long a message takes to all of {connections:,} clients"
            note = "Thick: from the median to the 99th percentile, which stands beside it. Dot: the longest."
            parts = ("p50", "p99", "max")
            yield Plot(key("latency", connections), title, "ms", "spans", tuple(groups), parts, note=note)


def _spans(rows: Sequence[Row]) -> Iterator[Mark]:
    sweep_ms = next((row.result.p99_ms for row in rows if row.subject == LIMIT and row.result), None)
    for row in rows:
        assert row.result is not None
        values = (row.result.p50_ms, row.result.p99_ms, row.result.max_ms)
        yield Mark(NAMES[row.subject], values, _tone(row.subject), _latency_aim_ms(row, sweep_ms))


def _latency_aim_ms(row: Row, sweep_ms: float | None) -> float | None:
    """``sweep_ms``: what the loop takes; None = that is not known."""
    if row.load.merged > 1:
        return MERGED_AIM_MS if row.subject in COMETS else None
    return 1.3 * sweep_ms + 20 if sweep_ms is not None and row.subject == WHOLE else None


def _memory_plot(memory: Mapping[tuple[str, Audience], Memory]) -> Iterator[Plot]:
    groups = []
    for audience in dict.fromkeys(audience for _, audience in memory if audience.transport != "tls"):
        wanted = MEMORY_AIMS[audience.transport]
        marks = tuple(
            Mark(
                NAMES[name], (each.process_kb, each.kernel_kb), _tone(name), wanted if name.startswith("imd") else None
            )
            for (name, where), each in memory.items()
            if where == audience
        )
        groups.append(Group(str(audience), marks))
    if groups:
        parts = ("the server's own", "the kernel's, for both ends")
        yield Plot("memory", "An idle connection", "KiB", "stacked", tuple(groups), parts)


def _raw(rows: Sequence[Row], found: Ratios, memory: Mapping[tuple[str, Audience], Memory]) -> dict[str, Any]:
    return {
        "results": [
            {
                "subject": row.subject,
                "transport": row.audience.transport,
                "connections": row.audience.connections,
                **asdict(row.load),
                "result": asdict(row.result) | {"us_per_delivery": row.result.us_per_delivery} if row.result else None,
                "of_loop": asdict(ratio)["runs"]
                if (ratio := found.get((row.subject, row.audience, row.load)))
                else None,
                "windows": [asdict(window) | {"refusals": window.refusals} for window in row.windows],
            }
            for row in rows
        ],
        "memory": [
            {"subject": name, "transport": audience.transport, "connections": audience.connections, **asdict(each)}
            for (name, audience), each in memory.items()
        ],
    }
