"""Handing over: from a partition's pushes to their known outcomes."""

from collections.abc import Callable, Sequence
from functools import partial

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from imd.interfaces import Clock, Comets, Location
from imd.job.delivery import Delivery
from imd.job.flight import Flight
from imd.job.lane import Lane, Miss
from imd.job.parcel import Parcel
from imd.job.pause import pause
from imd.job.product import Product
from imd.job.route import Router
from imd.job.settings import JobSettings
from imd.metrics import Metrics
from imd.protocol import rpc
from imd.protocol.rpc import Kind

MAX_LOOKS = 2  # times that a key is looked up again, however often it moves
LANE_IDLE_SECONDS = 120.0  # an unused lane is kept so long: it knows that its comet was waited for in vain


class HandOver:
    """Puts parcels on a lane per comet, looks again for clients that moved, and counts what became of everybody.

    Per comet everything arrives in the order it was handed over. A push that had to look for a client again may arrive after
    a later one that found the client at its new place at once.
    """

    log = Logger()

    __slots__ = (
        "_clock",
        "_comets",
        "_landed",
        "_lanes",
        "_looking",
        "_metrics",
        "_now_ms",
        "_presence",
        "_router",
        "_settings",
    )

    def __init__(
        self,
        *,
        router: Router,
        comets: Comets,
        presence: Product,
        clock: Clock,
        now_ms: Callable[[], int],
        metrics: Metrics,
        settings: JobSettings,
        landed: Callable[[Flight], None],
    ) -> None:
        self._router = router
        self._comets = comets
        self._presence = presence
        self._clock = clock
        self._now_ms = now_ms  # since the epoch
        self._metrics = metrics
        self._settings = settings
        self._landed = landed  # told when the last push of a flight is settled
        self._lanes: dict[Location, Lane] = {}
        self._looking: set[Deferred[None]] = set()  # one for each parcel whose clients are looked for again

    async def send(self, deliveries: Sequence[Delivery]) -> None:
        """Returns once everything is on its lane, in order; while presence is away nothing is, and this waits."""
        try:
            parcels = await self._presence.persist(lambda: self._router.route(deliveries))
        except CancelledError:
            raise
        except Exception:  # one of them is poison: the others go alone
            if len(deliveries) > 1:
                for delivery in deliveries:
                    await self.send([delivery])
                return
            self.log.failure("Push {id} cannot be delivered", id=deliveries[0].push.id)
            self._drop(1, "error")
            parcels = []
        self._dispatch(parcels)
        for delivery in deliveries:
            self._release(delivery)

    def stop(self) -> None:
        """Give up whatever is under way; none of it lands."""
        for looking in list(self._looking):
            looking.cancel()
        for lane in self._lanes.values():
            lane.stop()

    # --- lanes ------------------------------------------------------------------------------------------------------------

    def _dispatch(self, parcels: Sequence[Parcel]) -> None:
        lanes: dict[Location, Lane] = {}
        for parcel in parcels:
            for delivery in parcel.deliveries:
                delivery.open += 1
            lane = lanes[parcel.location] = self._lane(parcel.location)
            lane.offer(parcel)
        for lane in lanes.values():
            lane.start()

    def _lane(self, location: Location) -> Lane:
        lane = self._lanes.get(location)
        if lane is None:
            self._forget_idle_lanes()
            lane = self._lanes[location] = Lane(
                location=location,
                comets=self._comets,
                clock=self._clock,
                settings=self._settings,
                settle=self._settle,
            )
        return lane

    def _forget_idle_lanes(self) -> None:
        old = self._clock.seconds() - LANE_IDLE_SECONDS
        for location in [at for at, lane in self._lanes.items() if lane.idle and lane.used_at < old]:
            del self._lanes[location]

    # --- outcomes ---------------------------------------------------------------------------------------------------------

    def _settle(self, parcel: Parcel, outcome: rpc.Outcome | Miss) -> None:
        """A lane knows what became of a parcel."""
        try:
            if isinstance(outcome, Miss):
                done = not self._missed(parcel, outcome)
            else:
                done = not self._answered(parcel, outcome)
        except Exception:  # a bug in one parcel's accounts must not keep its partition from committing
            self.log.failure("A parcel could not be settled")
            done = True
        if done:
            self._close(parcel)

    def _answered(self, parcel: Parcel, outcome: rpc.Outcome) -> bool:
        """Count; True when some of it is looked for again."""
        for label, count in (
            ("delivered", outcome.delivered),
            ("filtered", outcome.filtered),
            ("scheduled", outcome.scheduled),
            ("dropped", sum(count for _, count in outcome.dropped)),  # comet's own drops, counted there by reason
        ):
            if count:
                self._metrics.handed_over.add(count, label)
        if not outcome.unknown or parcel.item.kind is not Kind.KEYS:
            return False
        if parcel.looks >= MAX_LOOKS:
            self._drop(len(outcome.unknown), "not_connected")
            return False
        self._look(parcel, outcome.unknown, None)
        return True

    def _missed(self, parcel: Parcel, miss: Miss) -> bool:
        """Count; True when it is looked for again."""
        moved = miss in (Miss.DOWN, Miss.GONE, Miss.LOST)
        if moved and parcel.item.kind is Kind.KEYS and parcel.looks < MAX_LOOKS:
            self._look(parcel, parcel.item.keys, miss)
            return True
        self._drop(parcel.packets, miss.reason)
        return False

    def _drop(self, packets: int, reason: str) -> None:
        if packets:
            self._metrics.drops.add(packets, "job", reason)

    def _close(self, parcel: Parcel) -> None:
        for delivery in parcel.deliveries:
            self._release(delivery)

    def _release(self, delivery: Delivery) -> None:
        delivery.open -= 1
        if delivery.open:
            return
        push, flight = delivery.push, delivery.flight
        self._metrics.settled.add(1, push.target.name.lower())
        self._metrics.delivery_seconds.observe(max(0, self._now_ms() - push.at_ms) / 1000)
        flight.open -= 1
        if not flight.open:
            self._landed(flight)

    # --- late binding -----------------------------------------------------------------------------------------------------

    def _look(self, parcel: Parcel, keys: Sequence[str], miss: Miss | None) -> None:
        """Find these clients of the parcel again, and close it then."""
        looking = Deferred.fromCoroutine(self._look_for(parcel, keys, miss))
        if not looking.called:
            self._looking.add(looking)
            looking.addBoth(self._looked, looking)

    def _looked(self, _result: object, looking: Deferred[None]) -> None:
        self._looking.discard(looking)  # ended, or cancelled by stop(): every error is dealt with before

    async def _look_for(self, parcel: Parcel, keys: Sequence[str], miss: Miss | None) -> None:
        try:
            if miss is None:
                await self._look_for_unknown(parcel, keys)
            else:
                await self._look_for_moved(parcel, keys, miss)
        except CancelledError:
            raise
        except Exception:  # a bug in one parcel must not keep its partition from committing
            self.log.failure("The clients of a parcel could not be looked for")
            self._drop(len(keys), "error")
        self._close(parcel)

    async def _look_for_unknown(self, parcel: Parcel, keys: Sequence[str]) -> None:
        """The comet does not know these keys: wherever they are now, they did not get it."""
        found = await self._presence.persist(lambda: self._router.look_again(parcel, keys))
        self._readdress(parcel, found)
        self._drop(self._missing(parcel, keys, found), "not_connected")

    async def _look_for_moved(self, parcel: Parcel, keys: Sequence[str], miss: Miss) -> None:
        """The comet is away. Who is elsewhere by now gets it there; nobody gets it twice at the same place."""
        pauses = self._settings.look_again_seconds if miss is Miss.LOST else (0.0,)
        for seconds in pauses:
            if seconds:
                await pause(self._clock, seconds)
            found = await self._presence.persist(partial(self._router.look_again, parcel, keys))
            stayed = found.pop(parcel.location, {})
            self._readdress(parcel, found)
            self._drop(self._missing(parcel, keys, {parcel.location: stayed, **found}), "not_connected")
            keys = [key for key in keys if key in stayed]
            if not keys:
                return
        self._drop(len(keys), miss.reason)

    def _readdress(self, parcel: Parcel, found: dict[Location, dict[str, int]]) -> None:
        self._dispatch([self._router.readdress(parcel, location, keys) for location, keys in found.items()])

    @staticmethod
    def _missing(parcel: Parcel, keys: Sequence[str], found: dict[Location, dict[str, int]]) -> int:
        """How many of ``keys`` are nowhere; a member that is back under another key is somewhere."""
        names = {name for home in found.values() for name in home}
        mids = {mid for home in found.values() for mid in home.values()} if parcel.mids else set()
        return sum(key not in names and parcel.mids.get(key) not in mids for key in keys)
