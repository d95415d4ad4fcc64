"""Time for deadlines: a clock that nobody sets."""

import time
from typing import Any


def use_steady_clock(reactor: Any) -> None:
    """Let the reactor's timers go by the monotonic clock; call it before the first timer exists.

    Twisted's go by the system's time (26.10): set forward by eight minutes it ends every client for want of heartbeats, set
    back it holds renewals and RPC deadlines up. What needs the date asks for it by itself.
    """
    reactor.seconds = time.monotonic
