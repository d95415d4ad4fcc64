"""``full``: everything that docs/benchmarks.md shows, but for the million."""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from benchmarks.document import join, load
from benchmarks.fanout import WINDOW_SECONDS
from benchmarks.output import Output, output_options
from benchmarks.progress import Progress

FANOUT = (
    "fanout --transport tcp --transport websocket --transport tls --load paced --load flat --load merged --load broadcast "
    "--body-bytes 10 --body-bytes 100"
)


def steps(*, runs: int, windows: int, seconds: float, patience: float) -> list[list[str]]:
    """What is run, each a command of its own."""
    times = ["--runs", str(runs), "--windows", str(windows), "--seconds", f"{seconds:g}", "--patience", f"{patience:g}"]
    others = [[name, "--windows", str(runs)] for name in ("connect", "members", "routing")]
    return [[*FANOUT.split(), *times], ["stalled", "--runs", str(runs), "--patience", f"{patience:g}"], *others]


@click.command("full")
@click.option("--runs", default=3, show_default=True, help="Of everything.")
@click.option("--windows", default=4, show_default=True, help="Of each case in one run.")
@click.option("--seconds", default=WINDOW_SECONDS, show_default=True, help="Of one window.")
@click.option("--patience", default=300.0, show_default=True, help="Seconds, in each part, to wait for others to go.")
@output_options
def command(
    runs: int, windows: int, seconds: float, patience: float, json: Path | None, html: Path | None, svg: Path | None
) -> None:
    """Everything for the docs: about an hour.

    \b
    python -m benchmarks full --json figures.json
    python -m benchmarks report figures.json --json docs/benchmarks/figures.json --svg docs/benchmarks --page docs/benchmarks.md

    Medians of three runs. A part that fails is left out, and said; then the exit status is 3 too.
    """
    wanted = steps(runs=runs, windows=windows, seconds=seconds, patience=patience)
    with Progress() as say, tempfile.TemporaryDirectory(prefix="imd-bench-") as scratch:
        files = [Path(scratch, f"{number}.json") for number in range(len(wanted))]
        statuses = []
        for words, file in zip(wanted, files, strict=True):
            say(f"{' '.join(words)}")
            statuses.append(run([*words, "--json", str(file)]))
            say(f"{words[0]}: exit status {statuses[-1]}")
        document = join([load(file.read_bytes()) for file in files if file.exists()])
    Output(json, html, svg).publish(document, believable=not any(statuses))


def run(words: Sequence[str]) -> int:
    """One part; what it prints is in its document. Its exit status."""
    command = [sys.executable, "-m", "benchmarks", *words]
    return subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode
