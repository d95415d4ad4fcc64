"""What a supervisor tells each comet that it starts: who it is, where it listens, where it logs."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from imd.config import Settings, load
from imd.config.address import parse_address
from imd.errors import ConfigError
from imd.service.bound_socket import BoundSocket
from imd.service.options import Options
from imd.service.process import process_id

ADMIN_PORTS = 10  # the first comet's operator's port is as far above the supervisor's: 3191, then 3201, 3202, …


class Order(NamedTuple):
    """One comet's."""

    name: str  # its id in the registry
    settings: Settings  # as it will find them, checked
    command: Sequence[str]


def order(options: Options, settings: Settings, sockets: Mapping[str, BoundSocket], number: int) -> Order:
    """For the comet of this number: 1, 2, … Raises :class:`ConfigError` when there is no room for so many."""
    own = [f"{key}={value}" for key, value in _own(settings, sockets, number).items()]
    theirs = load_as(options, own)
    return Order(process_id(theirs), theirs, [*_twistd(options.parent or {}), *_arguments(options, own)])


def load_as(options: Options, own: Sequence[str]) -> Settings:
    """The settings of a comet that is given these overrides as well. Raises :class:`ConfigError`."""
    path = Path(options["config"]) if options["config"] else None
    return load("comet", path, os.environ, [*options.sets, *own])


def environment(ours: Mapping[str, str]) -> dict[str, str]:
    """A comet's: it has nothing to tell systemd, which knows only us."""
    return {
        name: value for name, value in ours.items() if name not in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
    }


def _own(settings: Settings, sockets: Mapping[str, BoundSocket], number: int) -> dict[str, str]:
    """Key path -> what it has for itself; and the clients' addresses as they were taken, never port 0."""
    found = {"server.id": f"{process_id(settings)}-{number}"}
    found |= {key: str(bound) for key, bound in sockets.items() if key.startswith("comet.")}
    if settings.admin.listen:
        found["admin.listen"] = _nth("admin.listen", settings.admin.listen, number, ADMIN_PORTS + number - 1)
    for key, endpoint in (("rpc.listen", settings.rpc.listen), ("rpc.advertise", settings.rpc.advertise)):
        scheme, _, address = endpoint.partition("://")
        if scheme == "ipc":
            found[key] = f"{endpoint}-{number}"
        elif address and not address.endswith(":*"):
            found[key] = f"{scheme}://{_nth(key, address, number, number - 1)}"
    return found


def _nth(key: str, text: str, number: int, above: int) -> str:
    """The address ``above`` ports further; port 0 stays, each takes a free one. A path gets the number."""
    try:
        address = parse_address(text)
    except ValueError as error:
        raise ConfigError(f"{key}: {error}") from None
    if address.path:
        return f"{text}-{number}"
    return f"{text.rpartition(':')[0]}:{address.port + above}" if address.port else text


def _twistd(parent: Mapping[str, Any]) -> list[str]:
    """twistd itself, with the log where ours is. Paths are whole: twistd may have changed its folder by then."""
    words = [sys.executable, os.path.abspath(sys.argv[0]), "--nodaemon", "--pidfile="]
    logfile = parent.get("logfile") or ("-" if parent.get("nodaemon") else "twistd.log")  # as twistd has it
    if parent.get("logger"):
        return [*words, "--logger", parent["logger"]]
    if parent.get("syslog"):
        return [*words, "--syslog", "--prefix", parent.get("prefix") or "twisted"]
    return [*words, "--logfile", os.path.abspath(logfile)] if logfile != "-" else words


def _arguments(options: Options, own: Sequence[str]) -> list[str]:
    words = ["imd-comet"]
    if options["config"]:
        words += ["--config", os.path.abspath(options["config"])]
    for pair in (*options.sets, *own):
        words += ["--set", pair]
    return words
