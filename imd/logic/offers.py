"""Offers: shares of pushes that are given to the broker, which accounts for each from then on."""

from collections.abc import Sequence

from imd.interfaces import Broker, Receipt
from imd.metrics import Metrics
from imd.protocol.push import LABELS, Push


class Offers:
    """Counts what the broker is given: one side of the ledger's account, whose other side the broker counts by itself."""

    __slots__ = ("_broker", "_metrics")

    def __init__(self, *, broker: Broker, metrics: Metrics) -> None:
        self._broker = broker
        self._metrics = metrics

    async def publish(self, shares: Sequence[tuple[int, Push]]) -> list[Receipt]:
        """See :meth:`imd.interfaces.Broker.publish`; raises what that raises."""
        self._metrics.offered.add_each([(LABELS[push.target],) for _, push in shares])
        return await self._broker.publish(shares)
