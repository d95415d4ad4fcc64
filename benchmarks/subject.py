"""What is measured: servers that one room's clients are connected to, and that can be told to send to it."""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.request import urlopen

from benchmarks.case import COMETS, LIMIT, WHOLE, Audience, Load
from benchmarks.certificate import make_certificate
from benchmarks.comet_server import SERVER
from benchmarks.http_pusher import HttpPusher
from benchmarks.program import Program
from benchmarks.pusher import Pusher, endpoint

BEYOND_SECONDS = 60.0  # its time, that a server may take to say that it has sent


@dataclass(frozen=True, slots=True)
class Sent:
    """What a server was told to send, and did."""

    messages: int
    waited: int = 0  # sends that found a socket full: its client was too slow


class Subject(Protocol):
    """A running server. ``port`` is where the audience connects."""

    port: int

    @property
    def program(self) -> Program:
        """Its process."""

    def ready(self) -> None:
        """Called once all clients are in."""

    def send(self, load: Load, tick: Callable[[], None]) -> Sent:
        """For the load's time."""

    def end(self) -> None:
        """Kill it."""


class SelfDriven:
    """A server that makes its messages itself: ``c/send_loop.c`` or ``write_server.py``."""

    def __init__(self, command: list[str], *, audience: Audience, core: int, log: Path) -> None:
        words = ["--connections", str(audience.connections), "--transport", audience.transport, "--core", str(core)]
        self.program = Program([*command, *words], log=log)
        self.port: int = self.program.wait_for("listening")["port"]

    def ready(self) -> None:
        self.program.wait_for("in")

    def send(self, load: Load, tick: Callable[[], None]) -> Sent:
        self.program.say(f"send {load.rate} {load.seconds} {load.merged} {load.body_bytes}")
        said = self.program.wait_for("sent", seconds=load.seconds + BEYOND_SECONDS, tick=tick)
        return Sent(said["messages"], said["waited"])

    def end(self) -> None:
        self.program.end()


class Comet:
    """imd's: ``comet_server.py``, pushed to from here, by RPC or, all of imd in one process, over HTTP."""

    def __init__(
        self,
        *,
        audience: Audience,
        core: int,
        scratch: Path,
        log: Path,
        settings: Mapping[str, str] | None = None,
        whole: bool = False,
    ) -> None:
        self._connections = audience.connections
        self._endpoint = "" if whole else endpoint(scratch)
        command = [sys.executable, "-m", "benchmarks.comet_server", "--core", str(core)]
        command += ["--connections", str(audience.connections), "--rpc", self._endpoint]
        chosen = {**_addresses(audience, scratch), **(settings or {})}
        if whole:
            chosen["broker.path"] = str(scratch / f"{time.monotonic_ns()}.sqlite")  # a new one
        command += [word for key, value in chosen.items() for word in ("--set", f"{key}={value}")]
        self.program = Program(command, log=log)
        said = self.program.wait_for("listening")
        self._boot: int = said["boot"]
        self._ports: dict[str, int] = said["ports"]
        self.port: int = self._ports[audience.transport]
        self.pusher: Pusher | HttpPusher | None = None  # None until there is an audience

    def ready(self) -> None:
        if self._endpoint:
            self.pusher = Pusher(self._endpoint, server=SERVER, boot=self._boot, connections=self._connections)
        else:
            self.pusher = HttpPusher(self._ports["http"])

    def send(self, load: Load, tick: Callable[[], None]) -> Sent:
        assert self.pusher is not None
        return Sent(self.pusher.send(load, tick))

    def figures(self) -> dict[str, float]:
        """What its operator can see: /metrics."""
        with urlopen(f"http://127.0.0.1:{self._ports['listen']}/metrics") as answer:
            lines: list[str] = answer.read().decode().splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}

    def end(self) -> None:
        if self.pusher is not None:
            self.pusher.close()
        self.program.end()


def _addresses(audience: Audience, scratch: Path) -> dict[str, str]:
    if audience.transport != "tls":
        return {}
    certificate, key = make_certificate(scratch)
    return {"comet.tls": "127.0.0.1:0", "comet.certificate": str(certificate), "comet.private_key": str(key)}


def start(name: str, *, audience: Audience, core: int, scratch: Path, loop: Path) -> Subject:
    """By its name of :data:`benchmarks.case.SUBJECTS`. ``loop``: the compiled send loop."""
    log = scratch / f"{name}.log"
    if name in (LIMIT, "write"):
        command = [str(loop)] if name == LIMIT else [sys.executable, "-m", "benchmarks.write_server"]
        if audience.transport == "tls":
            command += ["--certificate", str(make_certificate(scratch)[0].parent)]
        return SelfDriven(command, audience=audience, core=core, log=log)
    settings = COMETS.get(name, {})
    return Comet(audience=audience, core=core, scratch=scratch, log=log, settings=settings, whole=name == WHOLE)
