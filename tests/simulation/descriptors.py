"""Descriptors: the numbers by which a comet's kernel knows its clients. The lowest free one goes to whoever comes next."""

from collections.abc import Sequence
from errno import EBADF
from heapq import heappop, heappush
from typing import cast

from imd.interfaces import Sink
from tests.simulation.world import World

FIRST = 10  # below are the process' own


class Descriptor:
    """One socket, as who sends to it has it."""

    def __init__(self, table: "Descriptors", number: int) -> None:
        self._table = table
        self._number = number

    def send(self, data: bytes, /) -> int:
        """As a socket does that does not block."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        """Of the client, for the story."""
        raise NotImplementedError

    def fileno(self) -> int:
        """-1 once it is closed."""
        return self._number

    def close(self) -> None:
        """The number is free."""
        number, self._number = self._number, -1
        if number >= 0:
            self._table.free(number)


class Descriptors:
    """Of one process."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._next = FIRST  # never used so far
        self._free: list[int] = []
        self._open: dict[int, Descriptor] = {}

    def take(self) -> int:
        """The lowest that is free."""
        if self._free:
            return heappop(self._free)
        self._next += 1
        return self._next - 1

    def open(self, descriptor: Descriptor) -> None:
        """It has its number from now on."""
        self._open[descriptor.fileno()] = descriptor

    def free(self, number: int) -> None:
        """For the next."""
        del self._open[number]
        heappush(self._free, number)

    def arm(self, sinks: Sequence[Sink]) -> "NumberedBattery":
        """See :data:`imd.interfaces.Arm`."""
        return NumberedBattery(self, cast(Sequence[Descriptor], sinks))

    def send(self, number: int, data: bytes, meant: Descriptor) -> int:
        """To whoever has the number now. That it is somebody else is a fault of who sends."""
        owner = self._open.get(number)
        if owner is not meant:
            whose = owner.name if owner is not None else "nobody"
            self._world.fault(f"bytes for {meant.name} were sent to descriptor {number}, which belongs to {whose}")
        if owner is None:
            raise OSError(EBADF, "closed")
        return owner.send(data)


class NumberedBattery:
    """Knows nothing but numbers, as imd's in C does."""

    def __init__(self, table: Descriptors, sinks: Sequence[Descriptor]) -> None:
        self._table = table
        self._targets = [(sink.fileno(), sink) for sink in sinks]

    def fire(self, data: bytes, /) -> list[tuple[int, int]]:
        """See :class:`imd.interfaces.Battery`."""
        short = []
        for place, (number, meant) in enumerate(self._targets):
            try:
                sent = self._table.send(number, data, meant)
            except OSError:
                sent = 0
            if sent < len(data):
                short.append((place, sent))
        return short
