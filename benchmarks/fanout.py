"""``fanout``: what a delivery to many and an idle connection cost."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from benchmarks import figures, machine
from benchmarks.case import EVERY_TRANSPORT, KINDS, SUBJECTS, USUAL, audiences
from benchmarks.compiler import NoCompiler
from benchmarks.document import Stopwatch
from benchmarks.output import Output, output_options
from benchmarks.program import ProgramFailed
from benchmarks.progress import Progress
from benchmarks.pusher import PushFailed
from benchmarks.run import Plan, Runner

MAX_MERGED = 100
WINDOW_SECONDS = 0.6  # the subjects take turns this often

F = TypeVar("F", bound=Callable[..., Any])


def measure(plan: Plan, output: Output) -> None:
    """Print what is found, and write it. Exits with 3 when a result cannot be believed."""
    if len(machine.cores()) < 2:
        raise click.ClickException("two cores are needed: one for the server, one for the clients")
    watch = Stopwatch()
    with Progress() as progress, tempfile.TemporaryDirectory(prefix="imd-bench-") as scratch:
        try:
            runner = Runner(plan=plan, scratch=Path(scratch), say=progress)
            runner.run()
        except (NoCompiler, ProgramFailed, PushFailed) as error:
            raise click.ClickException(str(error)) from None
    rows, memory = runner.findings.rows(plan.wanted), runner.findings.memory()
    believable = all(row.result is not None for row in rows)
    output.publish(figures.document(rows, memory, watch.run()), believable=believable)


def timing_options(*, windows: int, seconds: float) -> Callable[[F], F]:
    """``--runs``, ``--windows``, ``--seconds``, ``--patience``, with these defaults."""
    options = (
        click.option("--runs", default=1, show_default=True, help="Of everything."),
        click.option("--windows", default=windows, show_default=True, help="Of each case in one run."),
        click.option("--seconds", default=seconds, show_default=True, help="Of one window."),
        click.option(
            "--patience",
            default=120.0,
            show_default=True,
            help="Seconds, in all, to wait for others to leave the cores.",
        ),
    )

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


@click.command("fanout")
@click.option(
    "--connections", "-n", multiple=True, type=click.IntRange(min=1), default=(1_000, 10_000), show_default=True
)
@click.option(
    "--transport",
    "transports",
    multiple=True,
    type=click.Choice(EVERY_TRANSPORT),
    default=("tcp", "websocket"),
    show_default=True,
    help="tls: before 2,000 at most, for its clients are in Python.",
)
@click.option("--subject", "subjects", multiple=True, type=click.Choice(SUBJECTS), default=USUAL, show_default=True)
@click.option(
    "--load",
    "kinds",
    multiple=True,
    type=click.Choice(KINDS),
    default=("paced", "flat"),
    show_default=True,
    help="paced: 20 messages a second to 1,000, 5 to 10,000. broadcast: to all, flat out.",
)
@click.option("--body-bytes", multiple=True, type=click.IntRange(min=8, max=4096), default=(100,), show_default=True)
@click.option(
    "--merged",
    type=click.IntRange(min=1, max=MAX_MERGED),
    default=20,
    show_default=True,
    help="Messages a write, of that load.",
)
@timing_options(windows=8, seconds=WINDOW_SECONDS)
@output_options
def command(
    connections: tuple[int, ...],
    transports: tuple[str, ...],
    subjects: tuple[str, ...],
    kinds: tuple[str, ...],
    body_bytes: tuple[int, ...],
    merged: int,
    runs: int,
    windows: int,
    seconds: float,
    patience: float,
    json: Path | None,
    html: Path | None,
    svg: Path | None,
) -> None:
    """A room's messages, broadcasts, and an idle connection.

    \b
    python -m benchmarks fanout -n 1000 --transport tcp --load flat
    python -m benchmarks fanout -n 10000 --load merged --merged 50 --subject loop --subject imd
    python -m benchmarks fanout -n 1000 --transport tcp --transport tls --html figures.html

    Each case is a table: the C loop, transport.write, and imd, before the same clients, under the same load.
    """
    plan = Plan(
        subjects=[each for each in SUBJECTS if each in subjects],
        audiences=audiences([each for each in EVERY_TRANSPORT if each in transports], connections),
        seconds=seconds,
        windows=windows,
        runs=runs,
        kinds=[each for each in KINDS if each in kinds],
        body_bytes=body_bytes,
        merged=merged,
        patience_seconds=patience,
    )
    measure(plan, Output(json, html, svg))
