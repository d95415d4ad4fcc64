"""``fanout``: what a delivery to a room and an idle connection cost."""

import json
import sys
import tempfile
from pathlib import Path

import click

from benchmarks import machine, report
from benchmarks.case import SUBJECTS, TRANSPORTS, audiences
from benchmarks.compiler import NoCompiler
from benchmarks.program import ProgramFailed
from benchmarks.progress import Progress
from benchmarks.pusher import PushFailed
from benchmarks.run import Plan, Runner


def measure(plan: Plan, json_path: Path | None) -> None:
    """Print what is found, and write it. Exits with 3 when a result cannot be believed."""
    if len(machine.cores()) < 2:
        raise click.ClickException("two cores are needed: one for the server, one for the clients")
    with Progress() as progress, tempfile.TemporaryDirectory(prefix="imd-bench-") as scratch:
        try:
            runner = Runner(plan=plan, scratch=Path(scratch), say=progress)
            runner.run()
        except (NoCompiler, ProgramFailed, PushFailed) as error:
            raise click.ClickException(str(error)) from None
    rows, memory = runner.findings.rows(plan.windows * plan.runs), runner.findings.memory()
    print(report.text(rows, memory))
    if json_path is not None:
        json_path.write_text(json.dumps(report.values(rows, memory, machine.description()), indent=1) + "\n")
    if any(row.result is None for row in rows):
        sys.exit(3)


@click.command("fanout")
@click.option(
    "--connections", "-n", multiple=True, type=click.IntRange(min=1), default=(1_000, 10_000), show_default=True
)
@click.option(
    "--transport", "transports", multiple=True, type=click.Choice(TRANSPORTS), default=TRANSPORTS, show_default=True
)
@click.option("--subject", "subjects", multiple=True, type=click.Choice(SUBJECTS), default=SUBJECTS, show_default=True)
@click.option("--seconds", default=2.0, show_default=True, help="Of one window.")
@click.option("--windows", default=3, show_default=True, help="Of each case in one run.")
@click.option(
    "--patience", default=120.0, show_default=True, help="Seconds, in all, to wait for others to leave the cores."
)
@click.option("--runs", default=1, show_default=True, help="Of everything.")
@click.option("--body-bytes", type=click.IntRange(min=8, max=4096), default=100, show_default=True)
@click.option(
    "--merged",
    type=click.IntRange(min=1, max=100),
    default=1,
    show_default=True,
    help="Flat out with merging too: messages a write.",
)
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write every window here.")
def command(
    connections: tuple[int, ...],
    transports: tuple[str, ...],
    subjects: tuple[str, ...],
    seconds: float,
    windows: int,
    runs: int,
    patience: float,
    body_bytes: int,
    merged: int,
    json_path: Path | None,
) -> None:
    """A room's messages, and an idle connection."""
    chosen = [each for each in TRANSPORTS if each in transports]
    plan = Plan(
        subjects=subjects,
        audiences=audiences(chosen, connections),
        seconds=seconds,
        windows=windows,
        runs=runs,
        body_bytes=body_bytes,
        merged=merged,
        patience_seconds=patience,
    )
    measure(plan, json_path)
