"""The dispatcher: takes the pushes of this job's partitions to the comets."""

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.logger import Logger

from imd.errors import Unavailable
from imd.interfaces import Backlog, Broker, Clock, Comets, Location, Presence, Rooms, Timelines, Totals, Traces
from imd.job.flight import Flight
from imd.job.handover import HandOver
from imd.job.partition import Partition
from imd.job.pause import pause
from imd.job.product import Product
from imd.job.route import Router
from imd.job.settings import JobSettings
from imd.job.stamp import Stamp, name_of
from imd.job.sweeper import Sweeper
from imd.job.tracer import Tracer
from imd.metrics import Metrics

NO_BACKLOG = Backlog(0, 0)
NO_TOTALS = Totals(0, 0, 0, 0)


class Dispatcher:
    """A :class:`imd.interfaces.Resource`; :meth:`assigned` is what :class:`imd.interfaces.Assignment` calls.

    Pushes leave the broker once their outcome is known, never before: while presence is away they wait, and what a job had
    under way when it died comes again to the next owner. A comet that is away or slow delays its own pushes, and a partition
    for as long as its links and ``patience_seconds`` wait, once.
    """

    log = Logger()

    __slots__ = (
        "_broker",
        "_broker_product",
        "_clock",
        "_comets",
        "_leaving",
        "_metrics",
        "_now_ms",
        "_partitions",
        "_polling",
        "_presence_product",
        "_router",
        "_sender",
        "_settings",
        "_sweeper",
        "_timelines",
        "_timelines_product",
        "_tracer",
    )

    def __init__(
        self,
        *,
        broker: Broker,
        presence: Presence,
        rooms: Rooms,
        comets: Comets,
        clock: Clock,
        now_ms: Callable[[], int],
        metrics: Metrics,
        settings: JobSettings | None = None,
        job: Location = Location("job", 0),  # noqa: B008  (a value)
        timelines: Timelines | None = None,
        traces: Traces | None = None,
    ) -> None:
        self._settings = settings or JobSettings()
        self._sender = name_of(job)  # this start of this job, as batches name it
        self._broker = broker
        self._comets = comets
        self._clock = clock
        self._now_ms = now_ms  # since the epoch
        self._metrics = metrics
        self._broker_product = Product(name="broker", clock=clock, settings=self._settings)
        self._presence_product = Product(name="presence", clock=clock, settings=self._settings)
        self._timelines_product = Product(name="timelines", clock=clock, settings=self._settings)
        self._timelines = timelines  # None = nothing is kept here: nothing is swept
        self._tracer = Tracer(store=traces, process=f"job/{job.server}", clock=clock, now_ms=now_ms, metrics=metrics)
        self._router = Router(presence=presence, rooms=rooms, comets=comets, metrics=metrics, tracer=self._tracer)
        self._partitions: dict[int, Partition] = {}  # those that are ours
        metrics.uncommitted.read = lambda: self._sum(lambda partition: partition.uncommitted)
        metrics.open_pushes.read = lambda: self._sum(lambda partition: partition.open)
        metrics.packets_under_way.read = lambda: self._sum(lambda partition: partition.packets_under_way)
        self._leaving: list[Partition] = []  # those that are given up, while what they have under way settles
        self._polling: Deferred[None] | None = None  # looks at what the products have counted; None while closed
        self._sweeper: Sweeper | None = None  # None without timelines
        if timelines is not None:
            self._sweeper = Sweeper(
                timelines=timelines,
                partitions=self._partitions.keys,
                product=self._timelines_product,
                clock=clock,
                settings=self._settings,
            )

    async def open(self) -> None:
        """Begin to look at what the products have counted, and to sweep; partitions come by :meth:`assigned`."""
        self._polling = Deferred.fromCoroutine(self._poll_for_ever())
        self._polling.addErrback(lambda failure: failure.trap(CancelledError))
        if self._sweeper is not None:
            self._sweeper.open()

    async def close(self) -> None:
        """Give up every partition, what is under way settled or its time up."""
        await self.assigned(frozenset())
        if self._polling is not None:
            self._polling.cancel()
            self._polling = None
        if self._sweeper is not None:
            self._sweeper.close()
        await self._tracer.close()

    def trouble(self) -> str | None:
        """What keeps pushes waiting, if anything. Who owns no partition asks no product, and knows of none."""
        if not self._partitions:
            return None
        return self._broker_product.trouble() or self._presence_product.trouble() or self._timelines_product.trouble()

    async def assigned(self, partitions: frozenset[int]) -> None:
        """Read these from now on, and no others; returns once the others may be someone else's. One call at a time."""
        self._leaving = given_up = [
            self._partitions.pop(number) for number in sorted(self._partitions.keys() - partitions)
        ]
        for number in sorted(partitions - self._partitions.keys()):
            self._partitions[number] = self._partition(number)
            self._partitions[number].start()
        self._metrics.partitions.set(len(self._partitions))
        await gatherResults([Deferred.fromCoroutine(partition.stop()) for partition in given_up])
        self._leaving = []
        if given_up or partitions:
            self.log.info("This job owns partitions {partitions}", partitions=sorted(partitions))

    def _sum(self, figure: Callable[[Partition], int]) -> int:
        return sum(map(figure, (*self._partitions.values(), *self._leaving)))

    def _partition(self, number: int) -> Partition:
        return Partition(
            number=number,
            sender=self._sender,
            broker=self._broker,
            product=self._broker_product,
            hand_over=self._hand_over,
            reachable=self._comets.reachable,
            clock=self._clock,
            metrics=self._metrics,
            settings=self._settings,
            tracer=self._tracer,
        )

    def _hand_over(self, stamp: Stamp, landed: Callable[[Flight], None], fenced: Callable[[], None]) -> HandOver:
        return HandOver(
            router=self._router,
            comets=self._comets,
            presence=self._presence_product,
            clock=self._clock,
            now_ms=self._now_ms,
            metrics=self._metrics,
            settings=self._settings,
            tracer=self._tracer,
            stamp=stamp,
            landed=landed,
            fenced=fenced,
        )

    async def _poll_for_ever(self) -> None:
        """Only a job that owns partitions asks; the others show nothing."""
        while True:
            for product, poll in (
                (self._broker_product, self._poll_broker),
                (self._timelines_product, self._poll_timelines),
            ):
                try:
                    await poll()
                except CancelledError:
                    raise
                except Unavailable as error:
                    product.lost(error)
                except Exception:  # a gauge that fails must not stay at its last figure for ever
                    self.log.failure("What was counted in the products could not be read")
            await pause(self._clock, self._settings.backlog_seconds)

    async def _poll_broker(self) -> None:
        backlog = await self._broker.backlog() if self._partitions else NO_BACKLOG
        oldest_seconds = max(0, self._now_ms() - backlog.oldest_at_ms) / 1000 if backlog.oldest_at_ms else 0.0
        self._metrics.backlog_entries.set(backlog.entries)
        self._metrics.backlog_oldest_seconds.set(oldest_seconds)
        self._metrics.broker_appended.set(backlog.appended)
        self._metrics.broker_committed.set(backlog.committed)

    async def _poll_timelines(self) -> None:
        totals = NO_TOTALS
        if self._partitions and self._timelines is not None:
            totals = await self._timelines.totals()
            self._timelines_product.answered()
        for state, count in totals._asdict().items():
            self._metrics.timeline_messages.set(count, state)
