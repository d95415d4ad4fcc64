"""Bugs to plant: the simulation is worth what it finds."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from imd.backend.presence_memory import PresenceMemory
from imd.comet.bucket import Bucket
from imd.comet.channel import Channel
from imd.comet.handshake import Handshake
from imd.comet.reservoir import Reservoir
from imd.errors import ImdError
from imd.interfaces import Entry, Location
from imd.job.partition import Partition


async def commit_first(self: Partition, entries: list[Entry]) -> None:
    """Broker entries are committed before they are handed over."""
    await self._broker.commit(self._number, [entry.token for entry in entries])
    self._metrics.committed.add(-len(entries))  # it counts once
    await _take(self, entries)


async def detach_anybody(self: PresenceMemory, location: Location, key: str, mid: int) -> bool:
    """Presence removes a key without comparing whose it is."""
    if key in self._keys:
        self._remove(key)
    return True


async def open_early(self: Handshake, room: str) -> bool:
    """Op 8 is written before the room is hosted."""
    if room and self._waited_for():
        self._edge.work.start(_hold(self, room))
    return self._waited_for()


def drop_in_silence(self: Reservoir, packets: int, drop: Any) -> None:
    """What an outbox drops is not counted."""


def evict_newcomer(self: Bucket, channel: Channel) -> bool:
    """A late loss takes out whoever has the key by now."""
    return self.channels.pop(channel.key, None) is not None


_take = Partition._take


async def _hold(self: Handshake, room: str) -> None:
    while True:
        try:
            await self._edge.interest.hold(room)
        except ImdError:
            await self._edge.work.pause(0.1)
        else:
            return


class Bug(NamedTuple):
    """Where it is planted, and what the fault says that finds it."""

    owner: type
    attribute: str
    replacement: Callable[..., Any]
    evidence: str


LOST, UNBALANCED = "did not get", "does not balance"

BUGS = {
    "commit before handing over": Bug(Partition, "_take", commit_first, LOST),
    "presence removes without comparing": Bug(PresenceMemory, "detach", detach_anybody, LOST),
    "op 8 before the room is hosted": Bug(Handshake, "_hosted", open_early, LOST),
    "dropping without counting": Bug(Reservoir, "dropped", drop_in_silence, UNBALANCED),
    "a late loss evicts the newcomer": Bug(Bucket, "remove", evict_newcomer, LOST),
}


@contextmanager
def planted(name: str) -> Iterator[None]:
    """With this bug in the code; an empty name is none."""
    if not name:
        yield
        return
    bug = BUGS[name]
    healthy = getattr(bug.owner, bug.attribute)
    setattr(bug.owner, bug.attribute, bug.replacement)
    try:
        yield
    finally:
        setattr(bug.owner, bug.attribute, healthy)
