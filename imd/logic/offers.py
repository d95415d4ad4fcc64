"""Offers: shares on their way into the broker, counted until it has answered."""

from collections.abc import Sequence

from imd.interfaces import Broker, Receipt
from imd.metrics import Metrics
from imd.protocol.push import LABELS, Push


class Offers:
    """Of one kind of asker: what is under way of each is a figure of its own in the ledger."""

    __slots__ = ("_broker", "_by", "_metrics", "_under_way")

    def __init__(self, *, broker: Broker, metrics: Metrics, by: str) -> None:
        self._broker = broker
        self._metrics = metrics
        self._by = by  # who asks, as the metric calls it
        self._under_way = 0  # shares for which the broker has not answered

    async def publish(self, shares: Sequence[tuple[int, Push]]) -> list[Receipt]:
        """See :meth:`imd.interfaces.Broker.publish`; raises what that raises."""
        self._metrics.offered.add_each([(LABELS[push.target],) for _, push in shares])
        self._count(len(shares))
        try:
            return await self._broker.publish(shares)
        finally:
            self._count(-len(shares))

    def _count(self, change: int) -> None:
        self._under_way += change
        self._metrics.offering.set(self._under_way, self._by)
