"""What becomes of pushes to a client that does not keep up."""

from enum import Enum, unique


@unique
class SlowPolicy(Enum):
    """What a push does to an outbox that has no room for it. Configured per room type and for inboxes; value = its name there.

    Replies to a client are never dropped by any policy.
    """

    DISCONNECT = (
        "disconnect"  # the connection ends with SLOW_CONSUMER: nothing is missing in the middle of what was read
    )
    DROP_OLDEST = "drop_oldest"  # the oldest held pushes that may be dropped make room
    LATEST_ONLY = "latest_only"  # while a client lags, one push per room is held: the newest; then as DROP_OLDEST
