"""Handing over: from a partition's pushes to their known outcomes."""

from collections.abc import Callable, Iterable, Sequence
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
from imd.job.route import Router, count_missed
from imd.job.settings import JobSettings
from imd.job.stamp import Stamp, name_of
from imd.job.tracer import Tracer
from imd.metrics import Metrics
from imd.protocol import rpc
from imd.protocol.push import LABELS
from imd.protocol.rpc import Kind

MAX_HOPS = 1_000  # of one outcome
MAX_LOOKS = 2  # times that a key is looked up again, however often it moves
_DELIVERED = rpc.Outcome(delivered=1)
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
        "_fenced",
        "_landed",
        "_lanes",
        "_looking",
        "_metrics",
        "_now_ms",
        "_presence",
        "_router",
        "_settings",
        "_stamp",
        "_tracer",
        "under_way",
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
        tracer: Tracer,
        stamp: Stamp,
        landed: Callable[[Flight], None],
        fenced: Callable[[], None],
    ) -> None:
        self._router = router
        self._comets = comets
        self._presence = presence
        self._clock = clock
        self._now_ms = now_ms  # since the epoch
        self._metrics = metrics
        self._settings = settings
        self._tracer = tracer
        self._stamp = stamp  # of every batch
        self._landed = landed  # told when the last push of a flight is settled
        self._fenced = fenced  # told when a comet has heard of a newer owner
        self._lanes: dict[Location, Lane] = {}
        self.under_way = 0  # packets in them that are not counted yet
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
            self._metrics.addressed.add()
            count_missed(self._metrics, 1, "error", kept=deliveries[0].kept)
            parcels = []
        self._dispatch(parcels)
        self._release(deliveries)

    def stop(self) -> None:
        """Give up whatever is under way; none of it lands."""
        for looking in list(self._looking):
            looking.cancel()
        for location, lane in self._lanes.items():
            if sent := lane.stop():
                self._metrics.items_unsure.add(sent, self._stamp.sender, name_of(location))
        self._metrics.packets_given_up.add(self.under_way)
        self.under_way = 0

    # --- lanes ------------------------------------------------------------------------------------------------------------

    def _dispatch(self, parcels: Sequence[Parcel]) -> None:
        lanes: dict[Location, Lane] = {}
        for parcel in parcels:
            for delivery in parcel.deliveries:
                delivery.open += 1
            lane = lanes.get(parcel.location)
            if lane is None:
                lane = lanes[parcel.location] = self._lane(parcel.location)
            lane.offer(parcel)
        packets = sum([parcel.packets for parcel in parcels])
        self._metrics.addressed.add(packets)
        self.under_way += packets
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
                stamp=self._stamp,
                settle=self._settle,
                fenced=self._fenced,
            )
        return lane

    def _forget_idle_lanes(self) -> None:
        old = self._clock.seconds() - LANE_IDLE_SECONDS
        for location in [at for at, lane in self._lanes.items() if lane.idle and lane.used_at < old]:
            del self._lanes[location]

    # --- outcomes ---------------------------------------------------------------------------------------------------------

    def _settle(self, parcels: Sequence[Parcel], outcomes: Sequence[rpc.Outcome | Miss]) -> None:
        """A lane knows what became of these, which went to its comet together."""
        pair = (self._stamp.sender, name_of(parcels[0].location))
        if unsure := len([each for each in outcomes if each in (Miss.LOST, Miss.ERROR)]):
            self._metrics.items_unsure.add(unsure, *pair)
        if answered := len([each for each in outcomes if not isinstance(each, Miss)]):
            self._metrics.items_answered.add(answered, *pair)
        done: list[Parcel] = []
        plain = 0  # packets that their one client has been handed: nearly all, counted together
        for parcel, outcome in zip(parcels, outcomes, strict=True):
            if parcel.packets == 1 and outcome == _DELIVERED:
                plain += 1
                parcel.left = 0
                done.append(parcel)
            elif not self._goes_on(parcel, outcome):
                done.append(parcel)
        if plain:
            self._metrics.handed_over.add(plain, "delivered")
            self._metrics.answered.add(plain)
            self.under_way -= plain
        self._close(done)

    def _goes_on(self, parcel: Parcel, outcome: rpc.Outcome | Miss) -> bool:
        """Count; True when some of it is looked for again."""
        try:
            if isinstance(outcome, Miss):
                return self._missed(parcel, outcome)
            return self._answered(parcel, outcome)
        except Exception:  # a bug in one parcel's accounts must not keep its partition from committing
            self.log.failure("A parcel could not be settled")
            return False

    def _answered(self, parcel: Parcel, outcome: rpc.Outcome) -> bool:
        """Count; True when some of it is looked for again."""
        if outcome.delivered:
            self._metrics.handed_over.add(outcome.delivered, "delivered")
        if outcome != rpc.Outcome(outcome.delivered):  # seldom
            self._count_others(outcome)
        if outcome.hops and parcel.item.traced:
            self._tracer.pass_on(parcel.deliveries[0], outcome.hops[:MAX_HOPS])
        unknown: Sequence[str] = ()
        if outcome.unknown and parcel.item.kind is Kind.KEYS:
            said = set(outcome.unknown)
            unknown = [key for key in parcel.item.keys if key in said]
        answered = parcel.packets - len(unknown)
        self._metrics.answered.add(answered)
        self._counted(parcel, answered)
        if not unknown:
            return False
        if parcel.looks >= MAX_LOOKS:
            self._drop(parcel, len(unknown), "not_connected", unknown)
            return False
        self._look(parcel, unknown, None)
        return True

    def _count_others(self, outcome: rpc.Outcome) -> None:
        """Those that were not delivered."""
        for label, count in (
            ("filtered", outcome.filtered),
            ("scheduled", outcome.scheduled),
            ("dropped", sum(count for _, count in outcome.dropped)),  # comet's own drops, counted there by reason
            ("duplicate", outcome.duplicate),
            ("deferred", outcome.deferred),
        ):
            if count:
                self._metrics.handed_over.add(count, label)

    def _missed(self, parcel: Parcel, miss: Miss) -> bool:
        """Count; True when it is looked for again."""
        moved = miss in (Miss.DOWN, Miss.GONE, Miss.LOST)
        if moved and parcel.item.kind is Kind.KEYS and parcel.looks < MAX_LOOKS:
            self._look(parcel, parcel.item.keys, miss)
            return True
        self._drop(parcel, parcel.packets, miss.reason, parcel.item.keys or ("",))
        return False

    def _drop(self, parcel: Parcel, packets: int, reason: str, keys: Sequence[str] = ()) -> None:
        """So many of its packets, those of ``keys``, go to nobody; kept ones are in the timeline."""
        if not packets:
            return
        count_missed(self._metrics, packets, reason, kept=parcel.kept)
        self._counted(parcel, packets)
        if parcel.item.traced:
            self._tracer.miss(parcel.deliveries[0], [(key, parcel.mids.get(key, 0)) for key in keys], reason)

    def _counted(self, parcel: Parcel, packets: int) -> None:
        """The outcome of so many of its packets has gone into a counter."""
        parcel.left -= packets
        self.under_way -= packets

    def _close(self, parcels: Sequence[Parcel]) -> None:
        """All that there is to know of these is known."""
        for parcel in parcels:
            if parcel.left:  # a bug in its accounts
                self._drop(parcel, parcel.left, "error")
        self._release([delivery for parcel in parcels for delivery in parcel.deliveries])

    def _release(self, deliveries: Iterable[Delivery]) -> None:
        now_ms = self._now_ms()
        settled: list[tuple[str]] = []
        for delivery in deliveries:
            delivery.open -= 1
            push, flight = delivery.push, delivery.flight
            if delivery.open or flight.given_up:
                continue
            settled.append((LABELS[push.target],))
            self._metrics.delivery_seconds.observe(max(0, now_ms - push.at_ms) / 1000)
            flight.open -= 1
            if not flight.open:
                self._landed(flight)
        self._metrics.settled.add_each(settled)

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
        self._close((parcel,))

    async def _look_for_unknown(self, parcel: Parcel, keys: Sequence[str]) -> None:
        """The comet does not know these keys: wherever they are now, they did not get it."""
        found = await self._presence.persist(lambda: self._router.look_again(parcel, keys))
        self._readdress(parcel, keys, found)

    async def _look_for_moved(self, parcel: Parcel, keys: Sequence[str], miss: Miss) -> None:
        """The comet is away. Who is elsewhere by now gets it there; nobody gets it twice at the same place."""
        pauses = self._settings.look_again_seconds if miss is Miss.LOST else (0.0,)
        for seconds in pauses:
            if seconds:
                await pause(self._clock, seconds)
            found = await self._presence.persist(partial(self._router.look_again, parcel, keys))
            here = found.pop(parcel.location, {})
            if back := {key: mid for key, mid in here.items() if key not in keys}:
                found[parcel.location] = back  # a member under a new key there: that one did not get it
            self._readdress(parcel, [key for key in keys if key not in here], found)
            keys = [key for key in keys if key in here]
            if not keys:
                return
        self._drop(parcel, len(keys), miss.reason, keys)

    def _readdress(self, parcel: Parcel, keys: Sequence[str], found: dict[Location, dict[str, int]]) -> None:
        """The parcel's packets for ``keys`` go where these clients were found, or are lost. A member may be back under more
        keys than before, or fewer."""
        missing = self._missing(parcel, keys, found)
        self._drop(parcel, len(missing), "not_connected", missing)
        self._metrics.moved.add(len(keys) - len(missing))
        self._counted(parcel, len(keys) - len(missing))
        self._dispatch([self._router.readdress(parcel, location, keys) for location, keys in found.items()])

    @staticmethod
    def _missing(parcel: Parcel, keys: Sequence[str], found: dict[Location, dict[str, int]]) -> list[str]:
        """Those of ``keys`` that are nowhere; a member that is back under another key is somewhere."""
        names = {name for home in found.values() for name in home}
        mids = {mid for home in found.values() for mid in home.values()} if parcel.mids else set()
        return [key for key in keys if key not in names and parcel.mids.get(key) not in mids]
