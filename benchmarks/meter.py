"""Measures a window: a load on a server, and what it took."""

import os
import time
from collections.abc import Callable
from types import TracebackType

from benchmarks import machine
from benchmarks.case import Load
from benchmarks.clients import Clients
from benchmarks.measurement import MAX_OTHERS, Window
from benchmarks.subject import Subject

QUIET_LOOK_SECONDS = 0.3  # how long the cores must have been quiet before a window

Say = Callable[[str], None]


class Meter:
    """Of two cores: the first that it may use is the server's, the last is its own, and the clients', who have those between
    too. It stays on its core within the ``with``."""

    def __init__(self, *, say: Say, patience_seconds: float) -> None:
        """``patience_seconds``: in all, that is waited for others to leave the cores alone."""
        cores = machine.cores()
        self.server_core, self.clients_cores = cores[0], cores[1:]
        self._everywhere = os.sched_getaffinity(0)
        self._say = say
        self._patience_seconds = patience_seconds  # what is left of it

    def __enter__(self) -> "Meter":
        os.sched_setaffinity(0, {self.clients_cores[-1]})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.sched_setaffinity(0, self._everywhere)

    def wait_for_quiet(self, where: str) -> None:
        """Until others leave both cores alone; not longer than patience lasts."""
        said = False
        while self._patience_seconds > 0:
            before = self._busy()
            time.sleep(QUIET_LOOK_SECONDS)
            busiest = max(late - early for early, late in zip(before, self._busy(), strict=True)) / QUIET_LOOK_SECONDS
            if busiest <= MAX_OTHERS:
                return
            self._patience_seconds -= QUIET_LOOK_SECONDS
            if not said:
                said = True
                self._say(f"{where}: waiting for others, who have {busiest:.0%} of a core")

    def window(self, server: Subject, clients: Clients, receivers: int, load: Load, where: str) -> Window:
        """One; each message must reach so many. Says how far it is."""

        def tick() -> None:
            self._say(f"{where}: {clients.look().packets:,} deliveries")

        def spent() -> tuple[float, ...]:
            return (
                time.monotonic(),
                server.program.cpu_seconds + machine.softirq_seconds(self.server_core),
                clients.cpu_seconds + time.process_time() + sum(map(machine.softirq_seconds, self.clients_cores)),
                *self._busy(),
            )

        clients.begin()
        before = spent()
        sent = server.send(load, tick)
        counted = clients.drain(sent.messages * receivers, tick)
        seconds, ours, theirs, server_core, clients_core = (
            late - early for early, late in zip(before, spent(), strict=True)
        )
        return Window(
            connections=receivers,
            rate=load.rate,
            merged=load.merged,
            asked_seconds=load.seconds,
            messages=sent.messages,
            waited=sent.waited,
            seconds=seconds,
            server_seconds=ours,
            clients_seconds=theirs,
            clients_cores=len(self.clients_cores),
            others_on_server_core=max(0.0, server_core - ours),
            others_on_clients_core=max(0.0, clients_core - theirs),
            counted=counted,
        )

    def believable(
        self, server: Subject, clients: Clients, receivers: int, load: Load, where: str, *, tries: int
    ) -> list[Window]:
        """Windows until one can be believed, so many at most; waits for quiet between them. Says what each found."""
        found: list[Window] = []
        for number in range(tries):
            if number:
                self.wait_for_quiet(where)
            window = self.window(server, clients, receivers, load, where)
            found.append(window)
            refused = f", refused: {'; '.join(window.refusals)}" if window.refusals else ""
            self._say(f"{where}: {window.us_per_delivery:.2f} µs a delivery{refused}")
            if not refused:
                break
        return found

    def _busy(self) -> tuple[float, float]:
        return machine.busy_seconds(self.server_core), sum(map(machine.busy_seconds, self.clients_cores))
