"""Lets the reader of a partition wait for the next entry, at most so long."""

from twisted.internet.defer import Deferred

from imd.interfaces import Clock


class Arrival:
    """One waiting reader. Nothing is polled: whoever stores an entry announces it."""

    __slots__ = ("_clock", "_waiter")

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._waiter: Deferred[None] | None = None  # while somebody waits

    async def wait(self, seconds: float) -> None:
        """Return at the next :meth:`announce`, or after ``seconds``. One call at a time; it may be cancelled."""
        assert self._waiter is None, "a partition has one reader, and it makes one call at a time"
        waiter: Deferred[None] = Deferred()
        self._waiter = waiter
        timer = self._clock.callLater(seconds, self.announce)
        try:
            await waiter
        finally:
            self._waiter = None
            if timer.active():
                timer.cancel()

    def announce(self) -> None:
        """There is something to read, or no reason to wait any longer."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.callback(None)
