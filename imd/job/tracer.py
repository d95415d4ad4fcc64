"""The tracer: notes where traced pushes are, beside their delivery."""

from collections.abc import Callable, Sequence

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from imd.errors import Unavailable
from imd.interfaces import Clock, Traces
from imd.job.delivery import Delivery
from imd.metrics import Metrics
from imd.protocol.trace import Hop, Step

MAX_WAITING = 10_000  # hops: beyond, later ones are lost
MAX_NOTED = 500  # hops in one call
MAX_HOPS = 1_000  # of one push: more devices than that are not told apart
NOTE_SECONDS = 5.0  # for one call


class Tracer:
    """Never delays a delivery and never fails one: hops that the store does not take in time are lost, and counted.

    One call is under way at a time; what comes meanwhile gathers and leaves in the next.
    """

    log = Logger()

    __slots__ = ("_busy", "_clock", "_metrics", "_noting", "_now_ms", "_process", "_store", "_waiting")

    def __init__(
        self, *, store: Traces | None, process: str, clock: Clock, now_ms: Callable[[], int], metrics: Metrics
    ) -> None:
        self._store = store  # None = nothing is traced here
        self._process = process  # "job/<id>", as hops name it
        self._clock = clock
        self._now_ms = now_ms  # since the epoch
        self._metrics = metrics
        self._waiting: list[tuple[int, Hop]] = []  # at most MAX_WAITING
        self._busy = False  # a call is under way
        self._noting: Deferred[None] | None = None  # that; None before the first

    async def close(self) -> None:
        """Returns once what waits is noted, or lost."""
        if self._busy and self._noting is not None:
            await self._noting

    def note(self, delivery: Delivery, step: Step, *, mid: int = 0, device: str = "", reason: str = "") -> None:
        """One hop of a traced push, here and now."""
        timeline, seq = delivery.share(mid)
        hop = Hop(step, self._now_ms(), self._process, timeline, seq, mid, device, reason)
        self.pass_on(delivery, (hop,))

    def miss(self, delivery: Delivery, whom: Sequence[tuple[str, int]], reason: str) -> None:
        """These (device, mid) get nothing now; a kept push is in their timeline all the same."""
        step = Step.KEPT if delivery.kept else Step.DROPPED
        for device, mid in whom[:MAX_HOPS]:
            self.note(delivery, step, mid=mid, device=device, reason=reason)

    def pass_on(self, delivery: Delivery, hops: Sequence[Hop]) -> None:
        """What a comet says of a traced push."""
        if self._store is None:
            return
        room = MAX_WAITING - len(self._waiting)
        self._waiting += [(delivery.push.id, hop) for hop in hops[:room]]
        if len(hops) > room:
            self._metrics.trace_hops.add(len(hops) - room, "lost")
        if not self._busy and self._waiting:
            self._busy = True
            self._noting = Deferred.fromCoroutine(self._note(self._store))

    async def _note(self, store: Traces) -> None:
        try:
            while self._waiting:
                hops, self._waiting = self._waiting[:MAX_NOTED], self._waiting[MAX_NOTED:]
                outcome = "noted" if await self._noted(store, hops) else "lost"
                self._metrics.trace_hops.add(len(hops), outcome)
        finally:
            self._busy = False

    async def _noted(self, store: Traces, hops: Sequence[tuple[int, Hop]]) -> bool:
        call = Deferred.fromCoroutine(_call(store, hops))
        timer = self._clock.callLater(NOTE_SECONDS, call.cancel)
        try:
            await call
        except CancelledError:
            if timer.active():  # not by the timer: whoever waits for us gave up
                raise
            return False
        except Unavailable:  # said by the store, and counted here
            return False
        except Exception:  # a bug in the store of traces must not end the tracer
            self.log.failure("Hops of traced pushes could not be noted")
            return False
        finally:
            if timer.active():
                timer.cancel()
        return True


async def _call(store: Traces, hops: Sequence[tuple[int, Hop]]) -> None:
    await store.note(hops)
