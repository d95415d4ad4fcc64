"""Who is connected where, in this process's memory."""

from collections.abc import Collection, Sequence
from itertools import count
from typing import NamedTuple

from imd.backend.leases_memory import LeasesMemory
from imd.interfaces import Location


class _Held(NamedTuple):
    location: Location
    mid: int
    platform: str
    arrival: int  # rises from attach to attach


class PresenceMemory:
    """For one process, or for tests. Entries of a comet whose lease lapsed are hidden at once, and freed at a renewal.

    A renewal that enters what is missing knows no platform: such a connection is one of platform ``""`` that came just now.
    """

    __slots__ = ("_arrivals", "_keys", "_leases", "_members", "_servers")

    def __init__(self, *, leases: LeasesMemory) -> None:
        self._leases = leases
        self._arrivals = count()
        self._keys: dict[str, _Held] = {}
        self._members: dict[int, set[str]] = {}  # mid -> its keys; never mid 0, never empty
        self._servers: dict[Location, set[str]] = {}  # whose entries are whose; never empty

    async def attach(self, location: Location, key: str, mid: int, platform: str = "") -> Location | None:
        """See :class:`imd.interfaces.Presence`."""
        older = self._keys.get(key)
        self._enter(location, key, mid, platform)
        if older is None or older.location == location or not self._leases.lives(older.location):
            return None
        return older.location

    async def attach_many(self, location: Location, arrivals: Sequence[tuple[str, int, str]]) -> dict[str, Location]:
        """See :class:`imd.interfaces.Presence`."""
        displaced = {}
        for key, mid, platform in arrivals:
            older = await self.attach(location, key, mid, platform)
            if older is not None:
                displaced[key] = older
        return displaced

    async def devices(self, mid: int, platform: str) -> list[tuple[str, Location]]:
        """See :class:`imd.interfaces.Presence`."""
        found = [(key, self._keys[key]) for key in self._members.get(mid, ())]
        there = [each for each in found if each[1].platform == platform and self._leases.lives(each[1].location)]
        return [(key, held.location) for key, held in sorted(there, key=lambda each: each[1].arrival)]

    async def detach(self, location: Location, key: str, mid: int) -> bool:
        """See :class:`imd.interfaces.Presence`. A key that has another member by now is a newer connection's too."""
        held = self._keys.get(key)
        if held is None or held[:2] != (location, mid):
            return False
        self._remove(key)
        return True

    async def detach_many(self, location: Location, entries: Sequence[tuple[str, int]]) -> None:
        """See :class:`imd.interfaces.Presence`."""
        for key, mid in entries:
            await self.detach(location, key, mid)

    async def renew(self, location: Location, entries: Sequence[tuple[str, int]]) -> list[str]:
        """See :class:`imd.interfaces.Presence`."""
        self._free_lapsed(location)
        others: list[str] = []
        for key, mid in entries:
            held = self._keys.get(key)
            if held is not None and held.location != location and self._leases.lives(held.location):
                others.append(key)
            elif held is None or held[:2] != (location, mid):
                self._enter(location, key, mid, "")
        return others

    async def locate_keys(self, keys: Collection[str]) -> dict[str, Location]:
        """See :class:`imd.interfaces.Presence`."""
        found = ((key, self._keys.get(key)) for key in keys)
        return {key: held.location for key, held in found if held is not None and self._leases.lives(held.location)}

    async def locate_members(self, mids: Collection[int]) -> dict[int, dict[str, Location]]:
        """See :class:`imd.interfaces.Presence`."""
        found = {mid: await self.locate_keys(self._members.get(mid, ())) for mid in mids}
        return {mid: located for mid, located in found.items() if located}

    def _enter(self, location: Location, key: str, mid: int, platform: str) -> None:
        if key in self._keys:
            self._remove(key)
        self._keys[key] = _Held(location, mid, platform, next(self._arrivals))
        self._servers.setdefault(location, set()).add(key)
        if mid:
            self._members.setdefault(mid, set()).add(key)

    def _remove(self, key: str) -> None:
        location, mid, _, _ = self._keys.pop(key)
        self._servers[location].discard(key)
        if not self._servers[location]:
            del self._servers[location]
        if mid:
            self._members[mid].discard(key)
            if not self._members[mid]:
                del self._members[mid]

    def _free_lapsed(self, renewing: Location) -> None:
        """Forget what lapsed comets left, but for the one that is just coming back."""
        for location in [at for at in self._servers if at != renewing and not self._leases.lives(at)]:
            for key in list(self._servers[location]):
                self._remove(key)
