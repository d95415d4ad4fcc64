"""Fate: what became of a pushed packet for one channel, when it was not dropped."""

from enum import StrEnum, unique


@unique
class Fate(StrEnum):
    """The value is the outcome's label in ``metrics.deliveries``. What was dropped has a :class:`imd.comet.drop.Drop`."""

    DELIVERED = "delivered"  # written, or taken by the outbox
    FILTERED = "filtered"  # the channel does not accept the operation, or cannot read it
    LEFT = "left"  # the channel went, or left the room, before its turn: nothing was promised to it
    DUPLICATE = "duplicate"  # kept: the channel had it already
    DEFERRED = "deferred"  # kept: not written now; the channel is behind, and reads it from the timeline
