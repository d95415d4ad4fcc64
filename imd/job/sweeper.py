"""The sweeper: lets the messages go that are too old, in the timelines of the partitions that this job owns."""

from collections.abc import Callable, Collection

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from imd.errors import Unavailable
from imd.interfaces import Clock, Timelines
from imd.job.pause import pause
from imd.job.product import Product
from imd.job.settings import JobSettings


class Sweeper:
    """One call at a time, partition by partition; a store that is away is tried again at the next sweep. Two jobs that sweep
    the same partition for a moment do no harm."""

    log = Logger()

    __slots__ = ("_clock", "_partitions", "_product", "_settings", "_sweeping", "_timelines")

    def __init__(
        self,
        *,
        timelines: Timelines,
        partitions: Callable[[], Collection[int]],
        product: Product,
        clock: Clock,
        settings: JobSettings,
    ) -> None:
        self._timelines = timelines
        self._partitions = partitions  # those that are ours now
        self._product = product  # the timelines, as something that may be away
        self._clock = clock
        self._settings = settings
        self._sweeping: Deferred[None] | None = None  # None while closed

    def open(self) -> None:
        """Begin."""
        self._sweeping = Deferred.fromCoroutine(self._sweep_for_ever())
        self._sweeping.addErrback(lambda failure: failure.trap(CancelledError))

    def close(self) -> None:
        """End, in the middle of a sweep too."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None

    async def _sweep_for_ever(self) -> None:
        while True:
            await pause(self._clock, self._settings.sweep_seconds)
            for number in sorted(self._partitions()):
                try:
                    await self._sweep(number)
                    self._product.answered()
                except CancelledError:
                    raise
                except Unavailable as error:
                    self._product.lost(error)
                    break
                except Exception:  # a bug with one partition's timelines must not keep the others
                    self.log.failure("The timelines of partition {number} could not be swept", number=number)

    async def _sweep(self, number: int) -> None:
        while number in self._partitions():
            if not (await self._timelines.sweep(number, self._settings.sweep_timelines)).more:
                return
            await pause(self._clock, 0)  # others have their turn, whatever the store answers from
