"""Turnstile: how many clients may have their timelines looked up a second."""

from math import ceil

from imd.comet.rate import TokenBucket
from imd.errors import Overloaded

LONGEST_SECONDS = 60  # that a client is sent away for
TIMELINES = 10  # of one client that cost no more than one does; each ten more count as another client


class Turnstile:
    """Whoever is refused is given a turn of its own, behind those who were refused before: so they do not all come back at
    once, and the pause that they are told grows with their number."""

    __slots__ = ("_booked_at", "_burst", "_per_second", "_tokens")

    def __init__(self, *, per_second: float, burst: int) -> None:
        self._per_second = per_second
        self._burst = burst  # that may come at once
        self._tokens = TokenBucket()
        self._booked_at = 0.0  # clock seconds of the last turn that was given to somebody who was refused

    def enter(self, now: float, timelines: int = 1) -> None:
        """One client comes through, for so many timelines. Raises :class:`Overloaded`, with the time until its turn."""
        price = min(ceil(timelines / TIMELINES), self._burst)  # more than all at once could never be paid
        if self._tokens.take(now, self._per_second, self._burst, price):
            return
        last = now + LONGEST_SECONDS
        self._booked_at = min(max(self._booked_at, now) + price / self._per_second, last)
        raise Overloaded("too many clients resume at once", ceil(self._booked_at - now))
