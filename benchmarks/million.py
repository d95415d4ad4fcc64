"""``million``: as many connections as this machine holds, all in one room, and pushes that reach every one of them."""

import signal
import tempfile
from pathlib import Path
from typing import Any

import click

from benchmarks.capacity import CONNECTION_KB, Demand, host
from benchmarks.case import Transport
from benchmarks.compiler import NoCompiler
from benchmarks.document import Stopwatch
from benchmarks.million_report import document
from benchmarks.million_run import NotAccepted, Run
from benchmarks.output import Output, output_options
from benchmarks.program import ProgramFailed
from benchmarks.progress import Progress


class Connections(click.ParamType[int | None]):
    """A number, or ``auto``: None, as many as fit."""

    name = "number or auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        if value == "auto":
            return None
        if not str(value).isdecimal():
            self.fail(f"{value!r} is neither a number nor auto", param, ctx)
        return int(click.IntRange(min=1).convert(value, param, ctx))


def chosen(connections: int | None, per_process: int, transport: Transport) -> Demand:
    """What is asked for, or as many as fit. Raises :class:`click.ClickException` when this machine cannot hold them."""
    here = host()
    most = here.most(per_process, transport)
    demand = Demand(connections or most, per_process, transport)
    refusals = (
        here.refusals(demand) if demand.connections else ["not a single connection fits; --connections 1 says why"]
    )
    if refusals:
        fits = f"{most:,} connections fit: --connections {most}" if most else "none fit"
        raise click.ClickException("\n  ".join(["this machine cannot hold them:", *refusals, fits]))
    return demand


def _stop(number: int, frame: object) -> None:
    """SIGTERM, and Ctrl-C also where the shell had it ignored: nothing is left behind."""
    raise KeyboardInterrupt


@click.command("million")
@click.option(
    "--connections", "-n", type=Connections(), default="1000000", show_default=True, help="auto: as many as fit."
)
@click.option(
    "--per-process",
    type=click.IntRange(min=1),
    default=19_000,
    show_default=True,
    help="Connections a comet has on average, and a process of clients at most: below the hard file limit.",
)
@click.option("--transport", type=click.Choice(tuple(CONNECTION_KB)), default="tcp", show_default=True)
@click.option(
    "--idle-seconds",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    help="Between connecting and the pushes.",
)
@click.option(
    "--heartbeat-seconds", type=click.IntRange(min=1), default=240, show_default=True, help="Between two of a client."
)
@click.option("--handshakes", type=click.IntRange(min=1), default=2048, show_default=True, help="Under way at a time.")
@output_options
def command(
    connections: int | None,
    per_process: int,
    transport: Transport,
    idle_seconds: float,
    heartbeat_seconds: int,
    handshakes: int,
    json: Path | None,
    html: Path | None,
    svg: Path | None,
) -> None:
    """A million connections, and pushes to all of them.

    \b
    Real processes: one imd-logic, one imd-job, Redis, ZooKeeper, and behind one port as many imd-comet as the hard file
    limit demands; as many processes of clients. Every client counts: a push that one of them did not get exactly once
    fails the run (exit status 3). What the machine cannot hold is refused before anything starts.
    """
    watch, demand = Stopwatch(), chosen(connections, per_process, transport)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    with Progress() as progress, tempfile.TemporaryDirectory(prefix="imd-bench-") as scratch:
        try:
            run = Run(
                demand=demand,
                idle_seconds=idle_seconds,
                heartbeat_seconds=heartbeat_seconds,
                handshakes=handshakes,
                scratch=Path(scratch),
                say=progress,
            )
            findings = run.run()
        except (NoCompiler, ProgramFailed, NotAccepted) as error:
            raise click.ClickException(str(error)) from None
    Output(json, html, svg).publish(document(findings, watch.run()), believable=not findings.refusals)
