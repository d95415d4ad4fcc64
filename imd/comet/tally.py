"""Tally: what became of a load, in channels."""

from imd.comet.drop import Drop
from imd.metrics import Metrics
from imd.protocol.rpc import Outcome


class Tally:
    """Counts channels; a load carries several packets, so what leaves here is multiplied by them."""

    __slots__ = ("delivered", "drops", "filtered", "left", "offered", "unknown")

    def __init__(self) -> None:
        self.offered = 0  # whose turn has come
        self.delivered = 0  # written, or taken by the outbox
        self.filtered = 0  # the channel does not accept the operation
        self.left = 0  # the channel went, or left the room, before its turn: nothing was promised to it
        self.drops: dict[Drop, int] = {}
        self.unknown: list[str] = []  # keys that are not here

    def drop(self, drop: Drop, channels: int = 1) -> None:
        """Count channels that did not get it."""
        self.drops[drop] = self.drops.get(drop, 0) + channels

    def outcome(self, packets: int) -> Outcome:
        """As job hears it, for an item of so many packets."""
        return Outcome(
            delivered=self.delivered * packets,
            filtered=self.filtered * packets,
            dropped=tuple((drop.value, channels * packets) for drop, channels in self.drops.items()),
            unknown=tuple(self.unknown),
        )

    def count(self, metrics: Metrics, target: str, packets: int) -> None:
        """Add it to the counters."""
        if self.offered:
            metrics.packets_offered.add(self.offered * packets, target)
        if self.left:
            metrics.deliveries.add(self.left * packets, target, "left")
        if self.delivered:
            metrics.deliveries.add(self.delivered * packets, target, "delivered")
        if self.filtered:
            metrics.deliveries.add(self.filtered * packets, target, "filtered")
        for drop, channels in self.drops.items():
            metrics.drops.add(channels * packets, "comet", drop.value)
