"""imdctl listen: a client that prints what arrives."""

import os
import sys
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec

from imd.client.address import parse_address
from imd.client.client import Client
from imd.client.client_v2 import ClientV2
from imd.client.core import Pushed
from imd.ctl.failure import run
from imd.ctl.listener import Listener
from imd.ctl.place_file import PlaceFile
from imd.ctl.steady_listener import SteadyListener
from imd.errors import ConfigError, PeerUnavailable
from imd.protocol.body import INT32, INT64, Auth
from imd.transport.dial import dial

Show = Callable[[Pushed], None]

INT32_RANGE = click.IntRange(INT32.start, INT32.stop - 1)


@click.command()
@click.option(
    "--room", "rooms", multiple=True, metavar="TYPE://NAME", help="A room to be in; may be repeated. Default: none."
)
@click.option(
    "--keep-place",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Go on where the last run with this file stopped: kept messages that came meanwhile are printed first.",
)
@click.option(
    "--mid", default=0, type=click.IntRange(INT64.start, INT64.stop - 1), help="The member to be. 0 = anonymous."
)
@click.option("--key", default="", help="The connection's key. Default: the server makes one.")
@click.option(
    "--accept",
    "accepts",
    multiple=True,
    default=(1000,),
    show_default=True,
    type=INT32_RANGE,
    help="An operation to take from pushes to the key, the member or all; may be repeated. A room's come anyway.",
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    help="Holds a JWT, for a server in token mode. Else it is taken from IMDCTL_TOKEN.",
)
@click.option(
    "--url",
    default="tcp://127.0.0.1:3101",
    show_default=True,
    envvar="IMDCTL_COMET",
    show_envvar=True,
    help="comet's: tcp://, tls://, ws:// or wss://.",
)
@click.option("--ca-file", type=click.Path(), help="PEM authorities to trust over TLS. Default: the system's.")
@click.option("--count", default=0, type=click.IntRange(0), help="End after as many messages; fewer are a failure.")
@click.option(
    "--timeout", default=0.0, type=click.FloatRange(0), metavar="SECONDS", help="End after as long; 0 = never."
)
@click.option("--json", "as_json", is_flag=True, help="Print each message as a line of JSON.")
def listen(**options: Any) -> None:
    """Connect as a client and print every message that arrives.

    A connection that stood and was lost is made again, at growing intervals. Ctrl-C ends it. Messages go to stdout, what
    happens to the connection to stderr.

    With one room at most it is a goim client and sees what such a client sees. With several, or with --keep-place, it speaks
    version 2: kept messages are numbered, come once and in order, and those of a time without a connection come after it;
    what can no longer be had is said. A run that is killed may print again what came in its last second.

    \b
    imdctl listen --room live://1000
    imdctl listen --room chat://1 --room chat://2 --mid 17 --keep-place 17.json
    imdctl listen --mid 17 --accept 1000 --accept 1001 --json
    imdctl listen --url wss://chat.example.com --token-file me.jwt --room live://1000
    imdctl listen --room live://1000 --count 1 --timeout 10 && echo arrived
    """
    token = _token(options["token_file"])
    try:
        address = parse_address(options["url"])
    except ConfigError as error:
        raise click.UsageError(str(error)) from None

    def show(push: Pushed) -> None:
        try:
            click.echo(as_json(push) if options["as_json"] else as_text(push))
        except BrokenPipeError:  # whoever read our output has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            listeners[0].stop()

    newer = options["keep_place"] is not None or len(options["rooms"]) > 1
    make = _steady_listener if newer else _listener
    listeners: list[Listener | SteadyListener] = []  # the one, once the reactor runs

    async def work(reactor: Any) -> int:
        listeners.append(make(reactor, address.url, token, show, options))
        return await _until_the_end(reactor, listeners[0], options["timeout"])

    run(work)


def _listener(reactor: Any, url: str, token: str, show: Show, options: dict[str, Any]) -> Listener:
    """As goim's clients are."""
    room = "".join(options["rooms"])

    async def connect(on_push: Show) -> Client:
        client = await dial(Client, url, reactor=reactor, ca_file=options["ca_file"], on_push=on_push)
        try:
            await client.authenticate(
                mid=options["mid"],
                key=options["key"],
                room=room,
                platform="imdctl",
                accepts=options["accepts"],
                token=token,
            )
        except PeerUnavailable as error:
            # raw TCP does not say more
            raise PeerUnavailable(f"{url}: {error} before we were let in; are the credentials good?") from None
        except BaseException:
            await client.close()
            raise
        _say(f"connected to {url}" + (f", in {room}" if room else ""))
        return client

    return Listener(clock=reactor, connect=connect, show=show, say=_say, count=options["count"])


def _steady_listener(reactor: Any, url: str, token: str, show: Show, options: dict[str, Any]) -> SteadyListener:
    """Of version 2."""

    async def connect(on_push: Show) -> ClientV2:
        return await dial(ClientV2, url, reactor=reactor, ca_file=options["ca_file"], on_push=on_push)

    file = options["keep_place"]
    return SteadyListener(
        clock=reactor,
        connect=connect,
        url=url,
        auth=Auth(
            mid=options["mid"], key=options["key"], platform="imdctl", accepts=tuple(options["accepts"]), token=token
        ),
        rooms=options["rooms"],
        show=show,
        say=_say,
        file=None if file is None else PlaceFile(file),
        count=options["count"],
    )


async def _until_the_end(reactor: Any, listener: Listener | SteadyListener, timeout_seconds: float) -> int:
    """Run it until it ends by itself, by Ctrl-C or by the timeout; the exit status."""
    began = reactor.seconds()
    reactor.addSystemEventTrigger("before", "shutdown", listener.stop)
    timer = reactor.callLater(timeout_seconds, listener.stop) if timeout_seconds else None
    try:
        await listener.run()
    finally:
        if timer is not None and timer.active():
            timer.cancel()
    lost = f", connection lost {listener.losses} times" if listener.losses else ""
    _say(f"{listener.received} messages in {reactor.seconds() - began:.1f} s{lost}")
    return 0 if listener.complete else 1


def as_text(push: Pushed) -> str:
    """For people: operation and body, in which nothing can command the terminal; of version 2 its place before them."""
    return _place(push) + f"{push.operation} " + _harmless(push.body.decode("utf-8", "backslashreplace"))


def _place(push: Pushed) -> str:
    """``chat://1#5 ``, ``inbox#5 ``; without a number for a live one, nothing for one that is of no room either."""
    header = push.header
    if header is None or not (header.seq or header.timeline):
        return ""
    return (_harmless(header.timeline) or "inbox") + (f"#{header.seq} " if header.seq else " ")


def _harmless(text: str) -> str:
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def as_json(push: Pushed) -> bytes:
    """For programs: ``op`` and ``body``, or ``body_base64`` when the body is no UTF-8. What ``/v1/push`` takes. Of version 2
    the push's header too: ``id``, ``seq``, ``at``, ``timeline``."""
    said: dict[str, Any] = {"op": push.operation}
    try:
        said["body"] = push.body.decode()
    except UnicodeDecodeError:
        said["body_base64"] = b64encode(push.body).decode()
    if push.header is not None:
        header = push.header
        said |= {"id": str(header.id), "seq": header.seq, "at": header.at_ms, "timeline": header.timeline}
    return msgspec.json.encode(said)


def _token(file: Path | None) -> str:
    """The JWT, never from the command line, which every process on the host may read."""
    if file is None:
        return os.environ.get("IMDCTL_TOKEN", "").strip()
    try:
        return file.read_text(encoding="ascii").strip()
    except OSError as error:
        raise click.ClickException(f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise click.ClickException(f"{file}: holds no token") from None


def _say(words: str) -> None:
    click.echo(words, err=True)
