"""What every command that asks logic takes: where it is, with which key, for how long."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click

from imd.ctl.push_api import PushApi

F = TypeVar("F", bound=Callable[..., None])
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


def logic_options(command: F) -> F:
    """The options, in front of those of the command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def push_api(reactor: Any, options: dict[str, Any], key: str) -> PushApi:
    """The logic that they lead to."""
    return PushApi(
        reactor=reactor,
        url=options["url"],
        key=key,
        timeout_seconds=options["timeout"],
        ca_file=options["ca_file"],
    )


def push_key(file: Path | None) -> str:
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


_OPTIONS = (
    click.option(
        "--url",
        default="http://127.0.0.1:3111",
        show_default=True,
        envvar="IMDCTL_URL",
        callback=_url,
        show_envvar=True,
        help="logic's.",
    ),
    click.option(
        "--key-file", type=click.Path(path_type=Path), help=f"Holds the push key. Else it is taken from {KEY_VARIABLE}."
    ),
    click.option(
        "--ca-file", type=click.Path(), help="PEM authorities to trust for an https URL. Default: the system's."
    ),
    click.option(
        "--timeout", default=10.0, show_default=True, metavar="SECONDS", help="How long to wait for the answer."
    ),
)
