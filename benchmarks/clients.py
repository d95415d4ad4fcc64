"""The clients of an audience: one process of them a core."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.case import Audience
from benchmarks.load_client import Counted, LoadClient, drained

MAX_PROCESSES = 4  # one core of clients keeps up with one of a server that does not merge


class Clients:
    """All of them together, connected."""

    def __init__(self, program: Path, *, audience: Audience, port: int, cores: Sequence[int], log: Path) -> None:
        """``program``: the load client in C. TLS is spoken by one in Python. The last core is spared if there are three."""
        words = [str(program)]
        if audience.transport == "tls":
            words = [sys.executable, "-m", "benchmarks.tls_client"]
        cores = cores[: min(MAX_PROCESSES, max(1, len(cores) - 1), audience.connections)]
        self._all: list[LoadClient] = []
        try:
            for at, core in enumerate(cores):
                share = Audience(audience.transport, _share(audience.connections, len(cores), at))
                client = LoadClient(words, audience=share, port=port, core=core, log=log, keys=f"load{at}")
                self._all.append(client)
        except BaseException:
            self.end()
            raise

    @property
    def cpu_seconds(self) -> float:
        """Of all processes."""
        return sum(client.cpu_seconds for client in self._all)

    def begin(self) -> None:
        """Count from zero."""
        for client in self._all:
            client.begin()

    def look(self) -> Counted:
        """How far they are."""
        return together([client.look() for client in self._all])

    def drain(self, packets: int, tick: Callable[[], None]) -> Counted:
        """Once so many came, or no more do."""
        return drained(self.look, packets, tick)

    def stall(self, every: int) -> int:
        """Each so-manieth client reads no more; 0 = all read again. Who does not read is not counted; how many they are."""
        return sum(client.stall(every) for client in self._all)

    def end(self) -> None:
        """Hang up."""
        for client in self._all:
            client.end()


def together(found: Sequence[Counted]) -> Counted:
    """Of several processes. A percentile of all is not above the largest of theirs: that is what is said."""
    return Counted(
        packets=sum(each.packets for each in found),
        reads=sum(each.reads for each in found),
        fewest=min(each.fewest for each in found),
        most=max(each.most for each in found),
        gone=sum(each.gone for each in found),
        p50_ms=max(each.p50_ms for each in found),
        p99_ms=max(each.p99_ms for each in found),
        p999_ms=max(each.p999_ms for each in found),
        max_ms=max(each.max_ms for each in found),
    )


def _share(count: int, parts: int, at: int) -> int:
    return count // parts + (at < count % parts)
