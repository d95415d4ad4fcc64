"""How long to wait before the next try."""

from collections.abc import Callable

from twisted.internet.defer import Deferred

from imd.interfaces import Clock

FIRST_DELAY_SECONDS = 1.0  # before the second try, at most
MAX_DELAY_SECONDS = 60.0
FACTOR = 1.5  # each further one waits up to half as long again
STEADY_SECONDS = 30.0  # a connection that held as long was good: the next loss begins with the first delay


class Backoff:
    """One client's. The waits are spread over all of their span, so that many clients do not come back at once."""

    __slots__ = ("_first_delay_seconds", "_jitter", "_max_delay_seconds", "_tries")

    def __init__(self, *, first_delay_seconds: float, max_delay_seconds: float, jitter: Callable[[], float]) -> None:
        self._first_delay_seconds = first_delay_seconds
        self._max_delay_seconds = max_delay_seconds
        self._jitter = jitter  # 0 to 1, random
        self._tries = 0  # since the last good connection

    def after(self, held_seconds: float, least_ms: int = 0) -> float:
        """Seconds to wait after a try that held so long; never less than the server asked for."""
        if held_seconds >= STEADY_SECONDS:
            self._tries = 0
        most = min(self._max_delay_seconds, self._first_delay_seconds * FACTOR ** min(self._tries, 64))
        self._tries += 1
        return least_ms / 1000 + most * self._jitter()


async def pause(clock: Clock, seconds: float) -> None:
    """Returns after as long."""
    over: Deferred[None] = Deferred()
    timer = clock.callLater(seconds, over.callback, None)
    try:
        await over
    finally:
        if timer.active():
            timer.cancel()
