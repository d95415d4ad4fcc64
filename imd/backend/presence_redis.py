"""Who is connected where, in Redis."""

from collections.abc import Collection, Iterable, Sequence
from itertools import chain, islice
from typing import Any

from imd.backend.redis import RedisLink
from imd.backend.redis_role import RedisRole
from imd.backend.redis_script import RedisScript, load_script
from imd.errors import PresenceUnavailable
from imd.interfaces import Clock, Location
from imd.metrics import Metrics

CHUNK = 1000  # keys, members or entries a script: up to 4 ms, in which Redis does nothing else


class PresenceRedis:
    """``<prefix>:key:<key>`` says whose and where a connection is, ``<prefix>:member:<mid>`` which connections a member has.

    Each entry names server and boot, and is answered only while :class:`imd.backend.leases_redis.LeasesRedis` of the same
    prefix holds a lease of both: a dead comet's entries are gone with its lease, whenever they are deleted.
    ``entry_seconds``, counted from the last renewal, is how long they may take up memory; it must be well above the time
    in which a comet renews all it has, for an entry that expires early is not found until it is renewed again.
    Each call of up to ``CHUNK`` entries is one atomic script; larger ones are several, one after the other.
    A member's entry says too with which platform the connection came, and when, by Redis' clock; a renewal that enters what
    is missing knows no platform: such a connection is one of platform ``""`` that came just now.
    The scripts reach keys that they are not told of, so all of presence lives in one Redis (or one Sentinel's master).
    """

    __slots__ = (
        "_attach",
        "_detach",
        "_devices",
        "_entry_seconds",
        "_locate_keys",
        "_locate_members",
        "_prefix",
        "_renew",
        "_role",
    )

    def __init__(
        self, *, link: RedisLink, clock: Clock, metrics: Metrics, prefix: str = "imd", entry_seconds: float = 3600.0
    ) -> None:
        self._role = RedisRole(
            link=link, clock=clock, metrics=metrics, name="presence", unavailable=PresenceUnavailable
        )
        self._prefix = prefix
        self._entry_seconds = max(1, round(entry_seconds))
        self._attach = load_script("living", "entry", "attach")
        self._detach = load_script("living", "entry", "detach")
        self._devices = load_script("living", "entry", "devices")
        self._renew = load_script("living", "entry", "renew_entries")
        self._locate_keys = load_script("living", "entry", "locate_keys")
        self._locate_members = load_script("living", "entry", "locate_members")

    async def attach(self, location: Location, key: str, mid: int, platform: str = "") -> Location | None:
        """See :class:`imd.interfaces.Presence`."""
        return (await self.attach_many(location, [(key, mid, platform)])).get(key)

    async def attach_many(self, location: Location, arrivals: Sequence[tuple[str, int, str]]) -> dict[str, Location]:
        """See :class:`imd.interfaces.Presence`."""
        displaced: dict[str, Location] = {}
        for start in range(0, len(arrivals), CHUNK):
            page: chain[str | int] = chain.from_iterable(arrivals[start : start + CHUNK])
            arguments = (self._prefix, location.boot, location.server, self._entry_seconds, *page)
            flat = await self._role.run("attach", self._attach, arguments)
            older = zip(flat[::3], flat[1::3], flat[2::3], strict=True)
            displaced |= {key.decode(): Location(server.decode(), int(boot)) for key, boot, server in older}
        return displaced

    async def devices(self, mid: int, platform: str) -> list[tuple[str, Location]]:
        """See :class:`imd.interfaces.Presence`."""
        flat = await self._role.run("devices", self._devices, (self._prefix, mid, platform))
        found = zip(flat[::3], flat[1::3], flat[2::3], strict=True)
        there = sorted((int(arrival), key.decode(), _location(value, {})) for key, value, arrival in found)
        return [(key, location) for _, key, location in there]

    async def detach(self, location: Location, key: str, mid: int) -> bool:
        """See :class:`imd.interfaces.Presence`. A key that has another member by now is a newer connection's too."""
        return await self._detach_all(location, [(key, mid)]) == 1

    async def detach_many(self, location: Location, entries: Sequence[tuple[str, int]]) -> None:
        """See :class:`imd.interfaces.Presence`."""
        await self._detach_all(location, entries)

    async def _detach_all(self, location: Location, entries: Sequence[tuple[str, int]]) -> int:
        """How many of them were this location's."""
        detached = 0
        for start in range(0, len(entries), CHUNK):
            page: chain[str | int] = chain.from_iterable(entries[start : start + CHUNK])
            arguments = (self._prefix, location.boot, location.server, *page)
            detached += await self._role.run("detach", self._detach, arguments)
        return detached

    async def renew(self, location: Location, entries: Sequence[tuple[str, int]]) -> list[str]:
        """See :class:`imd.interfaces.Presence`."""
        others: list[bytes] = []
        for start in range(0, len(entries), CHUNK):
            page: chain[str | int] = chain.from_iterable(entries[start : start + CHUNK])
            arguments = (self._prefix, location.boot, location.server, self._entry_seconds, *page)
            others += await self._role.run("renew", self._renew, arguments)
        return [key.decode() for key in others]

    async def locate_keys(self, keys: Collection[str]) -> dict[str, Location]:
        """See :class:`imd.interfaces.Presence`."""
        found = await self._locate("locate_keys", self._locate_keys, keys)
        seen: dict[bytes, Location] = {}
        return {key: _location(value, seen) for key, value in zip(keys, found, strict=True) if value}

    async def locate_members(self, mids: Collection[int]) -> dict[int, dict[str, Location]]:
        """See :class:`imd.interfaces.Presence`."""
        found = await self._locate("locate_members", self._locate_members, mids)
        seen: dict[bytes, Location] = {}
        return {
            mid: {key.decode(): _location(value, seen) for key, value in zip(flat[::2], flat[1::2], strict=True)}
            for mid, flat in zip(mids, found, strict=True)
            if flat
        }

    async def _locate(self, call: str, script: RedisScript, names: Iterable[str | int]) -> list[Any]:
        """What a script answers for each of ``names``, in order."""
        answers: list[Any] = []
        rest = iter(names)
        while page := tuple(islice(rest, CHUNK)):
            answers += await self._role.run(call, script, (self._prefix, *page))
        return answers


def _location(value: bytes, seen: dict[bytes, Location]) -> Location:
    """What ``<boot>:<server>`` says. A call's answers name few servers: each is read once."""
    location = seen.get(value)
    if location is None:
        boot, _, server = value.partition(b":")
        location = seen[value] = Location(server.decode(), int(boot))
    return location
