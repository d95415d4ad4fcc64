"""Plots as SVG: of horizontal lines, a mark each, readable in light and dark."""

import math
from collections.abc import Iterator, Sequence
from html import escape

from benchmarks.document import Mark, Plot

WIDTH, LEFT, RIGHT = 760, 190, 64
ROW, TITLE, TOP = 24, 30, 34
LABEL = 56  # of a value, with what is left free around it
STYLE = """
.plot{font:13px system-ui,-apple-system,"Segoe UI",sans-serif;--ink:#1c2733;--soft:#66727f;--grid:#e3e7eb;--limit:#8a95a1;
--other:#d9a441;--ours:#1f78c8;--ours_too:#35a07c;--aim:#c0392b}
.plot text{fill:var(--ink)}.plot .soft{fill:var(--soft);font-size:11.5px}.plot .title{font-weight:600}
.plot .grid{stroke:var(--grid)}.plot .line{stroke:var(--soft);stroke-dasharray:3 3}
.plot .aim{stroke:var(--aim);stroke-width:2.5}.plot .end{text-anchor:end}.plot .middle{text-anchor:middle}
.plot .limit{fill:var(--limit);stroke:var(--limit)}.plot .other{fill:var(--other);stroke:var(--other)}
.plot .ours{fill:var(--ours);stroke:var(--ours)}.plot .ours_too{fill:var(--ours_too);stroke:var(--ours_too)}
.plot rect{stroke:none}.plot .pale{opacity:.4}
@media(prefers-color-scheme:dark){.plot{--ink:#e6ebf0;--soft:#9aa7b4;--grid:#2c353e;--limit:#7d8894;--other:#e0b35c;--ours:#58a6ea;
--ours_too:#5cc39d;--aim:#ff7b6b}}
"""


class Scale:
    """Values to x. Linear from zero, or logarithmic."""

    def __init__(self, largest: float, smallest: float = 0.0) -> None:
        """``smallest`` above zero makes it logarithmic."""
        self._log = smallest > 0
        if self._log:
            self.low = 10 ** math.floor(math.log10(smallest))
            self.high = max(largest, 10 * self.low)
        else:
            self.low, self.high = 0.0, largest or 1.0

    def x(self, value: float) -> float:
        if self._log:
            share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        else:
            share = value / self.high
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def ticks(self) -> list[float]:
        """Round values within it."""
        if self._log:
            powers = range(round(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            return [each for power in powers for step in (1, 2, 5) if (each := step * 10.0**power) <= self.high]
        rough = self.high / 5
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(each * power for each in (1, 2, 5, 10) if each * power >= rough)
        return [step * at for at in range(int(self.high / step) + 1)]


def svg(plot: Plot, *, style: bool = True) -> str:
    """The whole element. Without ``style`` it needs :data:`STYLE` around it."""
    marks = [mark for group in plot.groups for mark in group.marks]
    height = TOP + sum(TITLE + ROW * len(group.marks) for group in plot.groups) + 30
    lines = [
        f'<svg class="plot" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(plot.title)}">'
    ]
    if style:
        lines.append(f"<style>{STYLE}</style>")
    lines.append(f'<text class="title" x="0" y="16">{escape(plot.title)}</text>')
    lines += _legend(plot, marks)
    if marks:
        scale = _scale(plot, marks)
        lines += _grid(plot, scale, height - 30)
        lines += _groups(plot, scale)
    return "\n".join([*lines, "</svg>"])


def _scale(plot: Plot, marks: Sequence[Mark]) -> Scale:
    aims = [mark.aim for mark in marks if mark.aim is not None]
    shown = [value for mark in marks for value in mark.values] + aims
    if plot.kind == "spans":
        return Scale(1.1 * max(shown), max(1e-3, min(shown)))
    largest = max([sum(mark.values) if plot.kind == "stacked" else max(mark.values) for mark in marks] + aims)
    return Scale(1.05 * max(largest, plot.line[0] if plot.line else 0.0))


def _legend(plot: Plot, marks: Sequence[Mark]) -> Iterator[str]:
    words = [plot.unit]
    if plot.kind == "spans":
        words.append(" – ".join(plot.parts))
    elif plot.kind == "stacked":
        words.append(f"full colour: {plot.parts[0]}, pale: {', '.join(plot.parts[1:])}")
    if any(mark.aim is not None for mark in marks):
        words.append("red tick: what is wanted, at most")
    yield f'<text class="soft" x="0" y="33">{escape("; ".join(words))}</text>'


def _grid(plot: Plot, scale: Scale, bottom: int) -> Iterator[str]:
    for tick in scale.ticks():
        x = f"{scale.x(tick):.1f}"
        yield f'<line class="grid" x1="{x}" x2="{x}" y1="{TOP + 8}" y2="{bottom}"/>'
        yield f'<text class="soft middle" x="{x}" y="{bottom + 16}">{tick:g}</text>'
    if plot.line is not None:
        value, name = plot.line
        x = f"{scale.x(value):.1f}"
        yield f'<line class="line" x1="{x}" x2="{x}" y1="{TOP + 8}" y2="{bottom}"/>'
        yield f'<text class="soft" x="{float(x) + 4:.1f}" y="{bottom + 28}">{escape(name)}</text>'


def _groups(plot: Plot, scale: Scale) -> Iterator[str]:
    y = TOP
    for group in plot.groups:
        yield f'<text class="title" x="0" y="{y + 22}">{escape(group.title)}</text>'
        y += TITLE
        for mark in group.marks:
            yield f"<g><title>{escape(_said(plot, mark))}</title>"
            yield f'<text class="end" x="{LEFT - 10}" y="{y + 16}">{escape(mark.label)}</text>'
            yield from _span(mark, scale, y) if plot.kind == "spans" else _bar(mark, scale, y)
            if mark.aim is not None:
                x = f"{scale.x(mark.aim):.1f}"
                yield f'<line class="aim" x1="{x}" x2="{x}" y1="{y + 1}" y2="{y + ROW - 1}"/>'
            yield "</g>"
            y += ROW


def _bar(mark: Mark, scale: Scale, y: int) -> Iterator[str]:
    total = 0.0
    for at, value in enumerate(mark.values):
        x, end = scale.x(total), scale.x(total + max(value, 0.0))
        pale = " pale" if at else ""
        place = f'x="{x:.1f}" y="{y + 4}" width="{max(end - x, 0.5):.1f}" height="{ROW - 8}"'
        yield f'<rect class="{mark.tone}{pale}" {place} rx="2"/>'
        total += max(value, 0.0)
    said = " + ".join(map(_short, mark.values))
    yield f'<text class="soft" x="{_beyond(scale.x(total), mark, scale):.1f}" y="{y + 16}">{said}</text>'


def _span(mark: Mark, scale: Scale, y: int) -> Iterator[str]:
    """Thick from the first value to the last but one, thin to the last."""
    xs = [scale.x(value) for value in mark.values]
    middle = y + ROW / 2
    yield f'<rect class="{mark.tone} pale" x="{xs[0]:.1f}" y="{middle - 1}" width="{xs[-1] - xs[0]:.1f}" height="2"/>'
    yield f'<rect class="{mark.tone}" x="{xs[0]:.1f}" y="{middle - 4}" width="{max(xs[-2] - xs[0], 1):.1f}" height="8" rx="4"/>'
    yield f'<circle class="{mark.tone} pale" cx="{xs[-1]:.1f}" cy="{middle}" r="3"/>'
    yield f'<text class="soft" x="{_beyond(xs[-1] + 2, mark, scale):.1f}" y="{y + 16}">{_short(mark.values[-2])}</text>'


def _beyond(end: float, mark: Mark, scale: Scale) -> float:
    """Where the value stands: behind the mark, and not on its aim."""
    aim = scale.x(mark.aim) if mark.aim is not None else 0.0
    return (aim if end - 2 < aim < end + LABEL else end) + 6


def _said(plot: Plot, mark: Mark) -> str:
    values = ", ".join(f"{part} {_short(value)}".strip() for part, value in zip(plot.parts, mark.values, strict=True))
    aim = "" if mark.aim is None else f"; wanted: {_short(mark.aim)}"
    return f"{mark.label}: {values} {plot.unit}{aim}"


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
