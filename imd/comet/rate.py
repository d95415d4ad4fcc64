"""A token bucket in one float."""


class TokenBucket:
    """How often one client may send. There is one per connection: no timer, nothing done while nothing comes.

    Holds ``burst`` tokens at most and gains ``per_second``; kept as the time at which it will be full again.
    """

    __slots__ = ("_full_at",)

    def __init__(self) -> None:
        self._full_at = 0.0  # clock seconds

    def take(self, now: float, per_second: float, burst: int, tokens: float = 1) -> bool:
        """Take so many tokens; False, and none taken, when there are not enough."""
        full_at = max(self._full_at, now) + tokens / per_second
        if full_at - now > burst / per_second + 1e-6:  # sums of floats are rounded so
            return False
        self._full_at = full_at
        return True
