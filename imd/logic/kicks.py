"""Kicks: connections that must end, told through the broker, in order with the pushes to their keys."""

from collections.abc import Callable, Sequence

from twisted.logger import Logger

from imd.errors import CloseReason, Overloaded, Unavailable
from imd.interfaces import Broker, Location
from imd.logic.ids import IdMaker
from imd.logic.offers import Offers
from imd.metrics import Metrics
from imd.protocol.push import Push, Target, partition_of


class Kicks:
    """Tells the comets that hold them. A kick that the broker cannot take is logged: whoever asks goes on."""

    _log = Logger()

    __slots__ = ("_ids", "_now", "_offers", "_partitions")

    def __init__(self, *, broker: Broker, ids: IdMaker, now: Callable[[], float], metrics: Metrics) -> None:
        self._partitions = broker.partitions
        self._offers = Offers(broker=broker, metrics=metrics)
        self._ids = ids
        self._now = now  # the wall clock, seconds since the epoch

    async def kick(self, connections: Sequence[tuple[str, Location]], reason: CloseReason | None = None) -> None:
        """End these (key, where). ``reason`` None: each key is a newer connection's by now, and its comet will see that for
        itself, at its next renewal if not before."""
        try:
            await self._offers.publish([self._share(key, location, reason) for key, location in connections])
        except (Unavailable, Overloaded) as error:
            servers = ", ".join(sorted({location.server for _, location in connections}))
            self._log.warn("connections on {servers} should end, and stay: {error}", servers=servers, error=error)

    def _share(self, key: str, location: Location, reason: CloseReason | None) -> tuple[int, Push]:
        push = Push(
            self._ids.make(),
            int(self._now() * 1000),
            Target.KICK,
            keys=(key,),
            server=location.server,
            boot=location.boot,
            reason=reason.code if reason else 0,
        )
        return partition_of(key, self._partitions), push
