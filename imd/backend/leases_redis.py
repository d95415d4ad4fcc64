"""Which comets live, in Redis: a key per server that expires."""

from imd.backend.redis import RedisLink
from imd.backend.redis_role import RedisRole
from imd.backend.redis_script import load_script
from imd.errors import PresenceUnavailable, ServerIdTaken
from imd.interfaces import Clock, Location
from imd.metrics import Metrics


class LeasesRedis:
    """``<prefix>:lease:<server>`` holds the boot for ``lease_seconds`` from its last renewal, by Redis' clock.

    Presence and rooms of the same prefix read it in their scripts. Raises :class:`imd.errors.PresenceUnavailable`.
    """

    __slots__ = ("_lease_ms", "_prefix", "_release", "_renew", "_role")

    def __init__(
        self, *, link: RedisLink, clock: Clock, metrics: Metrics, prefix: str = "imd", lease_seconds: float = 30.0
    ) -> None:
        self._role = RedisRole(link=link, clock=clock, metrics=metrics, name="leases", unavailable=PresenceUnavailable)
        self._prefix = prefix
        self._lease_ms = int(lease_seconds * 1000)
        self._renew = load_script("lease_renew")
        self._release = load_script("lease_release")

    async def renew(self, location: Location) -> bool:
        """See :class:`imd.interfaces.Leases`."""
        answer = await self._role.run("renew", self._renew, (location.boot, self._lease_ms), [self._key(location)])
        if isinstance(answer, bytes):
            newer = answer.decode()
            raise ServerIdTaken(f"server {location.server} was started again at {newer}, after {location.boot}")
        return bool(answer)

    async def release(self, location: Location) -> None:
        """See :class:`imd.interfaces.Leases`."""
        await self._role.run("release", self._release, (location.boot,), [self._key(location)])

    def _key(self, location: Location) -> str:
        return f"{self._prefix}:lease:{location.server}"
