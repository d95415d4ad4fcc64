"""An alarm: one timer for something whose deadline moves all the time."""

from collections.abc import Callable
from math import inf

from imd.interfaces import Clock, Timer


class Alarm:
    """Rings once it is due. Its timer is not moved along: it may go off too early, finds that out, and is set again.

    To make and to cancel a timer takes a reactor some ten calls; to be due later, or no more, takes an alarm none.
    """

    __slots__ = ("_clock", "_due_at", "_ring", "_timer", "_timer_at")

    def __init__(self, clock: Clock, ring: Callable[[], None]) -> None:
        self._clock = clock
        self._ring = ring
        self._due_at = inf
        self._timer: Timer | None = None  # when it is due, or earlier; None: it was not due for a while
        self._timer_at = inf

    def due(self, at: float) -> None:
        """Ring when the clock says ``at``, in seconds, instead of when it was due before; ``inf`` = not at all."""
        self._due_at = at
        if at < self._timer_at:
            self.stop()
            self._start(at)

    def stop(self) -> None:
        """Ring no more, and leave no timer behind."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._timer_at = None, inf

    def _start(self, at: float) -> None:
        self._due_at = self._timer_at = at
        self._timer = self._clock.callLater(max(0.0, at - self._clock.seconds()), self._go_off)

    def _go_off(self) -> None:
        self._timer, self._timer_at = None, inf
        if self._due_at == inf:
            return
        if self._due_at > self._clock.seconds():
            self._start(self._due_at)
            return
        self._due_at = inf
        self._ring()
