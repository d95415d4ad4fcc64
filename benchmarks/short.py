"""``short``: the main figures in under five minutes."""

from pathlib import Path

import click

from benchmarks.case import SUBJECTS, TRANSPORTS, audiences
from benchmarks.fanout import measure
from benchmarks.run import Plan


@click.command("short")
@click.option("--runs", default=1, show_default=True, help="Of everything.")
@click.option("--patience", default=60.0, show_default=True, help="Seconds, in all, to wait for others to go.")
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write every window here.")
def command(runs: int, patience: float, json_path: Path | None) -> None:
    """The main figures, in under five minutes."""
    plan = Plan(
        subjects=SUBJECTS,
        audiences=audiences(TRANSPORTS, (1_000, 10_000)),
        seconds=1.0,
        windows=3,
        runs=runs,
        body_bytes=100,
        merged=20,
        patience_seconds=patience,
    )
    measure(plan, json_path)
