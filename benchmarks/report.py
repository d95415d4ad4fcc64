"""What was found, for people and for programs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.case import Audience
from benchmarks.measurement import Memory
from benchmarks.run import Row

LIMIT = "loop"  # what the ratios are of
NAMES = {"loop": "C loop of send()", "write": "transport.write", "imd": "imd comet"}
COLUMNS = ("µs", "± %", "× loop", "p50 ms", "p99 ms", "max ms", "server", "clients", "a read")
READING = """\
µs: of the server's CPU time for one delivery, user and system, median of the windows. ±: how far the windows lie apart.
× loop: against the bare loop in C of the same run; lower is better. On loopback a sender also pays the receiver's TCP work,
alike for all. Latency: from send to receipt. Server, clients: how busy their cores were. A read: packets that a client
got at once. Memory: of an idle connection in a room; the kernel's is for both its ends."""


def ratios(rows: Sequence[Row]) -> dict[tuple[str, str, str], float]:
    """(subject, audience, load) -> its cost in loops; only where both can be believed."""
    limits = {
        (row.audience, row.load): row.result.us_per_delivery for row in rows if row.subject == LIMIT and row.result
    }
    return {
        (row.subject, str(row.audience), str(row.load)): row.result.us_per_delivery / limits[row.audience, row.load]
        for row in rows
        if row.result and (row.audience, row.load) in limits
    }


def text(rows: Sequence[Row], memory: Mapping[tuple[str, Audience], Memory]) -> str:
    """Tables, and how to read them."""
    head = f"{'':<18}" + "".join(f"{title:>9}" for title in COLUMNS)
    lines: list[str] = []
    found = ratios(rows)
    for audience, load in dict.fromkeys((row.audience, row.load) for row in rows):
        lines += ["", f"{audience}, {load}, {load.body_bytes} bytes", head]
        for row in rows:
            if (row.audience, row.load) == (audience, load):
                lines.append(_line(row, found.get((row.subject, str(audience), str(load)))))
    if memory:
        lines += ["", f"{'idle connection':<18}{'':<20}{'process KiB':>12}{'kernel KiB':>12}"]
        for (name, audience), each in memory.items():
            lines.append(f"{NAMES[name]:<18}{audience!s:<20}{each.process_kb:>12.2f}{each.kernel_kb:>12.2f}")
    return "\n".join([*lines[1:], "", READING])


def _line(row: Row, ratio: float | None) -> str:
    found = row.result
    if found is None:
        refusals = [window.refusals for window in row.windows if window.refusals]
        count = f"{len(refusals)} of {len(row.windows)} windows"
        return f"{NAMES[row.subject]:<18}refused: {count}, the last because {'; '.join(refusals[-1])}"
    cells = (
        f"{found.us_per_delivery:.2f}",
        f"{100 * found.spread:.0f}",
        "" if ratio is None else f"{ratio:.2f}",
        *(f"{each:.1f}" for each in (found.p50_ms, found.p99_ms, found.max_ms)),
        f"{found.server_busy:.0%}",
        f"{found.clients_busy:.0%}",
        f"{found.joined:.1f}",
    )
    return f"{NAMES[row.subject]:<18}" + "".join(f"{cell:>9}" for cell in cells)


def values(
    rows: Sequence[Row], memory: Mapping[tuple[str, Audience], Memory], machine: Mapping[str, object]
) -> dict[str, Any]:
    """For JSON: every window, refused or not."""
    found = ratios(rows)
    return {
        "machine": dict(machine),
        "results": [
            {
                "subject": row.subject,
                "transport": row.audience.transport,
                "connections": row.audience.connections,
                "rate": row.load.rate,
                "body_bytes": row.load.body_bytes,
                "result": asdict(row.result) if row.result else None,
                "of_loop": found.get((row.subject, str(row.audience), str(row.load))),
                "windows": [asdict(window) | {"refusals": window.refusals} for window in row.windows],
            }
            for row in rows
        ],
        "memory": [
            {"subject": name, "transport": audience.transport, "connections": audience.connections, **asdict(each)}
            for (name, audience), each in memory.items()
        ],
    }
