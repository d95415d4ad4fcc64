"""What was found, as values: tables and plots that text, Markdown, HTML and SVG are made of. Every benchmark ends in one."""

import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from benchmarks import machine

Tone = Literal["limit", "other", "ours", "ours_too"]  # whose a mark is, which gives its colour


class Value(msgspec.Struct, frozen=True):
    """A part of a document."""


class Table(Value, frozen=True):
    """Cells are as they are printed; the first of a row is its name."""

    key: str  # unique in a document; docs/benchmarks.md names tables by it
    title: str
    columns: tuple[str, ...]  # of all cells but the first
    rows: tuple[tuple[str, ...], ...]
    note: str = ""  # how to read it

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns) + 1:
                raise ValueError(f"{self.key}: {row} has not a cell for each of {self.columns}")


class Mark(Value, frozen=True):
    """One line of a plot."""

    label: str
    values: tuple[float, ...]  # as many as the plot has parts
    tone: Tone = "ours"
    aim: float | None = None  # what is wanted; None = nothing is


class Group(Value, frozen=True):
    """Marks that are compared with each other."""

    title: str
    marks: tuple[Mark, ...]


class Plot(Value, frozen=True):
    """``bars``: one value a mark. ``stacked``: parts that add up. ``spans``: rising values, such as percentiles, on a scale
    of powers."""

    key: str  # unique in a document; the name of its SVG file
    title: str
    unit: str
    kind: Literal["bars", "stacked", "spans"]
    groups: tuple[Group, ...]
    parts: tuple[str, ...] = ("",)  # what a mark's values are
    line: tuple[float, str] | None = None  # a value that all marks are compared with, and its name
    note: str = ""  # how to read it


class Refusal(Value, frozen=True):
    """A window that proves nothing, and why."""

    where: str
    reasons: tuple[str, ...]


class Run(Value, frozen=True):
    """How the figures came about."""

    command: str
    began: str  # ISO 8601, UTC
    seconds: float
    machine: dict[str, str | int]


class Document(Value, frozen=True):
    """Of one run, or of several that were joined."""

    runs: tuple[Run, ...]
    tables: tuple[Table, ...]
    plots: tuple[Plot, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    raw: dict[str, Any] = {}  # benchmark -> whatever it measured, for programs


class Stopwatch:
    """Begun when a benchmark begins; makes its :class:`Run`."""

    def __init__(self) -> None:
        self._began = datetime.now(UTC)

    def run(self) -> Run:
        began = self._began.isoformat(timespec="seconds").removesuffix("+00:00") + "Z"
        seconds = round((datetime.now(UTC) - self._began).total_seconds(), 1)
        command = shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]])
        return Run(command, began, seconds, machine.description())


def join(documents: Sequence[Document]) -> Document:
    """One of them all. Of tables and plots with the same key, the last."""
    return Document(
        runs=tuple(run for each in documents for run in each.runs),
        tables=tuple({table.key: table for each in documents for table in each.tables}.values()),
        plots=tuple({plot.key: plot for each in documents for plot in each.plots}.values()),
        refusals=tuple(refusal for each in documents for refusal in each.refusals),
        raw={name: value for each in documents for name, value in each.raw.items()},
    )


def dump(document: Document) -> bytes:
    """As JSON, for people too."""
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


def load(data: bytes) -> Document:
    """The reverse. Raises :class:`msgspec.DecodeError` for anything else."""
    return msgspec.json.decode(data, type=Document)
