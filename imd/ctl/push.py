"""imdctl push: what a back end does, from a terminal."""

import os
import sys
from base64 import b64encode
from typing import Any

import click
import msgspec

from imd.ctl.failure import run
from imd.ctl.logic_options import logic_options, push_api, push_key
from imd.errors import BadRequest
from imd.logic.push_request import PushRequest, To


@click.command()
@click.argument("body")
@click.option("--to-room", "rooms", multiple=True, metavar="TYPE://NAME", help="Everybody in the room.")
@click.option("--to-mid", "mids", multiple=True, type=int, metavar="MID", help="Every connection of the member.")
@click.option("--to-key", "keys", multiple=True, metavar="KEY", help="One connection.")
@click.option("--to-all", is_flag=True, help="Every connection there is.")
@click.option("--op", default=1000, show_default=True, help="The operation that clients see.")
@click.option("--speed", default=0, help="With --to-all: connections a second; 0 = at once.")
@click.option(
    "--idempotency-key", default="", metavar="TEXT", help="The same push again with the same key is stored once."
)
@click.option(
    "--keep/--live",
    "keep",
    default=None,
    help="Kept for who is away, or for who is connected now alone. Default: as the target's timelines are configured.",
)
@click.option("--trace", is_flag=True, help="Record what becomes of it: imdctl trace ID shows it.")
@logic_options
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
def push(**options: Any) -> None:
    """Push BODY to rooms, members, keys or everybody. BODY - is read from stdin, any bytes.

    Done means that the broker has it: its id and whether it was accepted or repeated are printed. The --to options may be
    repeated and mixed.

    \b
    imdctl push --to-room live://1000 "hello"
    imdctl push --to-mid 17 --to-mid 18 --op 1001 '{"unread": 3}'
    imdctl push --to-mid 17 --trace "did it arrive?"
    imdctl push --to-all --speed 5000 --idempotency-key news-42 - < news.json
    IMDCTL_PUSH_KEY=imd_... imdctl push --url https://push.example.com --to-key 5f1c "hello"
    """
    request = _request(options)
    key = push_key(options["key_file"])

    async def work(reactor: Any) -> int:
        result = await push_api(reactor, options, key).push(request)
        click.echo(msgspec.json.encode(result) if options["as_json"] else f"{result.result.value} {result.id}")
        if options["trace"] and not options["as_json"]:
            click.echo(f"see what becomes of it: imdctl trace {result.id}", err=True)
        return 0

    run(work)


def _request(options: dict[str, Any]) -> PushRequest:
    """What the command line asks for, checked as logic will check it."""
    to = To(keys=options["keys"], mids=options["mids"], rooms=options["rooms"], all=options["to_all"])
    if to == To():
        raise click.UsageError("To whom? Give --to-room, --to-mid, --to-key or --to-all.")
    body = sys.stdin.buffer.read() if options["body"] == "-" else os.fsencode(options["body"])
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = None
    request = PushRequest(
        to=to,
        op=options["op"],
        body=text,
        body_base64=b64encode(body).decode() if text is None else None,
        idempotency_key=options["idempotency_key"],
        speed=options["speed"],
        keep=options["keep"],
        trace=options["trace"],
    )
    try:
        request = msgspec.json.decode(msgspec.json.encode(request), type=PushRequest)
        request.order()
    except (msgspec.ValidationError, BadRequest) as error:
        raise click.UsageError(str(error)) from None
    return request
