"""The clients, as the runner sees them."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.case import Audience
from benchmarks.program import Program

ROOM = "live://bench"
DRAIN_SECONDS = 15.0  # for what was sent to arrive
LOOK_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Counted:
    """What all clients together were sent since they began to count. Times are from send to receipt, milliseconds."""

    packets: int
    reads: int  # that they came in
    fewest: int  # packets of the client that has the fewest
    most: int
    gone: int  # clients whose connection ended
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float


class LoadClient:
    """``c/load_client.c``, connected: all clients are in the room."""

    def __init__(
        self,
        program: Path | Sequence[str],
        *,
        audience: Audience,
        port: int,
        core: int,
        log: Path,
        mid: int = 0,
        handshakes: int = 128,
        keys: str = "load",
    ) -> None:
        """``mid``: of the first client, the others are the next members; 0 = they are nobody. ``core``: -1 = any.
        ``keys``: what all their keys begin with."""
        command = [str(program)] if isinstance(program, Path) else list(program)
        command += ["--port", str(port), "--connections", str(audience.connections), "--keys", keys]
        command += ["--transport", audience.transport, "--room", ROOM, "--core", str(core), "--mid", str(mid)]
        command += ["--handshakes", str(handshakes)]
        self._program = Program(command, log=log)
        try:
            self.connect_seconds: float = self._program.wait_for("in")["seconds"]
        except BaseException:
            self.end()
            raise

    @property
    def cpu_seconds(self) -> float:
        return self._program.cpu_seconds

    def begin(self) -> None:
        """Count from zero."""
        self._program.ask("begin", "begun")

    def look(self) -> Counted:
        """How far it is."""
        said = self._program.ask("look", "look")
        times = {name: said[f"{name}_us"] / 1000 for name in ("p50", "p99", "p999", "max")}
        return Counted(
            packets=said["packets"],
            reads=said["reads"],
            fewest=said["fewest"],
            most=said["most"],
            gone=said["gone"],
            p50_ms=times["p50"],
            p99_ms=times["p99"],
            p999_ms=times["p999"],
            max_ms=times["max"],
        )

    def drain(self, packets: int, tick: Callable[[], None]) -> Counted:
        """Once so many came, or no more do."""
        return drained(self.look, packets, tick)

    def stall(self, every: int) -> int:
        """Each so-manieth client reads no more, and is not counted; 0 = all read. How many do not."""
        stalled: int = self._program.ask(f"stall {every}", "stalled")["connections"]
        return stalled

    def end(self) -> None:
        """Hang up."""
        self._program.end()


def drained(look: Callable[[], Counted], packets: int, tick: Callable[[], None]) -> Counted:
    """What ``look`` sees once so many came, or no more do."""
    ends = time.monotonic() + DRAIN_SECONDS
    counted = look()
    while counted.packets < packets and time.monotonic() < ends:
        time.sleep(LOOK_SECONDS)
        tick()
        counted = look()
    return counted
