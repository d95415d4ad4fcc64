"""imdctl ledger: whether everything that was accepted has come out, or is still there."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click
import msgspec
from twisted.internet.task import deferLater

from imd.ctl.admin_api import AdminApi
from imd.ctl.failure import run
from imd.ledger import OTHERS, Balance, Figures, balances

UNBALANCED = 3  # the exit status
LOOK_SECONDS = 0.5  # between two looks

HEADINGS = ("layer", "counts", "in", "out", "pending", "difference")


@click.command()
@click.option(
    "--admin",
    "admins",
    multiple=True,
    default=("http://127.0.0.1:3190",),
    show_default=True,
    envvar="IMDCTL_ADMIN",
    show_envvar=True,
    metavar="URL",
    help="A process's admin.listen: http://host:port, or unix:path. Give one for each process.",
)
@click.option(
    "--wait",
    "wait_seconds",
    default=10.0,
    show_default=True,
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="Look again until it balances, for as long. 0 = one look.",
)
@click.option(
    "--timeout", default=5.0, show_default=True, metavar="SECONDS", help="How long to wait for each process's answer."
)
@click.option("--json", "as_json", is_flag=True, help="Print the balances as one JSON object.")
def ledger(**options: Any) -> None:
    """Say whether every accepted push is accounted for.

    Adds up what the processes have counted, and prints for each layer what went in, came out and is still there. The
    difference is what nobody accounts for: 0 everywhere, or exit status 3.

    While pushes are on their way the processes are not asked at the same instant, and a job looks at what the broker and the
    timelines have counted every 5 seconds: that is what --wait is for. Name every process that lives. What one that ended
    was alone to know is left out, and said; nothing that it had accepted is: the store counts that itself.

    \b
    imdctl ledger
    imdctl ledger --wait 60 --json
    imdctl ledger --admin http://comet1:3190 --admin http://logic1:3190 --admin http://job1:3190
    """

    async def work(reactor: Any) -> int:
        apis = [
            AdminApi(reactor=reactor, address=each, timeout_seconds=options["timeout"]) for each in options["admins"]
        ]
        ends = reactor.seconds() + options["wait_seconds"]
        while True:
            figures = Figures()
            started = [await api.add_to(figures) for api in apis]
            found = balances(figures)
            balanced = not any(balance.difference for balance in found)
            if balanced or reactor.seconds() >= ends:
                break
            await deferLater(reactor, LOOK_SECONDS)
        starts = dict(zip(options["admins"], started, strict=True))
        words = remarks(found)
        click.echo(as_json(found, starts) if options["as_json"] else "\n".join([as_text(found), *words]))
        if not balanced:
            click.echo(explanation(found, starts), err=True)
        return 0 if balanced else UNBALANCED

    run(work)


def as_text(found: Sequence[Balance]) -> str:
    """A table for people; under each line what its sums are made of."""
    rows = [HEADINGS, *(_row(balance) for balance in found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [_aligned(rows[0], widths)]
    for balance, row in zip(found, rows[1:], strict=True):
        lines.append(_aligned(row, widths))
        if details := _details(balance):
            lines.append(" " * (widths[0] + 2) + details)
    return "\n".join(lines)


def as_json(found: Sequence[Balance], starts: Mapping[str, float]) -> str:
    """For programs; ``in``, ``out`` and ``pending`` by what they are made of."""
    accounts = [
        {
            "layer": balance.layer,
            "counts": balance.unit,
            "in": balance.entered,
            "out": balance.left,
            "pending": balance.pending,
            "unsure": balance.unsure,
            "left_out": balance.left_out,
            "difference": balance.difference,
        }
        for balance in found
    ]
    balanced = not any(balance.difference for balance in found)
    found_all = {"balanced": balanced, "accounts": accounts, "started": starts, "remarks": remarks(found)}
    return msgspec.json.encode(found_all).decode()


def remarks(found: Sequence[Balance]) -> list[str]:
    """What the balances could not include, in words."""
    said = []
    for balance in found:
        if others := balance.entered.get(OTHERS):
            said.append(f"{balance.layer}: {others} {balance.unit} {OTHERS}; only the store has counted them.")
        for name, count in sorted(balance.left_out.items()):
            said.append(f"{balance.layer}: left out {count} {balance.unit} with {name}, which ended or was not asked.")
    return said


def explanation(found: Sequence[Balance], starts: Mapping[str, float]) -> str:
    """Why it may not balance."""
    layers = ", ".join(balance.layer for balance in found if balance.difference)
    lines = [f"Not balanced: {layers}."]
    if any(balance.pending for balance in found):
        lines.append("Some are still under way: when traffic has ended, look again.")
    lines.append("The counters of a process that was not asked are missing. Those that were asked began at:")
    lines += [f"  {_moment(start)}  {admin}" for admin, start in sorted(starts.items(), key=lambda item: item[1])]
    return "\n".join(lines)


def _row(balance: Balance) -> tuple[str, ...]:
    sums = (sum(side.values()) for side in (balance.entered, balance.left, balance.pending))
    return (balance.layer, balance.unit, *map(str, sums), str(balance.difference))


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    words = [text.ljust(width) for text, width in zip(row[:2], widths[:2], strict=True)]
    return "  ".join(words + [text.rjust(width) for text, width in zip(row[2:], widths[2:], strict=True)])


def _details(balance: Balance) -> str:
    """``asked for 12: accepted 10, overloaded 2``; empty when nothing was counted."""
    entered, *others = (
        ", ".join(f"{called} {count}" for called, count in sorted(side.items(), key=lambda item: -item[1]))
        for side in (balance.entered, balance.left, balance.pending)
    )
    unsure = [f"perhaps {balance.unsure} more"] if balance.unsure else []
    outcomes = ", ".join([*filter(None, others), *unsure])
    return f"{entered}: {outcomes}" if entered and outcomes else entered or outcomes


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if seconds else "(it does not say)"
