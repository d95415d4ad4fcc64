"""Who is online: the largest rooms, some rooms, all."""

from collections.abc import Collection, Sequence

import msgspec

from imd.interfaces import Instance, Rooms
from imd.protocol.room_id import room_id, split_room_id


class Top(msgspec.Struct, frozen=True):
    """A room of ``/goim/online/top``."""

    room_id: str  # its name, without the type
    count: int


class Total(msgspec.Struct, frozen=True):
    """Sums over the comets, as they last reported."""

    ip_count: int  # an address on two comets counts twice
    conn_count: int


class Online:
    """Answers from living comets only: what a dead one had reported is gone with its lease."""

    __slots__ = ("_comets", "_rooms")

    def __init__(self, *, rooms: Rooms) -> None:
        self._rooms = rooms
        self._comets: Sequence[Instance] = ()  # as the registry showed them last

    def comets_changed(self, comets: Sequence[Instance]) -> None:
        """For :meth:`imd.interfaces.Registry.watch`."""
        self._comets = comets

    async def top(self, room_type: str, limit: int) -> list[Top]:
        """The type's rooms with members, largest first, at most ``limit``. The type is exact, names are whole."""
        rooms = await self._rooms.top(room_type, limit)
        return [Top(split_room_id(room)[1], count) for room, count in rooms]

    async def rooms(self, room_type: str, names: Collection[str]) -> dict[str, int]:
        """Members by name; 0 for rooms that nobody is in."""
        counts = await self._rooms.counts([room_id(room_type, name) for name in names])
        return {name: counts.get(room_id(room_type, name), 0) for name in names}

    def total(self) -> Total:
        """Draining comets count: their clients are online."""
        return Total(
            ip_count=sum(comet.ip_count for comet in self._comets),
            conn_count=sum(comet.conn_count for comet in self._comets),
        )
