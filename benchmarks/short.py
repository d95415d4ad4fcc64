"""``short``: the main figures in under five minutes."""

from pathlib import Path

import click

from benchmarks.case import LIMIT, Audience
from benchmarks.fanout import WINDOW_SECONDS, measure
from benchmarks.output import Output, output_options
from benchmarks.run import Plan


@click.command("short")
@click.option("--runs", default=1, show_default=True, help="Of everything.")
@click.option("--patience", default=30.0, show_default=True, help="Seconds, in all, to wait for others to go.")
@output_options
def command(runs: int, patience: float, json: Path | None, html: Path | None, svg: Path | None) -> None:
    """The main figures, in under five minutes.

    \b
    python -m benchmarks
    python -m benchmarks --runs 3 --json figures.json --html figures.html

    A room's messages at a pace, flat out and merged, to 1,000 and 10,000 clients by TCP, and to 1,000 by WebSocket.
    """
    plan = Plan(
        subjects=(LIMIT, "write", "imd", "imd-python"),
        audiences=(Audience("tcp", 1_000), Audience("websocket", 1_000), Audience("tcp", 10_000)),
        seconds=WINDOW_SECONDS,
        windows=6,
        runs=runs,
        kinds=("paced", "flat", "merged"),
        patience_seconds=patience,
    )
    measure(plan, Output(json, html, svg))
