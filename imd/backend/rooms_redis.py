"""Which comets host a room and how many are in it, in Redis."""

from collections.abc import Collection, Sequence
from itertools import chain, islice

from imd.backend.redis import RedisLink
from imd.backend.redis_role import RedisRole
from imd.backend.redis_script import load_script
from imd.errors import PresenceUnavailable
from imd.interfaces import Clock, Location
from imd.metrics import Metrics

CHUNK = 1000  # rooms a script: up to 5 ms, in which Redis does nothing else
MAX_PASSES = 100  # of CHUNK rooms each, that one call of top() corrects before it answers what it has


class RoomsRedis:
    """``<prefix>:room:<room>`` holds a count per comet, ``<prefix>:top:<type>`` a type's rooms by their members.

    A count names its comet's boot, and counts only while :class:`imd.backend.leases_redis.LeasesRedis` of the same prefix
    holds a lease of both. What dead comets left is deleted by the scripts that come across it, and by expiry
    ``entry_seconds`` after a room's last report: that must be well above the time in which a comet reports all its rooms.
    One Redis holds all rooms (see :class:`imd.backend.presence_redis.PresenceRedis`).
    """

    __slots__ = ("_entry_seconds", "_host", "_hosts", "_prefix", "_report", "_role", "_top", "_unhost")

    def __init__(
        self, *, link: RedisLink, clock: Clock, metrics: Metrics, prefix: str = "imd", entry_seconds: float = 3600.0
    ) -> None:
        self._role = RedisRole(link=link, clock=clock, metrics=metrics, name="rooms", unavailable=PresenceUnavailable)
        self._prefix = prefix
        self._entry_seconds = max(1, round(entry_seconds))
        self._host = load_script("living", "room", "host")
        self._unhost = load_script("living", "room", "unhost")
        self._report = load_script("living", "room", "report")
        self._hosts = load_script("living", "room", "hosts")
        self._top = load_script("living", "room", "top")

    async def host(self, location: Location, room: str) -> None:
        """See :class:`imd.interfaces.Rooms`."""
        arguments = (self._prefix, location.boot, location.server, self._entry_seconds, room)
        await self._role.run("host", self._host, arguments)

    async def unhost(self, location: Location, room: str) -> None:
        """See :class:`imd.interfaces.Rooms`."""
        await self._role.run("unhost", self._unhost, (self._prefix, location.boot, location.server, room))

    async def report(self, location: Location, counts: Sequence[tuple[str, int]]) -> dict[str, int]:
        """See :class:`imd.interfaces.Rooms`. Every room that was reported is in the answer."""
        totals: dict[str, int] = {}
        for start in range(0, len(counts), CHUNK):
            page = counts[start : start + CHUNK]
            flat: chain[str | int] = chain.from_iterable(page)
            arguments = (self._prefix, location.boot, location.server, self._entry_seconds, *flat)
            answer = await self._role.run("report", self._report, arguments)
            totals.update((room, total) for (room, _), total in zip(page, answer, strict=True))
        return totals

    async def hosts(self, rooms: Collection[str]) -> dict[str, list[Location]]:
        """See :class:`imd.interfaces.Rooms`."""
        return {
            room: [Location(server, boot) for server, boot, _ in living]
            for room, living in (await self._living("hosts", rooms)).items()
        }

    async def counts(self, rooms: Collection[str]) -> dict[str, int]:
        """See :class:`imd.interfaces.Rooms`."""
        living = await self._living("counts", rooms)
        totals = {room: sum(members for _, _, members in found) for room, found in living.items()}
        return {room: total for room, total in totals.items() if total}

    async def top(self, room_type: str, limit: int) -> list[tuple[str, int]]:
        """See :class:`imd.interfaces.Rooms`.

        The kept order is corrected from the front until a page of it is right: a comet's death puts many counts in the wrong.
        """
        listed: list[tuple[str, int]] = []
        passes = 0
        while len(listed) < limit and passes < MAX_PASSES:
            passes += 1
            asked = min(limit - len(listed), CHUNK) if passes == 1 else CHUNK
            wrong, *flat = await self._role.run("top", self._top, (self._prefix, room_type, len(listed), asked))
            page = list(zip((room.decode() for room in flat[::2]), flat[1::2], strict=True))
            if wrong and passes < MAX_PASSES:
                continue
            listed += [(room, members) for room, members in page if members]
            if len(page) < asked:
                break
        return sorted(listed, key=lambda pair: (-pair[1], pair[0]))[:limit]

    async def _living(self, call: str, rooms: Collection[str]) -> dict[str, list[tuple[str, int, int]]]:
        """room -> (server, boot, members) of each living comet that hosts it; rooms without any are left out."""
        found: dict[str, list[tuple[str, int, int]]] = {}
        rest = iter(rooms)
        while page := tuple(islice(rest, CHUNK)):
            answer = await self._role.run(call, self._hosts, (self._prefix, *page))
            for room, flat in zip(page, answer, strict=True):
                if flat:
                    pairs = zip(flat[::2], flat[1::2], strict=True)
                    found[room] = [(server.decode(), *map(int, value.split(b":"))) for server, value in pairs]
        return found
