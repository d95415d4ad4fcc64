"""What is measured: servers that one room's clients are connected to, and that can be told to send to it."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.case import Audience, Load
from benchmarks.comet_server import SERVER
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
    """imd's: ``comet_server.py``, pushed to from here."""

    def __init__(self, *, audience: Audience, core: int, scratch: Path, log: Path) -> None:
        self._connections = audience.connections
        self._endpoint = endpoint(scratch)
        command = [sys.executable, "-m", "benchmarks.comet_server", "--core", str(core)]
        command += ["--connections", str(audience.connections), "--rpc", self._endpoint]
        self.program = Program(command, log=log)
        said = self.program.wait_for("listening")
        self._boot: int = said["boot"]
        self.port: int = said["ports"][audience.transport]
        self._pusher: Pusher | None = None  # None until there is an audience

    def ready(self) -> None:
        self._pusher = Pusher(self._endpoint, server=SERVER, boot=self._boot, connections=self._connections)

    def send(self, load: Load, tick: Callable[[], None]) -> Sent:
        assert self._pusher is not None
        return Sent(self._pusher.send(load, tick))

    def end(self) -> None:
        if self._pusher is not None:
            self._pusher.close()
        self.program.end()


def start(name: str, *, audience: Audience, core: int, scratch: Path, loop: Path) -> Subject:
    """By its name of :data:`benchmarks.case.SUBJECTS`. ``loop``: the compiled send loop."""
    log = scratch / f"{name}.log"
    match name:
        case "loop":
            return SelfDriven([str(loop)], audience=audience, core=core, log=log)
        case "write":
            command = [sys.executable, "-m", "benchmarks.write_server"]
            return SelfDriven(command, audience=audience, core=core, log=log)
        case "imd":
            return Comet(audience=audience, core=core, scratch=scratch, log=log)
    raise ValueError(f"no subject is called {name}")
