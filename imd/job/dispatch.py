"""The dispatcher: takes the pushes of this job's partitions to the comets."""

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.logger import Logger

from imd.errors import BrokerUnavailable
from imd.interfaces import Broker, Clock, Comets, Presence, Rooms
from imd.job.flight import Flight
from imd.job.handover import HandOver
from imd.job.partition import Partition
from imd.job.pause import pause
from imd.job.product import Product
from imd.job.route import Router
from imd.job.settings import JobSettings
from imd.metrics import Metrics


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
        "_settings",
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
    ) -> None:
        self._settings = settings or JobSettings()
        self._broker = broker
        self._comets = comets
        self._clock = clock
        self._now_ms = now_ms  # since the epoch
        self._metrics = metrics
        self._broker_product = Product(name="broker", clock=clock, settings=self._settings)
        self._presence_product = Product(name="presence", clock=clock, settings=self._settings)
        self._router = Router(presence=presence, rooms=rooms, comets=comets, metrics=metrics)
        self._partitions: dict[int, Partition] = {}  # those that are ours
        metrics.uncommitted.read = lambda: self._sum(lambda partition: partition.uncommitted)
        metrics.open_pushes.read = lambda: self._sum(lambda partition: partition.open)
        metrics.packets_under_way.read = lambda: self._sum(lambda partition: partition.packets_under_way)
        self._leaving: list[Partition] = []  # those that are given up, while what they have under way settles
        self._polling: Deferred[None] | None = None  # looks at the backlog; None while closed

    async def open(self) -> None:
        """Begin to look at the backlog; partitions come by :meth:`assigned`."""
        self._polling = Deferred.fromCoroutine(self._poll_for_ever())
        self._polling.addErrback(lambda failure: failure.trap(CancelledError))

    async def close(self) -> None:
        """Give up every partition, what is under way settled or its time up."""
        await self.assigned(frozenset())
        if self._polling is not None:
            self._polling.cancel()
            self._polling = None

    def trouble(self) -> str | None:
        """What keeps pushes waiting, if anything."""
        return self._broker_product.trouble() or self._presence_product.trouble()

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
            broker=self._broker,
            product=self._broker_product,
            hand_over=self._hand_over,
            clock=self._clock,
            metrics=self._metrics,
            settings=self._settings,
        )

    def _hand_over(self, landed: Callable[[Flight], None]) -> HandOver:
        return HandOver(
            router=self._router,
            comets=self._comets,
            presence=self._presence_product,
            clock=self._clock,
            now_ms=self._now_ms,
            metrics=self._metrics,
            settings=self._settings,
            landed=landed,
        )

    async def _poll_for_ever(self) -> None:
        """Only a job that owns partitions asks; the others show nothing waiting."""
        while True:
            try:
                await self._poll()
            except CancelledError:
                raise
            except BrokerUnavailable as error:
                self._broker_product.lost(error)
            except Exception:  # a gauge that fails must not stay at its last figure for ever
                self.log.failure("The backlog could not be read")
            await pause(self._clock, self._settings.backlog_seconds)

    async def _poll(self) -> None:
        entries, oldest_seconds = 0, 0.0
        if self._partitions:
            backlog = await self._broker.backlog()
            entries = backlog.entries
            if backlog.oldest_at_ms:
                oldest_seconds = max(0, self._now_ms() - backlog.oldest_at_ms) / 1000
        self._metrics.backlog_entries.set(entries)
        self._metrics.backlog_oldest_seconds.set(oldest_seconds)
