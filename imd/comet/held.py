"""Held: what waits for one client that does not keep up."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import NamedTuple

from imd.comet.policy import SlowPolicy

ENTRY_BYTES = 256  # what holding one wire costs besides its bytes; without it 16-byte replies would be nearly free


class _Entry(NamedTuple):
    data: bytes  # one whole wire, as the socket wants it
    at: float  # clock seconds when it came
    packets: int  # pushed packets in it; 0 = a reply


class Held:
    """Whole wires in the order they came, and the way to take some out of the middle again in O(1).

    Wires are joined when they are taken, never cut. Not bounded by itself: the outbox looks at ``size_bytes``.
    """

    __slots__ = ("_droppable", "_entries", "_next", "droppable_bytes", "packets", "size_bytes")

    def __init__(self) -> None:
        # name -> entry; the name is a number, or for LATEST_ONLY the room: so a room's entry is found again
        self._entries: OrderedDict[int | str, _Entry] = OrderedDict()
        self._droppable: OrderedDict[int | str, None] = OrderedDict()  # names of what policies may drop, oldest first
        self._next = 0  # the next entry's number
        self.droppable_bytes = 0  # of the entries that may be dropped, ENTRY_BYTES for each included
        self.packets = 0  # pushed packets held
        self.size_bytes = 0  # of all entries, ENTRY_BYTES for each included

    def __bool__(self) -> bool:
        return bool(self._entries)

    @property
    def oldest_at(self) -> float:
        """Clock seconds when the oldest wire came. Only when something is held."""
        return next(iter(self._entries.values())).at

    def reply(self, data: bytes, now: float) -> None:
        """Hold what no policy drops."""
        self._put(self._number(), _Entry(data, now, 0))

    def push(self, data: bytes, packets: int, policy: SlowPolicy, room: str, now: float) -> None:
        """Hold a push. One under LATEST_ONLY must have called :meth:`supersede` before."""
        name: int | str = room if policy is SlowPolicy.LATEST_ONLY else self._number()
        self._put(name, _Entry(data, now, packets))
        if policy is not SlowPolicy.DISCONNECT:
            self._droppable[name] = None
            self.droppable_bytes += len(data) + ENTRY_BYTES

    def supersede(self, room: str) -> int:
        """Forget the room's wire under LATEST_ONLY; answers how many packets that were."""
        return self._remove(room) if room in self._entries else 0

    def evict(self) -> int:
        """Forget the oldest push that may be dropped; answers how many packets that were, 0 when there is none."""
        if not self._droppable:
            return 0
        return self._remove(next(iter(self._droppable)))

    def take(self, limit_bytes: int) -> bytes:
        """The oldest wires joined: as many whole ones as fit ``limit_bytes``, at least one."""
        names = list(self._prefix(limit_bytes))
        data = b"".join([self._entries[name].data for name in names])
        for name in names:
            self._remove(name)
        return data

    def _prefix(self, limit_bytes: int) -> Iterator[int | str]:
        taken = 0
        for name, entry in self._entries.items():
            taken += len(entry.data)
            if taken > limit_bytes and taken > len(entry.data):
                return
            yield name

    def _number(self) -> int:
        self._next += 1
        return self._next

    def _put(self, name: int | str, entry: _Entry) -> None:
        self._entries[name] = entry
        self.packets += entry.packets
        self.size_bytes += len(entry.data) + ENTRY_BYTES

    def _remove(self, name: int | str) -> int:
        entry = self._entries.pop(name)
        size = len(entry.data) + ENTRY_BYTES
        if name in self._droppable:
            del self._droppable[name]
            self.droppable_bytes -= size
        self.packets -= entry.packets
        self.size_bytes -= size
        return entry.packets
