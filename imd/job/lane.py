"""A lane: from one partition to one start of one comet, in order."""

from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum, unique

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from imd.errors import BadRequest, Fenced, ImdError, Overloaded, PeerDown, Unavailable
from imd.interfaces import Clock, Comets, Location
from imd.job.batch import take
from imd.job.parcel import Parcel
from imd.job.pause import pause
from imd.job.settings import JobSettings
from imd.job.stamp import Stamp
from imd.protocol import rpc


@unique
class Miss(Enum):
    """Why the comet said nothing of a parcel. The value is the reason in the drop counter."""

    DOWN = ("comet_unavailable", 1)  # not reachable for as long as is waited: nothing was sent
    GONE = ("comet_unavailable", 2)  # it was started again since: nothing was delivered, and nobody is there any more
    LOST = ("comet_unavailable", 3)  # it vanished or stalled after it was sent: may have been delivered
    OVERLOADED = ("overloaded", 4)  # it refused for as long as is waited
    ERROR = ("error", 5)  # a bug, there or here

    @property
    def reason(self) -> str:
        """As the drop counter names it."""
        return self.value[0]


Settle = Callable[[Sequence[Parcel], Sequence[rpc.Outcome | Miss]], None]


class Lane:
    """Hands parcels over, one request under way at a time, so that order holds whatever is refused and tried again.

    What is offered meanwhile gathers and leaves in the next request. A comet that is away is waited for once; after that
    parcels fail at once until it answers again. A comet that has heard of a newer owner of the partition ends the lane: what
    was on it has no outcome, and is the newer owner's.
    """

    log = Logger()

    __slots__ = (
        "_busy",
        "_clock",
        "_comets",
        "_fenced",
        "_gave_up",
        "_location",
        "_queue",
        "_running",
        "_sent",
        "_settings",
        "_settle",
        "_stamp",
        "used_at",
    )

    def __init__(
        self,
        *,
        location: Location,
        comets: Comets,
        clock: Clock,
        settings: JobSettings,
        stamp: Stamp,
        settle: Settle,
        fenced: Callable[[], None],
    ) -> None:
        self._location = location
        self._comets = comets
        self._clock = clock
        self._settings = settings
        self._stamp = stamp  # of every batch
        self._settle = settle  # told of each parcel, once, those of a request together; never raises
        self._fenced = fenced  # told when a comet knows a newer owner; what is on the lane is never settled
        self._queue: deque[Parcel] = deque()  # bounded by the partition's window
        self._busy = False  # a request is under way, or a pause before it is tried again
        self._running: Deferred[None] | None = None  # that, to be cancelled; None before the first
        self._sent = 0  # items of the request that is under way: 0 while it waits to be tried again
        self._gave_up = False  # the comet was waited for in vain, and has not answered since
        self.used_at = clock.seconds()  # when it was last offered something

    @property
    def idle(self) -> bool:
        """Nothing waits, nothing is under way."""
        return not self._busy and not self._queue

    def offer(self, parcel: Parcel) -> None:
        """Queue it; :meth:`start` sends."""
        self._queue.append(parcel)

    def start(self) -> None:
        """Send what is queued, unless that is going on."""
        self.used_at = self._clock.seconds()
        if not self._busy and self._queue:
            self._busy = True
            self._running = Deferred.fromCoroutine(self._run())
            self._running.addErrback(lambda failure: failure.trap(CancelledError))

    def stop(self) -> int:
        """Give up what is queued and under way; nothing of it is settled. Answers how many items have no answer though sent."""
        sent = self._sent
        self._queue.clear()
        if self._running is not None:
            self._running.cancel()
        return sent

    async def _run(self) -> None:
        try:
            while self._queue:
                parcels = take(self._queue)
                self._settle(parcels, await self._outcomes(parcels))
        except Fenced:
            self._queue.clear()
            self._fenced()
        finally:
            self._busy = False

    async def _outcomes(self, parcels: Sequence[Parcel]) -> Sequence[rpc.Outcome | Miss]:
        try:
            return await self._deliver(parcels)
        except (CancelledError, Fenced):
            raise
        except Exception:  # a bug in one request must not end the lane
            self.log.failure("A batch for comet {server} failed", server=self._location.server)
            return [Miss.ERROR] * len(parcels)

    async def _deliver(self, parcels: Sequence[Parcel]) -> Sequence[rpc.Outcome | Miss]:
        items = tuple(parcel.item for parcel in parcels)
        partition, fence, sender = self._stamp
        batch = rpc.Batch(*self._location, items, partition, fence, sender)
        began, wait = self._clock.seconds(), self._settings.retry_min_seconds
        while True:
            result = await self._try(batch)
            if not isinstance(result, Miss):
                self._gave_up = False
                return result
            waited = self._clock.seconds() - began
            if waited + wait > self._patience(result):
                self._gave_up = self._gave_up or result is Miss.DOWN
                return [result] * len(parcels)
            await pause(self._clock, wait)
            wait = min(2 * wait, self._settings.retry_max_seconds)

    def _patience(self, miss: Miss) -> float:
        """Seconds for which a batch is tried again: only what was certainly not done."""
        if miss is Miss.OVERLOADED:
            return self._settings.overload_seconds
        if miss is Miss.DOWN and not self._gave_up:
            return self._settings.patience_seconds
        return 0

    async def _try(self, batch: rpc.Batch) -> Sequence[rpc.Outcome] | Miss:
        comet = self._comets.find(self._location.server)
        if comet is None or comet[0] < self._location.boot:  # the registry may not know it yet
            return Miss.DOWN
        if comet[0] > self._location.boot:
            return Miss.GONE
        self._sent = len(batch.items)
        try:
            outcomes = (await comet[1].push(batch)).outcomes
        except Fenced:
            raise
        except PeerDown:
            return Miss.DOWN
        except BadRequest:  # it was started again, and the registry does not know yet
            return Miss.GONE
        except Overloaded:
            return Miss.OVERLOADED
        except Unavailable:
            return Miss.LOST
        except ImdError as error:
            self.log.error(
                "Comet {server} could not take a batch: {error}", server=self._location.server, error=str(error)
            )
            return Miss.ERROR
        finally:
            self._sent = 0
        if len(outcomes) != len(batch.items):
            self.log.error("Comet {server} answered for other items", server=self._location.server)
            return Miss.ERROR
        return outcomes
