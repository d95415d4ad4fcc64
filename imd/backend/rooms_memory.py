"""Which comets host a room and how many are in it, in this process's memory."""

from collections import Counter
from collections.abc import Collection, Sequence

from imd.backend.leases_memory import LeasesMemory
from imd.interfaces import Location
from imd.protocol.room_id import split_room_id


class RoomsMemory:
    """For one process, or for tests. What a comet whose lease lapsed had said is hidden at once, and freed at a report."""

    __slots__ = ("_hosted", "_leases")

    def __init__(self, *, leases: LeasesMemory) -> None:
        self._leases = leases
        self._hosted: dict[Location, dict[str, int]] = {}  # comet -> room -> members there

    async def host(self, location: Location, room: str) -> None:
        """See :class:`imd.interfaces.Rooms`."""
        self._hosted.setdefault(location, {}).setdefault(room, 0)

    async def unhost(self, location: Location, room: str) -> None:
        """See :class:`imd.interfaces.Rooms`."""
        self._hosted.get(location, {}).pop(room, None)

    async def report(self, location: Location, counts: Sequence[tuple[str, int]]) -> dict[str, int]:
        """See :class:`imd.interfaces.Rooms`. Every room that was reported is in the answer."""
        for lapsed in [at for at in self._hosted if at != location and not self._leases.lives(at)]:
            del self._hosted[lapsed]
        self._hosted.setdefault(location, {}).update(counts)
        living = self._living()
        return {room: sum(hosted.get(room, 0) for hosted in living.values()) for room, _ in counts}

    async def hosts(self, rooms: Collection[str]) -> dict[str, list[Location]]:
        """See :class:`imd.interfaces.Rooms`."""
        living = self._living()
        found = {room: [location for location, hosted in living.items() if room in hosted] for room in rooms}
        return {room: locations for room, locations in found.items() if locations}

    async def counts(self, rooms: Collection[str]) -> dict[str, int]:
        """See :class:`imd.interfaces.Rooms`."""
        living = self._living()
        found = {room: sum(hosted.get(room, 0) for hosted in living.values()) for room in rooms}
        return {room: members for room, members in found.items() if members}

    async def top(self, room_type: str, limit: int) -> list[tuple[str, int]]:
        """See :class:`imd.interfaces.Rooms`."""
        totals: Counter[str] = Counter()
        for hosted in self._living().values():
            for room, members in hosted.items():
                if members and split_room_id(room)[0] == room_type:
                    totals[room] += members
        return sorted(totals.items(), key=lambda pair: (-pair[1], pair[0]))[:limit]

    def _living(self) -> dict[Location, dict[str, int]]:
        return {location: hosted for location, hosted in self._hosted.items() if self._leases.lives(location)}
