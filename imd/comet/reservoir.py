"""Reservoir: what all outboxes of a comet share."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from imd.comet.drop import Drop
from imd.interfaces import Clock
from imd.metrics import Metrics

if TYPE_CHECKING:
    from imd.comet.outbox import Outbox


class Reservoir:
    """The limit of each outbox, and the sums over all of them."""

    __slots__ = ("clock", "holders", "limit_bytes", "metrics", "waiting")

    def __init__(self, *, clock: Clock, metrics: Metrics, limit_bytes: int) -> None:
        self.clock = clock
        self.metrics = metrics
        self.limit_bytes = limit_bytes  # what one outbox may hold, bookkeeping included
        self.holders: set[Outbox] = set()  # the outboxes that hold something
        self.waiting: dict[Outbox, list[Callable[[], None]]] = {}  # called once the outbox is idle, or has ended

    def dropped(self, packets: int, drop: Drop) -> None:
        """Count packets that an outbox had taken and did not write."""
        if packets:
            self.metrics.drops.add(packets, "comet", drop.value)

    def held(self, packets: int) -> None:
        """Count packets that an outbox had to hold: each is counted again, as written or dropped."""
        self.metrics.outbox_held.add(packets)

    def written(self, packets: int) -> None:
        """Count packets that an outbox had held and has written."""
        self.metrics.outbox_written.add(packets)

    def replayed(self, packets: int, outcome: str) -> None:
        """Count packets out of a timeline: written at once, held, or dropped."""
        self.metrics.replayed.add(packets, outcome)

    @property
    def packets(self) -> int:
        """What all outboxes hold. Looks at every holder."""
        return sum(outbox.held_packets for outbox in self.holders)

    @property
    def size_bytes(self) -> int:
        """What all outboxes hold. Looks at every holder."""
        return sum(outbox.held_bytes for outbox in self.holders)

    @property
    def oldest_seconds(self) -> float:
        """Age of the oldest bytes held for anyone; 0 when nothing is held. Looks at every holder."""
        oldest = min((outbox.oldest_at for outbox in self.holders), default=None)
        return 0.0 if oldest is None else self.clock.seconds() - oldest
