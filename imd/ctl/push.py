"""imdctl push: what a back end does, from a terminal."""

import os
import re
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import msgspec

from imd.ctl.failure import run
from imd.ctl.push_api import PushApi
from imd.errors import BadRequest
from imd.logic.push_request import PushRequest, To

KEY_VARIABLE = "IMDCTL_PUSH_KEY"  # not IMD_PUSH_KEY: IMD_<SECTION>_<KEY> is a setting of the daemon


def _url(context: click.Context, option: click.Parameter, value: str) -> str:
    """Refuse what is no URL of a server."""
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and not parts.query
    except ValueError:
        good = False
    if not good:
        raise click.BadParameter(f"{value} is not like http://127.0.0.1:3111 or https://push.example.com")
    return value


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
    "--url",
    default="http://127.0.0.1:3111",
    show_default=True,
    envvar="IMDCTL_URL",
    callback=_url,
    show_envvar=True,
    help="logic's.",
)
@click.option(
    "--key-file", type=click.Path(path_type=Path), help=f"Holds the push key. Else it is taken from {KEY_VARIABLE}."
)
@click.option("--ca-file", type=click.Path(), help="PEM authorities to trust for an https URL. Default: the system's.")
@click.option("--timeout", default=10.0, show_default=True, metavar="SECONDS", help="How long to wait for the answer.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
def push(**options: Any) -> None:
    """Push BODY to rooms, members, keys or everybody. BODY - is read from stdin, any bytes.

    Done means that the broker has it: its id and whether it was accepted or repeated are printed. The --to options may be
    repeated and mixed.

    \b
    imdctl push --to-room live://1000 "hello"
    imdctl push --to-mid 17 --to-mid 18 --op 1001 '{"unread": 3}'
    imdctl push --to-all --speed 5000 --idempotency-key news-42 - < news.json
    IMDCTL_PUSH_KEY=imd_... imdctl push --url https://push.example.com --to-key 5f1c "hello"
    """
    request = _request(options)
    key = _key(options["key_file"])

    async def work(reactor: Any) -> int:
        api = PushApi(
            reactor=reactor,
            url=options["url"],
            key=key,
            timeout_seconds=options["timeout"],
            ca_file=options["ca_file"],
        )
        result = await api.push(request)
        click.echo(msgspec.json.encode(result) if options["as_json"] else f"{result.result.value} {result.id}")
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
    )
    try:
        request = msgspec.json.decode(msgspec.json.encode(request), type=PushRequest)
        request.order()
    except (msgspec.ValidationError, BadRequest) as error:
        raise click.UsageError(str(error)) from None
    return request


def _key(file: Path | None) -> str:
    """The push key, never from the command line, which every process on the host may read."""
    if file is None:
        key = os.environ.get(KEY_VARIABLE, "")
        return _checked(key, KEY_VARIABLE) if key else ""
    try:
        return _checked(file.read_text(encoding="utf-8"), str(file))
    except OSError as error:
        raise click.ClickException(f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise click.ClickException(f"{file}: holds no push key") from None


def _checked(text: str, source: str) -> str:
    """The key without what surrounds it; it goes into a header, so it is one word of ASCII."""
    key = text.strip()
    if not re.fullmatch(r"[!-~]+", key):
        raise click.ClickException(f"{source}: holds no push key")
    return key
