"""What becomes of pushes to a client that does not keep up."""

from enum import Enum, unique


@unique
class SlowPolicy(Enum):
    """What a push does to an outbox that has no room for it. Configured per room type and for inboxes; value = its name there.

    Replies to a client are never dropped by any policy.
    """

    # The connection ends with SLOW_CONSUMER: nothing is missing in the middle of what was read
    DISCONNECT = "disconnect"
    # The oldest held pushes that may be dropped make room
    DROP_OLDEST = "drop_oldest"
    # While a client lags, one push is held of each room, and one of all to its key, its member or everybody: the newest; then
    # as DROP_OLDEST
    LATEST_ONLY = "latest_only"
