"""Many processes of clients, as one: more connections than a process may have files."""

import os
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.capacity import Demand
from benchmarks.load_client import ROOM
from benchmarks.program import Program

IN_SECONDS = 600.0  # for one process to connect all that it has, while others do
AT_ONCE = 4  # processes that connect side by side
NICE = 15  # servers go first: what they do not keep up with shall wait here


@dataclass(frozen=True, slots=True)
class Reached:
    """What all clients together were sent since they began to count."""

    packets: int
    fewest: int  # packets of the client that has the fewest
    most: int
    gone: int  # clients whose connection ended


class Times:
    """How long packets took, microseconds: what several processes counted, added up."""

    def __init__(self) -> None:
        self._packets: Counter[float] = Counter()  # microseconds -> packets that took so long

    def add(self, us: float, packets: int) -> None:
        self._packets[us] += packets

    def at(self, share: float) -> float:
        """Milliseconds that this share of the packets did not take longer than; 0 without any."""
        wanted, seen, found = share * self._packets.total(), 0, 0.0
        for us, packets in sorted(self._packets.items()):
            seen, found = seen + packets, us
            if seen >= wanted:
                break
        return found / 1000


class Crowd:
    """``c/load_client.c``, several of them. None is connected yet."""

    def __init__(
        self, program: Path, *, demand: Demand, port: int, handshakes: int, heartbeat_seconds: int, scratch: Path
    ) -> None:
        """``handshakes``: at a time, of all that connect at once."""
        self._demand = demand
        self._scratch = scratch
        self._command = [str(program), "--port", str(port), "--transport", demand.transport, "--room", ROOM]
        self._command += ["--handshakes", str(max(1, handshakes // AT_ONCE)), "--heartbeat", str(heartbeat_seconds)]
        self._programs: list[Program] = []
        self.redials = 0  # clients that were turned away, and dialled again

    @property
    def cpu_seconds(self) -> float:
        return sum(each.cpu_seconds for each in self._programs)

    @property
    def pids(self) -> list[int]:
        return [each.pid for each in self._programs]

    def connect(self, tick: Callable[[int], None]) -> None:
        """All, a few processes at a time. ``tick`` is told about every second how many are in at least.

        Raises :class:`benchmarks.program.ProgramFailed` when clients are turned away again and again.
        """
        connecting: deque[Program] = deque()
        known = 0

        def wait() -> None:
            nonlocal known
            said = connecting.popleft().wait_for("in", seconds=IN_SECONDS, tick=lambda: tick(known))
            known += said["connections"]
            self.redials += said["redials"]
            tick(known)

        for number, share in enumerate(self._demand.shares):
            if len(connecting) == AT_ONCE:
                wait()
            words = ["--connections", str(share), "--redials", str(share), "--keys", f"load-{number}"]
            program = Program([*self._command, *words], log=self._scratch / f"clients-{number}.log")
            self._programs.append(program)
            os.setpriority(os.PRIO_PROCESS, program.pid, NICE)
            connecting.append(program)
        while connecting:
            wait()

    def begin(self) -> None:
        """Count from zero."""
        for each in self._programs:
            each.ask("begin", "begun")

    def look(self) -> Reached:
        """How far they are."""
        said = [each.ask("look", "look") for each in self._programs]
        return Reached(
            packets=sum(each["packets"] for each in said),
            fewest=min(each["fewest"] for each in said),
            most=max(each["most"] for each in said),
            gone=sum(each["gone"] for each in said),
        )

    def times(self) -> Times:
        """From send to receipt."""
        times = Times()
        for each in self._programs:
            for us, packets in each.ask("times", "times")["times"]:
                times.add(us, packets)
        return times

    def end(self) -> None:
        """Hang up."""
        for each in self._programs:
            each.end()
