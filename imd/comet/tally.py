"""Tally: what became of a load, in channels."""

from imd.comet.drop import Drop
from imd.comet.fate import Fate
from imd.metrics import Metrics
from imd.protocol.rpc import Outcome
from imd.protocol.trace import Hop


class Tally:
    """Counts channels; a load carries several packets, so what leaves here is multiplied by them. A channel that had some
    packets of a load already is counted by parts."""

    __slots__ = ("_whole", "hops", "offered", "parts", "unknown")

    def __init__(self) -> None:
        self.offered = 0  # whose turn has come
        self._whole: dict[Fate | Drop, int] = {}  # what became of the whole load -> channels, never 0
        # (what became of them, the first packet, the one behind the last) -> channels; the rest of such a channel's packets
        # are in other parts
        self.parts: dict[tuple[Fate | Drop, int, int], int] = {}
        self.unknown: list[str] = []  # keys that are not here
        self.hops: list[Hop] | tuple[Hop, ...] = ()  # of a traced item

    @property
    def fates(self) -> dict[Fate, int]:
        """Channels of which this became of the whole load, unless they dropped it."""
        return {fate: channels for fate, channels in self._whole.items() if isinstance(fate, Fate)}

    @property
    def drops(self) -> dict[Drop, int]:
        """Channels that dropped the whole load for this."""
        return {drop: channels for drop, channels in self._whole.items() if isinstance(drop, Drop)}

    @property
    def delivered(self) -> int:
        """Channels that took all of it."""
        return self._whole.get(Fate.DELIVERED, 0)

    def add(self, fate: Fate | Drop, channels: int = 1) -> None:
        """Count channels of which this became of the whole load."""
        if channels:
            self._whole[fate] = self._whole.get(fate, 0) + channels

    def add_part(self, fate: Fate | Drop, start: int, stop: int) -> None:
        """This became of the packets from ``start`` to before ``stop``, for one channel."""
        part = (fate, start, stop)
        self.parts[part] = self.parts.get(part, 0) + 1

    def outcome(self, packets: int, start: int = 0) -> Outcome:
        """As job hears it, for an item of so many packets that begins with the load's packet ``start``."""
        counts = self._counts(start, start + packets)
        return Outcome(
            delivered=counts.pop(Fate.DELIVERED, 0),
            filtered=counts.pop(Fate.FILTERED, 0),
            duplicate=counts.pop(Fate.DUPLICATE, 0),
            deferred=counts.pop(Fate.DEFERRED, 0),
            dropped=tuple([(drop.value, count) for drop, count in counts.items() if isinstance(drop, Drop)]),
            unknown=tuple(self.unknown),
            hops=tuple(self.hops),
        )

    def count(self, metrics: Metrics, target: str, packets: int) -> None:
        """Add it to the counters."""
        if self.offered:
            metrics.packets_offered.add(self.offered * packets, target)
        for fate, count in self._counts(0, packets).items():  # they are strings, and their own labels
            if isinstance(fate, Drop):
                metrics.drops.add(count, "comet", fate)
            else:
                metrics.deliveries.add(count, target, fate)

    def _counts(self, start: int, stop: int) -> dict[Fate | Drop, int]:
        """Packets times channels, of the packets from ``start`` to before ``stop``; each above zero."""
        counts = {fate: channels * (stop - start) for fate, channels in self._whole.items()}
        for (fate, first, behind), channels in self.parts.items():
            packets = min(stop, behind) - max(start, first)
            if packets > 0:
                counts[fate] = counts.get(fate, 0) + channels * packets
        return counts
