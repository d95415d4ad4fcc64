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
from imd.client.core import Pushed
from imd.ctl.failure import run
from imd.ctl.listener import Listener
from imd.errors import ConfigError, PeerUnavailable
from imd.protocol.body import INT32, INT64
from imd.transport.dial import dial

INT32_RANGE = click.IntRange(INT32.start, INT32.stop - 1)


@click.command()
@click.option("--room", default="", metavar="TYPE://NAME", help="The room to be in. Default: none.")
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

    \b
    imdctl listen --room live://1000
    imdctl listen --mid 17 --accept 1000 --accept 1001 --json
    imdctl listen --url wss://chat.example.com --token-file me.jwt --room live://1000
    imdctl listen --room live://1000 --count 1 --timeout 10 && echo arrived
    """
    token = _token(options["token_file"])
    try:
        address = parse_address(options["url"])
    except ConfigError as error:
        raise click.UsageError(str(error)) from None

    async def work(reactor: Any) -> int:
        async def connect(on_push: Callable[[Pushed], None]) -> Client:
            client = await dial(address.url, reactor=reactor, ca_file=options["ca_file"], on_push=on_push)
            try:
                await client.authenticate(
                    mid=options["mid"],
                    key=options["key"],
                    room=options["room"],
                    platform="imdctl",
                    accepts=options["accepts"],
                    token=token,
                )
            except PeerUnavailable as error:
                # raw TCP does not say more
                raise PeerUnavailable(
                    f"{address.url}: {error} before we were let in; are the credentials good?"
                ) from None
            except BaseException:
                await client.close()
                raise
            _say(f"connected to {address.url}" + (f", in {options['room']}" if options["room"] else ""))
            return client

        def show(push: Pushed) -> None:
            try:
                click.echo(as_json(push) if options["as_json"] else as_text(push))
            except BrokenPipeError:  # whoever read our output has seen enough
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                listener.stop()

        listener = Listener(clock=reactor, connect=connect, show=show, say=_say, count=options["count"])
        return await _until_the_end(reactor, listener, options["timeout"])

    run(work)


async def _until_the_end(reactor: Any, listener: Listener, timeout_seconds: float) -> int:
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
    """For people: operation and body, in which nothing can command the terminal."""
    text = push.body.decode("utf-8", "backslashreplace")
    return f"{push.operation} " + "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def as_json(push: Pushed) -> bytes:
    """For programs: ``op`` and ``body``, or ``body_base64`` when the body is no UTF-8. What ``/v1/push`` takes."""
    try:
        return msgspec.json.encode({"op": push.operation, "body": push.body.decode()})
    except UnicodeDecodeError:
        return msgspec.json.encode({"op": push.operation, "body_base64": b64encode(push.body).decode()})


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
