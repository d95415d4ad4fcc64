"""Courier: takes what gathers here to logic, a page at a time."""

from collections.abc import Awaitable, Callable

from twisted.logger import Logger

from imd.comet.work import Work
from imd.errors import Overloaded, Unavailable
from imd.interfaces import Clock, Timer

RETRY_SECONDS = 1.0  # after a page that was not taken


class Courier:
    """One page is under way at most, so pages cannot overtake each other. No timer while there is nothing to take."""

    _log = Logger()

    __slots__ = ("_carry", "_clock", "_gather_seconds", "_stopped", "_timer", "_under_way", "_work")

    def __init__(
        self, *, clock: Clock, work: Work, gather_seconds: float, carry: Callable[[], Awaitable[bool]]
    ) -> None:
        self._clock = clock
        self._work = work
        self._gather_seconds = gather_seconds  # what comes within it shares a page
        # Takes one page; answers whether there is more. Raises Unavailable or Overloaded when its page must be tried again.
        self._carry = carry
        self._timer: Timer | None = None  # when it leaves; None = nothing has gathered, or it is under way
        self._under_way = False
        self._stopped = False  # it waits for nothing any more

    def wake(self) -> None:
        """Something has gathered."""
        if not self._under_way and self._timer is None:
            self._wait(self._gather_seconds)

    def stop(self) -> None:
        """Take what there is now; what is not taken at once then is lost. :meth:`imd.comet.work.Work.drain` waits for it."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._leave()

    def _wait(self, seconds: float) -> None:
        if self._stopped:
            self._leave()
        else:
            self._timer = self._clock.callLater(seconds, self._leave)

    def _leave(self) -> None:
        self._timer = None
        self._under_way = True
        self._work.start(self._trip())

    async def _trip(self) -> None:
        failed = False
        try:
            while await self._carry():
                pass
        except (Unavailable, Overloaded) as error:
            failed = True
            self._log.debug("a page was not taken: {error}", error=error)
        finally:
            self._under_way = False
        if failed and not self._stopped:
            self._wait(RETRY_SECONDS)
