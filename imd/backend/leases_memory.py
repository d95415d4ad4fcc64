"""Which comets live, in this process's memory."""

from typing import NamedTuple

from imd.errors import ServerIdTaken
from imd.interfaces import Clock, Location


class _Lease(NamedTuple):
    boot: int
    expires_at: float  # on the clock


class LeasesMemory:
    """A lease lasts ``lease_seconds`` from its last renewal. Presence and rooms ask it who lives."""

    __slots__ = ("_clock", "_leases", "_seconds")

    def __init__(self, *, clock: Clock, lease_seconds: float) -> None:
        self._clock = clock
        self._seconds = lease_seconds
        self._leases: dict[str, _Lease] = {}  # by server; one that lapsed stays until its server comes back

    async def renew(self, location: Location) -> bool:
        """See :class:`imd.interfaces.Leases`."""
        now = self._clock.seconds()
        held = self._leases.get(location.server)
        living = held is not None and held.expires_at > now
        if held is not None and living and held.boot > location.boot:
            raise ServerIdTaken(f"server {location.server} was started again at {held.boot}, after {location.boot}")
        self._leases[location.server] = _Lease(location.boot, now + self._seconds)
        return held is not None and living and held.boot == location.boot

    async def release(self, location: Location) -> None:
        """See :class:`imd.interfaces.Leases`."""
        held = self._leases.get(location.server)
        if held is not None and held.boot == location.boot:
            del self._leases[location.server]

    def lives(self, location: Location) -> bool:
        """Whether this start of the server holds a lease now."""
        held = self._leases.get(location.server)
        return held is not None and held.boot == location.boot and held.expires_at > self._clock.seconds()
