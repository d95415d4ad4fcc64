"""Why a pushed packet did not reach a client."""

from enum import StrEnum, unique


@unique
class Drop(StrEnum):
    """The value is the reason's label in ``metrics.drops`` (layer ``comet``) and in :class:`imd.protocol.rpc.Outcome`.

    Labels that begin with ``outbox_`` are of packets that an outbox had taken, so that they count as delivered too:
    *pushed = delivered + filtered + dropped without outbox_*, and *delivered = written + held + dropped with outbox_*.
    """

    SLOW_CONSUMER = "slow_consumer"  # the outbox was full, and the connection ends for it
    FULL = "full"  # the outbox was full of what may not be dropped, or is too small for it
    CLOSING = "closing"  # the connection was ending already
    FAULT = "fault"  # a bug of ours; the connection ends
    STOPPED = "stopped"  # the comet stopped before a paced broadcast came to the channel
    SWEEPS = "sweeps"  # a paced broadcast while as many as allowed were under way

    OUTBOX_OLDEST = "outbox_oldest"  # made room for a newer one
    OUTBOX_SUPERSEDED = "outbox_superseded"  # a newer one of its room took its place
    OUTBOX_LOST = "outbox_lost"  # was held when the connection ended
