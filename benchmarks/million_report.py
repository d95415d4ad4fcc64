"""The findings of ``million``, as a document."""

from collections.abc import Iterator
from dataclasses import asdict

from benchmarks.document import Document, Group, Mark, Plot, Refusal, Run, Table
from benchmarks.million_findings import Findings, Pushed

READING = (
    "All processes share the cores: seconds are the wall's, CPU seconds those of all processes of a role, user and system; on "
    "loopback the sender pays the receiver's TCP work. A push's times are from logic's answer to receipts, looked for every "
    "0.15 ms; its phase lasts some seconds longer, for what comes twice, and has the heartbeats of that time. Buffers: the "
    "most that TCP had in flight or unread. Memory: what processes have of their own (anonymous), and the kernel's slabs and "
    'socket buffers, for both ends. KiB each: the growth from "empty" to "idle" over the connections.'
)
GIB = 1024 * 1024
MEMORY = ("comets", "clients", "redis", "others", "kernel", "available")
PUSHES = ("packets", "accepted ms", "p50 ms", "p99 ms", "last ms", "comets µs each", "buffers MiB")


def document(findings: Findings, run: Run) -> Document:
    """What came of it first."""
    title = f"{findings.connections:,} connections"
    phases = tuple(
        (phase.name, f"{phase.seconds:,.1f}", *(f"{spent:,.1f}" for spent in phase.cpu_seconds.values()))
        for phase in findings.phases
    )
    roles = tuple(findings.phases[0].cpu_seconds)
    return Document(
        runs=(run,),
        tables=(
            Table("million", title, ("",), tuple(_outcome(findings)), READING),
            Table("million-phases", f"{title}: CPU seconds", ("seconds", *roles), phases, READING),
            Table("million-pushes", f"{title}: pushes", PUSHES, tuple(_pushes(findings)), READING),
            Table("million-memory", f"{title}: GiB", MEMORY, tuple(_memory(findings)), READING),
        ),
        plots=(_memory_plot(findings, title),),
        refusals=(Refusal(title, tuple(findings.refusals)),) if findings.refusals else (),
        raw={"million": asdict(findings)},
    )


def _outcome(findings: Findings) -> Iterator[tuple[str, str]]:
    channels, phase, count = findings.channels, findings.phases[0], findings.connections
    yield "outcome", "; ".join(findings.refusals) or "every client got every push exactly once"
    yield "transport", findings.transport
    yield "comets", f"{len(channels)}, with {min(channels):,} to {max(channels):,} each"
    yield "connections a second", f"{count / phase.seconds:,.0f}"
    each = ", ".join(f"{role} {1e6 * spent / count:.0f}" for role, spent in phase.cpu_seconds.items())
    yield "µs of CPU to connect one", each
    yield (
        "job was told",
        ", ".join(f"{number:,.0f} {name}" for name, number in findings.handed_over.items()) or "nothing",
    )
    yield "a comet without clients", f"{findings.memory[0].comets_kb / len(channels) / 1024:.1f} MiB"
    yield "on the way", "; ".join(_troubles(findings)) or "nothing went wrong"


def _troubles(findings: Findings) -> Iterator[str]:
    yield from (f"{name} {value:,.0f}" for name, value in findings.troubles.items())
    if findings.redials:
        yield f"{findings.redials:,} clients were turned away before they were let in, and dialled again"
    yield from (f"{count:,} × {line}" for line, count in findings.complaints.items())


def _pushes(findings: Findings) -> Iterator[tuple[str, ...]]:
    for pushed in findings.pushes:
        times = (pushed.accepted_ms, pushed.p50_ms, pushed.p99_ms, pushed.last_ms)
        yield (
            f"to {pushed.target}",
            f"{pushed.packets:,}",
            *(f"{each:,.0f}" for each in times),
            f"{_each_us(pushed, findings):.1f}",
            f"{pushed.buffers_kb / 1024:,.0f}",
        )


def _each_us(pushed: Pushed, findings: Findings) -> float:
    phase = next(phase for phase in findings.phases if phase.name == f"push to {pushed.target}")
    return 1e6 * phase.cpu_seconds["comets"] / max(1, pushed.packets)


def _memory(findings: Findings) -> Iterator[tuple[str, ...]]:
    for when, memory in zip(("empty", "idle", "after the pushes"), findings.memory, strict=True):
        yield (when, *(f"{getattr(memory, f'{name}_kb') / GIB:.2f}" for name in MEMORY))
    yield ("KiB each", *(f"{_growth(findings, name):.2f}" for name in MEMORY[:-1]), "")


def _growth(findings: Findings, name: str) -> float:
    empty, idle = findings.memory[:2]
    return float(getattr(idle, f"{name}_kb") - getattr(empty, f"{name}_kb")) / findings.connections


def _memory_plot(findings: Findings, title: str) -> Plot:
    parts = ("comets", "kernel", "redis", "clients")
    values = tuple(_growth(findings, name) for name in parts)
    groups = (Group(findings.transport, (Mark("a connection", values),)),)
    return Plot("million-memory", f"{title}: memory of each", "KiB", "stacked", groups, parts)
