"""How many devices a member may have connected: the longest there make room for the newest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred, DeferredList

from imd.errors import CloseReason
from imd.interfaces import Presence
from imd.logic.kicks import Kicks


@dataclass(frozen=True, slots=True)
class DeviceLimits:
    """Connections of one member at a time, by platform. ``[devices]``."""

    default: int = 0  # of a platform that is not named; 0 = unlimited
    per_platform: Mapping[str, int] = field(default_factory=dict)

    def of(self, platform: str) -> int:
        """That of one platform, as the client or its token names it; 0 = unlimited."""
        return self.per_platform.get(platform, self.default)


class Devices:
    """Asked when a device has connected. Two that do so at once see the same order of arrival in presence: whichever asks
    last sees both, so that the limit holds in the end, and neither ends the other twice over."""

    __slots__ = ("_kicks", "_limits", "_presence")

    def __init__(self, *, presence: Presence, kicks: Kicks, limits: DeviceLimits) -> None:
        self._presence = presence
        self._kicks = kicks
        self._limits = limits

    async def all_connected(self, arrivals: Sequence[tuple[str, int, str]]) -> None:
        """:meth:`connected` of each (key, mid, platform), side by side."""
        limited = [each for each in arrivals if each[1] and self._limits.of(each[2])]
        if limited:
            asked = [Deferred.fromCoroutine(self.connected(*each)) for each in limited]
            for succeeded, failure in await DeferredList(asked, consumeErrors=True):
                if not succeeded:
                    failure.raiseException()  # type: ignore[attr-defined]  # a Failure, when it has not

    async def connected(self, key: str, mid: int, platform: str) -> None:
        """End the member's connections beyond the limit, the longest there first, and never this one. Costs nothing for
        anonymous clients and without a limit. Raises :class:`imd.errors.PresenceUnavailable`."""
        limit = self._limits.of(platform)
        if not mid or not limit:
            return
        devices = await self._presence.devices(mid, platform)
        excess = [device for device in devices[: max(0, len(devices) - limit)] if device[0] != key]
        if excess:
            await self._kicks.kick(excess, CloseReason.DEVICE_LIMIT)
