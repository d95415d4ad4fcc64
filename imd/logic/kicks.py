"""Kicks: connections that must end, told through the broker, in order with the pushes to their keys."""

from collections.abc import Callable, Sequence

from twisted.logger import Logger

from imd.errors import CloseReason, Overloaded, Unavailable
from imd.interfaces import Broker, Location
from imd.logic.ids import IdMaker
from imd.metrics import Metrics
from imd.protocol.push import Push, Target, partition_of


class Kicks:
    """Tells the comets that hold them. A kick that the broker cannot take is logged: whoever asks goes on."""

    _log = Logger()

    __slots__ = ("_broker", "_ids", "_metrics", "_now", "_offering")

    def __init__(self, *, broker: Broker, ids: IdMaker, now: Callable[[], float], metrics: Metrics) -> None:
        self._broker = broker
        self._ids = ids
        self._now = now  # the wall clock, seconds since the epoch
        self._metrics = metrics
        self._offering = 0  # kicks for which the broker has not answered

    async def kick(self, connections: Sequence[tuple[str, Location]], reason: CloseReason | None = None) -> None:
        """End these (key, where). ``reason`` None: each key is a newer connection's by now, and its comet will see that for
        itself, at its next renewal if not before."""
        try:
            await self._offer([self._share(key, location, reason) for key, location in connections])
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
        return partition_of(key, self._broker.partitions), push

    async def _offer(self, kicks: Sequence[tuple[int, Push]]) -> None:
        self._metrics.offered.add(len(kicks), "kick")
        self._offers(len(kicks))
        try:
            await self._broker.publish(kicks)
        finally:
            self._offers(-len(kicks))

    def _offers(self, change: int) -> None:
        self._offering += change
        self._metrics.offering.set(self._offering, "kick")
