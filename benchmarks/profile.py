"""``python -m benchmarks profile``: where the time of a push to a member goes, by process and room of the house: a picture."""

import json as jsonlib
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import click

from benchmarks import compiler, machine
from benchmarks.back_end import NotAccepted
from benchmarks.cluster import Cluster
from benchmarks.document import Document, Refusal, Stopwatch, Table
from benchmarks.members import GOALS, WARM_SECONDS, Case, Members, Window
from benchmarks.output import Output, output_options
from benchmarks.program import ProgramFailed
from benchmarks.progress import Progress
from benchmarks.sampled import SIGNAL

PROCESSES = ("logic", "redis", "job", "comet")  # as a push meets them
SAMPLE_SECONDS = 10.0  # that a process may take to say what it has seen
KERNEL, ZMQ, REDIS = "kernel", "zmq", "Redis"
# Where the time goes, in the order of the picture, with the colour of each.
COLOURS = {
    "transport": "#3b7dd8",
    "logic": "#7a5cc9",
    "job": "#b0549f",
    "comet": "#d9534f",
    "protocol": "#e3954b",
    "backend": "#b8982a",
    "other imd": "#b9a98c",
    "txredisapi": "#7fb069",
    "twisted": "#3f9c86",
    ZMQ: "#46b3c4",
    REDIS: "#a8443c",
    "other": "#a7b1bc",
    KERNEL: "#6b7785",
}
READING = """\
CPU time for one push, µs. The kernel's share is what it accounts as system time: sockets above all, and on loopback the
receiver's TCP work too. The rest is user time, by where Python was when a timer of user time went off; what C does for a room,
such as decoding, counts as that room's, ZeroMQ's own threads as zmq."""

Costs = dict[str, dict[str, float]]  # process -> room -> µs


@dataclass(frozen=True, slots=True)
class Spent:
    """CPU seconds of a process so far."""

    main: float  # user time of the thread that Python runs in
    zmq: float  # and of ZeroMQ's
    others: float  # and of all the rest
    kernel: float  # system time of all


def spent(pid: int) -> Spent:
    """As the kernel accounts it, in ticks."""
    main = zmq = others = kernel = 0.0
    for task in (machine.PROC / str(pid) / "task").iterdir():
        name, _, rest = (task / "stat").read_text().partition("(")[2].rpartition(")")
        user, system = (int(word) / machine.TICKS for word in rest.split()[11:13])
        kernel += system
        if int(task.name) == pid:
            main += user
        elif name.startswith("ZMQ"):
            zmq += user
        else:
            others += user
    return Spent(main, zmq, others, kernel)


def share(
    before: Spent, after: Spent, samples: Mapping[str, int], pushes: int, *, main: str = "other"
) -> dict[str, float]:
    """µs for one push, by room. ``main``: whose Python's thread is where there are no samples."""
    found = {room: (after.main - before.main) * count / sum(samples.values()) for room, count in samples.items()}
    if not samples:
        found[main] = after.main - before.main
    found[ZMQ] = found.get(ZMQ, 0.0) + after.zmq - before.zmq
    found["other"] = found.get("other", 0.0) + found.pop("kazoo", 0.0) + after.others - before.others
    found[KERNEL] = after.kernel - before.kernel
    return {room: 1e6 * seconds / pushes for room in COLOURS if (seconds := found.get(room, 0.0)) > 0}


class Watched:
    """A cluster whose roles say where their Python was."""

    def __init__(self, cluster: Cluster, scratch: Path) -> None:
        self._cluster = cluster
        self._scratch = scratch
        self._sampled = [name for name in PROCESSES if name != "redis"]
        self._before: dict[str, Spent] = {}

    def begin(self) -> None:
        self._toggle()
        self._before = self._spent()

    def end(self, pushes: int) -> Costs:
        """Of what was pushed since it began. Raises :class:`ProgramFailed`."""
        after = self._spent()
        self._toggle()
        found: Costs = {}
        for name in PROCESSES:
            samples = self._samples(name) if name in self._sampled else {}
            found[name] = share(self._before[name], after[name], samples, pushes, main=REDIS)
        return found

    def _spent(self) -> dict[str, Spent]:
        return {name: spent(self._cluster.daemons[name].pid) for name in PROCESSES}

    def _toggle(self) -> None:
        for name in self._sampled:
            os.kill(self._cluster.daemons[name].pid, SIGNAL)

    def _samples(self, name: str) -> dict[str, int]:
        path = self._scratch / f"{name}.samples"
        ends = time.monotonic() + SAMPLE_SECONDS
        while not path.exists():
            if time.monotonic() > ends:
                raise ProgramFailed(f"{name} does not say where its time went")
            time.sleep(0.05)
        samples: dict[str, int] = jsonlib.loads(path.read_text())
        return samples


# --- the picture -----------------------------------------------------------------------------------------------------------

WIDTH, LEFT, RIGHT, ROW, TOP = 860, 84, 84, 58, 96
STYLE = """
text{font:13px system-ui,-apple-system,"Segoe UI",sans-serif;fill:#1c2733}.soft{fill:#66727f;font-size:12px}
.title{font-size:17px;font-weight:600}.name{font-weight:600;text-anchor:end}.in{fill:#fff;font-size:12px;text-anchor:middle}
.paper{fill:#fff}@media(prefers-color-scheme:dark){text{fill:#e6ebf0}.soft{fill:#9aa7b4}.paper{fill:#14191f}.in{fill:#fff}}
"""


def picture(costs: Costs, title: str) -> str:
    """One SVG that needs nothing else: a bar a process, a colour a room."""
    largest = max(sum(rooms.values()) for rooms in costs.values())
    scale = (WIDTH - LEFT - RIGHT) / largest
    rooms = [room for room in COLOURS if any(room in each for each in costs.values())]
    legend_rows = -(-len(rooms) // 5)
    height = TOP + ROW * len(costs) + 34 + 24 * legend_rows
    total = sum(sum(each.values()) for each in costs.values())
    kernel = sum(each.get(KERNEL, 0.0) for each in costs.values())
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">',
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{height}" rx="8"/>',
        f'<text class="title" x="24" y="36">{escape(title)}</text>',
        f'<text class="soft" x="24" y="60">{total:.0f} µs of CPU time for one push from HTTP to the socket, '
        f"of which the kernel has {kernel:.0f}</text>",
    ]
    for number, (process, of_process) in enumerate(costs.items()):
        lines += _bar(process, of_process, TOP + ROW * number, scale)
    y = TOP + ROW * len(costs) + 22
    for number, room in enumerate(rooms):
        x, at = 24 + 164 * (number % 5), y + 24 * (number // 5)
        lines.append(f'<rect x="{x}" y="{at - 11}" width="14" height="14" rx="3" fill="{COLOURS[room]}"/>')
        lines.append(f'<text class="soft" x="{x + 21}" y="{at}">{escape(room)}</text>')
    return "\n".join([*lines, "</svg>", ""])


def _bar(process: str, rooms: Mapping[str, float], y: int, scale: float) -> list[str]:
    lines = [f'<text class="name" x="{LEFT - 12}" y="{y + 25}">{escape(process)}</text>']
    x = float(LEFT)
    for room in COLOURS:
        if room not in rooms:
            continue
        width = rooms[room] * scale
        said = f"{process}, {room}: {rooms[room]:.1f} µs"
        lines.append(
            f'<rect x="{x:.1f}" y="{y}" width="{max(width - 1, 0.5):.1f}" height="40" rx="2" fill="{COLOURS[room]}">'
            f"<title>{escape(said)}</title></rect>"
        )
        if width > 34:
            words = f"{room} {rooms[room]:.1f}" if width > 9 * len(room) + 30 else f"{rooms[room]:.1f}"
            lines.append(f'<text class="in" x="{x + width / 2:.1f}" y="{y + 25}">{escape(words)}</text>')
        x += width
    lines.append(f'<text x="{x + 8:.1f}" y="{y + 25}">{sum(rooms.values()):.1f} µs</text>')
    return lines


def table(costs: Costs, title: str) -> Table:
    """A line a room, a column a process."""
    rooms = [room for room in COLOURS if any(room in each for each in costs.values())]
    rows = [(room, *(f"{each[room]:.1f}" if room in each else "" for each in costs.values())) for room in rooms]
    rows.append(("together", *(f"{sum(each.values()):.1f}" for each in costs.values())))
    return Table("profile", title, tuple(costs), tuple(rows), READING)


@click.command("profile")
@click.option("--connections", "-n", type=click.IntRange(min=100), default=1_000, show_default=True)
@click.option("--together", type=click.IntRange(1, 1000), default=100, show_default=True, help="Pushes a request.")
@click.option("--rate", type=float, help="Pushes a second, 0 is flat out; by default half of what is wanted.")
@click.option("--live", is_flag=True, help='With "keep": false.')
@click.option("--seconds", default=10.0, show_default=True)
@click.option(
    "--picture", "path", type=click.Path(dir_okay=False, path_type=Path), help="Write the picture here, an SVG."
)
@output_options
def command(
    connections: int,
    together: int,
    rate: float | None,
    live: bool,
    seconds: float,
    path: Path | None,
    json: Path | None,
    html: Path | None,
    svg: Path | None,
) -> None:
    """Where the time of a push to a member goes, as a picture.

    \b
    python -m benchmarks profile --picture profile.svg
    python -m benchmarks profile --together 1 --live --rate 0

    As members does; meanwhile logic, job and comet say where their Python is, and the kernel how much it had.
    """
    watch = Stopwatch()
    case = Case(together, not live, GOALS.get(together, 0) / 2 if rate is None else rate)
    with Progress() as say, tempfile.TemporaryDirectory(prefix="imd-bench-") as scratch:
        try:
            members = Members(scratch=Path(scratch), connections=connections, body_bytes=100, sampled=True)
            try:
                members.window(Case(together, case.keep, 0), WARM_SECONDS, lambda _: None)
                watched = Watched(members.cluster, Path(scratch))
                watched.begin()
                window = members.window(case, seconds, say)
                costs = watched.end(window.pushed.pushes)
            finally:
                members.end()
        except (compiler.NoCompiler, ProgramFailed, NotAccepted) as error:
            raise click.ClickException(str(error)) from None
    _publish(costs, window, path, Output(json, html, svg), watch)


def _publish(costs: Costs, window: Window, path: Path | None, output: Output, watch: Stopwatch) -> None:
    title = f"Where the time of a push to a member goes ({window.case})"
    if path is not None:
        path.write_text(picture(costs, title))
    refusals: Sequence[Refusal] = [Refusal(title, tuple(window.refusals))] if window.refusals else []
    document = Document((watch.run(),), (table(costs, title),), refusals=tuple(refusals), raw={"profile": costs})
    output.publish(document, believable=not refusals)
