"""A product that job cannot do without: asked until it answers."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from twisted.logger import Logger

from imd.errors import Unavailable
from imd.interfaces import Clock
from imd.job.pause import pause
from imd.job.settings import JobSettings

T = TypeVar("T")


class Product:
    """Presence or the broker, as all partitions of this job see it. Its going and coming back are logged once each."""

    log = Logger()

    __slots__ = ("_clock", "_name", "_settings", "_trouble")

    def __init__(self, *, name: str, clock: Clock, settings: JobSettings) -> None:
        self._name = name
        self._clock = clock
        self._settings = settings
        self._trouble: str | None = None  # None while it answers

    def trouble(self) -> str | None:
        """None when it answered last; else one sentence."""
        return self._trouble

    def lost(self, error: Unavailable) -> None:
        """A call failed."""
        if self._trouble is None:
            self.log.warn("{product} is away, pushes wait: {error}", product=self._name, error=str(error))
        self._trouble = f"{self._name}: {error}"

    def answered(self) -> None:
        """A call succeeded."""
        if self._trouble is not None:
            self.log.info("{product} is back", product=self._name)
            self._trouble = None

    async def persist(self, call: Callable[[], Awaitable[T]]) -> T:
        """The call's result, however long it takes until the product is there. Ends by cancelling only; errors that do not
        say "away" are raised."""
        wait = self._settings.retry_min_seconds
        while True:
            try:
                result = await call()
            except Unavailable as error:
                self.lost(error)
            else:
                self.answered()
                return result
            await pause(self._clock, wait)
            wait = min(2 * wait, self._settings.retry_max_seconds)
