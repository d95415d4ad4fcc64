"""The findings of ``million``, for people."""

from benchmarks.million_findings import Findings, Phase, Pushed

READING = """\
How to read it. All processes share the cores: seconds are the wall's, CPU seconds those of all processes of a role, user
and system; on loopback the sender pays the receiver's TCP work. A push's times are from logic's answer to receipts, looked for
every 0.15 ms; its phase lasts some seconds longer, for what comes twice, and has the heartbeats of that time. Buffers: the most
that TCP had in flight or unread. Memory: what processes have of their own (anonymous), and the kernel's slabs and socket
buffers, for both ends. KiB each: the growth from "empty" to "idle" over the connections."""

GIB = 1024 * 1024


def text(findings: Findings) -> str:
    """A page."""
    verdict = findings.refusals or ["every client got every push exactly once"]
    return "\n".join(
        [
            f"{findings.connections:,} connections ({findings.transport}), {len(findings.channels)} comets with "
            f"{min(findings.channels):,} to {max(findings.channels):,} each",
            *(f"  {line}" for line in verdict),
            "",
            *_phases(findings),
            "",
            *_pushes(findings),
            "",
            *_memory(findings),
            "",
            *_troubles(findings),
            "",
            READING,
        ]
    )


def _phases(findings: Findings) -> list[str]:
    roles = list(findings.phases[0].cpu_seconds)
    head = f"{'':16}{'seconds':>10}" + "".join(f"{role:>11}" for role in roles) + "   CPU seconds"
    return [head, *(_phase(phase, roles) for phase in findings.phases), _connecting(findings)]


def _phase(phase: Phase, roles: list[str]) -> str:
    return f"{phase.name:16}{phase.seconds:10.1f}" + "".join(f"{phase.cpu_seconds[role]:11.1f}" for role in roles)


def _connecting(findings: Findings) -> str:
    phase, count = findings.phases[0], findings.connections
    each = ", ".join(f"{role} {1e6 * spent / count:.0f}" for role, spent in phase.cpu_seconds.items())
    return f"{count / phase.seconds:,.0f} connections a second; µs of CPU for each: {each}"


def _pushes(findings: Findings) -> list[str]:
    names = ("packets", "accepted ms", "p50 ms", "p99 ms", "last ms", "comets µs each", "buffers MiB")
    told = ", ".join(f"{count:,.0f} {name}" for name, count in findings.handed_over.items())
    return [
        f"{'push to':16}" + "".join(f"{name:>16}" for name in names),
        *(_push(pushed, findings) for pushed in findings.pushes),
        f"job was told: {told or 'nothing'}",
    ]


def _push(pushed: Pushed, findings: Findings) -> str:
    phase = next(phase for phase in findings.phases if phase.name == f"push to {pushed.target}")
    each_us = 1e6 * phase.cpu_seconds["comets"] / max(1, pushed.packets)
    times = (pushed.accepted_ms, pushed.p50_ms, pushed.p99_ms, pushed.last_ms)
    return (
        f"{pushed.target:16}{pushed.packets:16,}"
        + "".join(f"{each:16,.0f}" for each in times)
        + f"{each_us:16.1f}{pushed.buffers_kb / 1024:16,.0f}"
    )


def _memory(findings: Findings) -> list[str]:
    names = ("comets", "clients", "redis", "others", "kernel", "available")
    rows = [f"{'GiB':16}" + "".join(f"{name:>11}" for name in names)]
    for when, memory in zip(("empty", "idle", "after the pushes"), findings.memory, strict=True):
        rows.append(f"{when:16}" + "".join(f"{getattr(memory, f'{name}_kb') / GIB:11.2f}" for name in names))
    empty, idle = findings.memory[:2]
    growth = [
        f"{(getattr(idle, f'{name}_kb') - getattr(empty, f'{name}_kb')) / findings.connections:11.2f}"
        for name in names[:-1]
    ]
    comet = empty.comets_kb / len(findings.channels) / 1024
    return [*rows, f"{'KiB each':16}" + "".join(growth), f"a comet without clients: {comet:.1f} MiB"]


def _troubles(findings: Findings) -> list[str]:
    counted = [f"  {name} {value:,.0f}" for name, value in findings.troubles.items()]
    if findings.redials:
        counted.append(f"  {findings.redials:,} clients were turned away before they were let in, and dialled again")
    logged = [f"  {count:,} × {line}" for line, count in findings.complaints.items()]
    return ["nothing went wrong on the way"] if not counted + logged else ["on the way:", *counted, *logged]
