"""imdctl trace: the way of one push, hop by hop, and what became of it on each device."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import click
import msgspec
from twisted.internet.task import deferLater

from imd.ctl.failure import run
from imd.ctl.logic_options import logic_options, push_api, push_key
from imd.ctl.push_api import PushApi
from imd.errors import NotFound
from imd.logic.fate import DeviceFate, Fate, HopTold, State

UNSETTLED = 3  # the exit status
LOOK_SECONDS = 0.5  # between two looks

# what nothing comes after
SETTLED = (State.ACKED, State.EXPIRED, State.DROPPED)


@click.command()
@click.argument("id", type=click.IntRange(0, 2**63 - 1))
@click.option("--follow", is_flag=True, help="Print hops as they come, until every device has said that it has it.")
@click.option(
    "--wait",
    "wait_seconds",
    default=30.0,
    show_default=True,
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="With --follow: for as long at most.",
)
@logic_options
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON object, as HTTP has it.")
def trace(**options: Any) -> None:
    """Say what became of push ID, on each device.

    Prints its hops, each with its time and the span since the one before, then the devices. Of a push that was traced: imdctl
    push --trace, "trace": true in /v1/push, a sampled traceparent header, or one of the share in trace.share. Times are by the
    clocks of the processes that print them. The push key needs the scope read.

    Exit status with --follow: 0 when every device has acked the push, or it expired or was dropped for it, or was live and
    written; 3 when some had not done so in time.

    \b
    imdctl trace 249833447235780608
    imdctl trace 249833447235780608 --follow --wait 5
    imdctl trace 249833447235780608 --json
    """
    key = push_key(options["key_file"])

    async def work(reactor: Any) -> int:
        api = push_api(reactor, options, key)
        if not options["follow"]:
            fate = await api.fate(options["id"])
            _print(fate, options["as_json"])
            return 0
        return await _follow(reactor, api, options)

    run(work)


async def _follow(reactor: Any, api: PushApi, options: dict[str, Any]) -> int:
    """Look again and again. A push that has just been accepted may have no trace yet: that is waited for too."""
    ends = reactor.seconds() + options["wait_seconds"]
    printed: list[HopTold] = []
    while True:
        last = reactor.seconds() >= ends
        try:
            fate: Fate | None = await api.fate(options["id"])
        except NotFound:
            if last:
                raise
            fate = None
        if fate is not None:
            settled = _settled(fate)
            if not options["as_json"]:
                printed = _print_more(fate, printed)
            if settled or last:
                _print(fate, as_json=True) if options["as_json"] else _print_devices(fate)
                return 0 if settled else UNSETTLED
        await deferLater(reactor, min(LOOK_SECONDS, max(0.0, ends - reactor.seconds())))


def _settled(fate: Fate) -> bool:
    """Whether there is nothing to wait for: a live push ends when it is written."""
    return bool(fate.devices) and all(
        device.state in SETTLED or (device.state is State.WRITTEN and not device.timeline) for device in fate.devices
    )


def _print(fate: Fate, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(fate))
        return
    _print_more(fate, [])
    _print_devices(fate)


def _print_more(fate: Fate, printed: Sequence[HopTold]) -> list[HopTold]:
    """The hops that are new, below those that were printed; answers all. One that is noted late stands late."""
    if not printed:
        trace_id = f", trace {fate.traceparent[3:35]}" if fate.traceparent else ""
        click.echo(f"push {fate.id}, accepted {_date(fate.accepted_at)}{trace_id}")
    new = list(fate.hops)
    for hop in printed:
        if hop in new:
            new.remove(hop)
    before = printed[-1].at if printed else None
    for hop in new:
        click.echo(_hop_line(hop, before))
        before = hop.at
    return [*printed, *new]


def _hop_line(hop: HopTold, before: int | None) -> str:
    """``09:48:55.503  +1 ms  kept  job/j1  m:7 #1  member 7  not_connected``"""
    span = "" if before is None else f"{hop.at - before:+d} ms"
    where = f"{hop.timeline} #{hop.seq}" if hop.timeline and hop.seq else hop.timeline
    rest = "  ".join(part for part in (where, _whose(hop) if hop.device else "", hop.reason) if part)
    return f"  {_time(hop.at)} {span:>10}  {hop.step.value:<8}  {hop.process:<16}  {rest}".rstrip()


def _print_devices(fate: Fate) -> None:
    if not fate.devices:
        click.echo("no device is known: nobody was there, or nothing has been noted yet")
        return
    click.echo("devices")
    for line in _device_lines(fate):
        click.echo(line)


def _device_lines(fate: Fate) -> Iterator[str]:
    for device in fate.devices:
        span = f"after {device.at - fate.accepted_at} ms" if device.at and fate.accepted_at else ""
        rest = "  ".join(part for part in (device.timeline, span, device.reason) if part)
        yield f"  {_whose(device):<28}  {device.state.value:<8}  {rest}".rstrip()


def _whose(named: HopTold | DeviceFate) -> str:
    """``member 17, phone``; an anonymous client has no member, and a member may have had no device."""
    member = f"member {named.mid}" if named.mid else "anonymous"
    return f"{member}, {named.device}" if named.device else f"{member}, no device yet"


def _date(at_ms: int) -> str:
    if not at_ms:
        return "at an unknown time"
    return f"{datetime.fromtimestamp(at_ms // 1000, UTC):%Y-%m-%d} {_time(at_ms)} UTC"


def _time(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms // 1000, UTC):%H:%M:%S}.{at_ms % 1000:03d}"
