"""A partition of the broker that this job owns: read, handed over, committed in order."""

from collections import deque
from collections.abc import Callable
from itertools import takewhile

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from imd.errors import BrokerUnavailable, Fenced
from imd.interfaces import Broker, Clock, Entry, Timer
from imd.job.delivery import Delivery
from imd.job.flight import Flight
from imd.job.handover import HandOver
from imd.job.pause import pause
from imd.job.product import Product
from imd.job.settings import JobSettings
from imd.job.stamp import Stamp
from imd.job.tracer import Tracer
from imd.metrics import Metrics
from imd.protocol.push import LABELS
from imd.protocol.trace import Step

MakeHandOver = Callable[[Stamp, Callable[[Flight], None], Callable[[], None]], HandOver]


class Partition:
    """Reads entries while it is owned, hands them over, and commits them once their outcome is known.

    Up to ``window`` reads are under way; they are handed over in the order read and committed in that order only. Whatever
    ends it early, what was not committed comes again to the next owner. Nothing but :meth:`stop` ends the reading.

    Each time it begins it becomes the owner anew: the broker hands out a fence, higher than every earlier one, which goes with
    each batch and each commit. Who was paused and returns is refused by every comet and broker that a newer owner was at: it
    gives up what it has, settles none of it, and begins again if it is still told to own the partition a moment later. A
    rightful owner recovers by that, another one hears from its assignment.

    While there are comets and none can be reached, nothing is read: pushes are safe in the broker, and might be lost here.
    """

    log = Logger()

    __slots__ = (
        "_broker",
        "_busy",
        "_clock",
        "_committing",
        "_fence",
        "_fencing",
        "_flights",
        "_hand_over",
        "_make_hand_over",
        "_metrics",
        "_number",
        "_product",
        "_reachable",
        "_reading",
        "_sender",
        "_settings",
        "_tracer",
        "_waiting",
    )

    def __init__(
        self,
        *,
        number: int,
        sender: str,
        broker: Broker,
        product: Product,
        hand_over: MakeHandOver,
        reachable: Callable[[], bool],
        clock: Clock,
        metrics: Metrics,
        settings: JobSettings,
        tracer: Tracer,
    ) -> None:
        self._number = number
        self._sender = sender  # this start of this job, as batches name it
        self._broker = broker
        self._product = product  # the broker, as something that may be away
        self._make_hand_over = hand_over
        self._hand_over: HandOver | None = None  # of the ownership that goes on: its lanes; None before the first
        self._fence = 0  # of the ownership that goes on
        self._fencing: Timer | None = None  # a newer owner was heard of: its end is due in the next turn
        self._reachable = reachable  # whether a comet can be asked, or there is none
        self._tracer = tracer
        self._clock = clock
        self._metrics = metrics
        self._settings = settings
        self._flights: deque[Flight] = deque()  # read and not committed, oldest first
        self._reading: Deferred[None] | None = None  # None before start, and once stop has begun
        self._busy = False  # a commit is under way
        self._committing: Deferred[None] | None = None  # that, to be cancelled; None before the first
        self._waiting: list[Deferred[None]] = []  # fired when a flight has left

    def start(self) -> None:
        """The partition is ours."""
        self._begin(0)

    async def stop(self) -> None:
        """It is not ours any more: read nothing more, commit what settles within ``settle_seconds``, give up the rest."""
        assert self._reading is not None, "started before it is stopped"
        reading, self._reading = self._reading, None
        reading.cancel()
        await self._settled(self._settings.settle_seconds)
        if self._fencing is not None:
            self._fencing.cancel()
            self._fencing = None
        if self._flights:
            self.log.warn(
                "Partition {number} was given up with {count} reads under way: its next owner delivers them again",
                number=self._number,
                count=len(self._flights),
            )
        self._abandon()

    @property
    def uncommitted(self) -> int:
        """Pushes that were taken and are not committed."""
        return sum(len(flight.tokens) for flight in self._flights)

    @property
    def open(self) -> int:
        """Those of them whose outcome is not known."""
        return sum(flight.open for flight in self._flights)

    @property
    def packets_under_way(self) -> int:
        """What was addressed and has no outcome yet."""
        return self._hand_over.under_way if self._hand_over is not None else 0

    # --- reading ----------------------------------------------------------------------------------------------------------

    def _begin(self, after_seconds: float) -> None:
        self._reading = Deferred.fromCoroutine(self._read_for_ever(after_seconds))
        self._reading.addErrback(lambda failure: failure.trap(CancelledError))

    async def _read_for_ever(self, after_seconds: float) -> None:
        wait = self._settings.retry_min_seconds
        if after_seconds:
            await pause(self._clock, after_seconds)
        while True:
            try:
                fence = await self._broker.rewind(self._number)  # no sign that it is back: a rewind may not need it
                self._own(fence)
                while True:
                    await self._read_once()
                    wait = self._settings.retry_min_seconds
            except CancelledError:
                raise
            except BrokerUnavailable as error:
                self._product.lost(error)
            except Exception:  # a bug must not end the partition: what was read comes again
                self.log.failure("Partition {number} could not be read", number=self._number)
            await pause(self._clock, wait)
            wait = min(2 * wait, self._settings.retry_max_seconds)
            # a rewind brings back whatever is not committed, so that has to be
            while self._flights:
                await self._flight_left()

    def _own(self, fence: int) -> None:
        """A new ownership begins. Nothing of the one before is under way, unless a bug has ended it."""
        if self._hand_over is not None:
            self._hand_over.stop()
        self._fence = fence
        stamp = Stamp(self._number, fence, self._sender)
        self._hand_over = self._make_hand_over(stamp, self._landed, self._fenced)

    async def _read_once(self) -> None:
        while len(self._flights) >= self._settings.window:
            await self._flight_left()
        wait = self._settings.retry_min_seconds
        while not self._reachable():
            await pause(self._clock, wait)
            wait = min(2 * wait, self._settings.retry_max_seconds)
        entries = await self._broker.read(self._number, self._settings.read_limit, self._settings.read_wait_seconds)
        self._product.answered()
        if entries:
            await self._take(entries)

    async def _take(self, entries: list[Entry]) -> None:
        flight = Flight([entry.token for entry in entries], len(entries))
        deliveries = [Delivery(entry.push, flight, entry.places) for entry in entries]
        self._metrics.taken.add_each([(LABELS[entry.push.target],) for entry in entries])
        for delivery in deliveries:
            if delivery.push.trace:
                self._tracer.note(delivery, Step.TAKEN)
        self._flights.append(flight)
        assert self._hand_over is not None, "owned before it is read"
        try:
            await self._hand_over.send(deliveries)
        except Exception:  # cancelled while presence was away, or a bug: it comes again
            if not flight.given_up:
                self._flights.remove(flight)
                self._give_up(flight)
            raise

    def _give_up(self, flight: Flight) -> None:
        """It comes again."""
        flight.given_up = True
        self._metrics.given_up.add(flight.open, "open")
        self._metrics.given_up.add(len(flight.tokens) - flight.open, "settled")

    def _abandon(self) -> None:
        """All that is under way comes again, to whoever owns the partition then."""
        if self._hand_over is not None:
            self._hand_over.stop()
        if self._committing is not None:
            self._committing.cancel()
        while self._flights:
            self._give_up(self._flights.popleft())
        self._tell_waiting()

    # --- fenced -----------------------------------------------------------------------------------------------------------

    def _fenced(self) -> None:
        """A comet or the broker knows a newer owner. Dealt with in a turn of its own: what calls this may be what ends."""
        if self._fencing is None:
            self._fencing = self._clock.callLater(0, self._lose)

    def _lose(self) -> None:
        self._fencing = None
        self.log.warn(
            "Partition {number} has a newer owner: {count} reads are given up to it",
            number=self._number,
            count=len(self._flights),
        )
        reading = self._reading
        if reading is not None:
            reading.cancel()
        self._abandon()
        if reading is not None:  # else it is being stopped
            self._begin(self._settings.fenced_seconds)

    # --- committing -------------------------------------------------------------------------------------------------------

    def _landed(self, _flight: Flight) -> None:
        """Its outcome is known. Committed at once if nothing older is under way."""
        if not self._busy:
            self._busy = True
            self._committing = Deferred.fromCoroutine(self._commit())
            self._committing.addErrback(lambda failure: failure.trap(CancelledError))

    async def _commit(self) -> None:
        wait = self._settings.retry_min_seconds
        try:
            while self._flights and not self._flights[0].open:
                try:
                    await self._commit_head()
                    wait = self._settings.retry_min_seconds
                except CancelledError:
                    raise
                except Fenced:
                    self._fenced()
                    return
                except Exception:  # a bug there must not end it: what is not committed comes again
                    self.log.failure("Partition {number} could not be committed", number=self._number)
                    await pause(self._clock, wait)
                    wait = min(2 * wait, self._settings.retry_max_seconds)
        finally:
            self._busy = False

    async def _commit_head(self) -> None:
        """All flights before the first that is still open, in one call."""
        done = list(takewhile(lambda flight: not flight.open, self._flights))
        tokens = [token for flight in done for token in flight.tokens]
        fence = self._fence
        await self._product.persist(lambda: self._broker.commit(self._number, tokens, fence))
        for _ in done:
            self._flights.popleft()
        self._tell_waiting()

    def _tell_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if not one.called:  # else it was cancelled, or its time was up
                one.callback(None)

    def _flight_left(self) -> Deferred[None]:
        """Fires when flights were committed."""
        left: Deferred[None] = Deferred()
        self._waiting.append(left)
        return left

    async def _settled(self, seconds: float) -> None:
        """Until nothing is under way, at most ``seconds``."""
        ends = self._clock.seconds() + seconds
        while self._flights and self._clock.seconds() < ends:
            left = self._flight_left()
            timer = self._clock.callLater(ends - self._clock.seconds(), left.cancel)
            try:
                await left
            except CancelledError:
                if timer.active():  # not by the timer: whoever waits for us gave up
                    raise
            finally:
                if timer.active():
                    timer.cancel()
