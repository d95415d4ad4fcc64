"""Delivery: batches of items from job to channels, in order, a slice a reactor turn."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain, islice, zip_longest

from twisted.internet.defer import Deferred

from imd.comet.answer import Answer
from imd.comet.channel import Channel
from imd.comet.directory import Directory
from imd.comet.drop import Drop
from imd.comet.fanout import Fanout
from imd.comet.follower import Follower
from imd.comet.hops import Hops
from imd.comet.letters import Letters, is_letter
from imd.comet.limits import Limits
from imd.comet.load import Load
from imd.comet.parcel import Parcel, size_of, trouble_of
from imd.comet.policy import SlowPolicy
from imd.comet.postman import Postman
from imd.comet.sweep import Sweep
from imd.comet.tally import Tally
from imd.errors import BadRequest, Overloaded, PeerUnavailable
from imd.interfaces import Arm, Clock, Timer
from imd.metrics import Metrics
from imd.protocol.operation import Operation
from imd.protocol.room_id import split_room_id
from imd.protocol.rpc import Item, Kind, Outcome, Outcomes
from imd.protocol.wire import Wire

IDLE_SECONDS = 0.001  # without anything to do, after which a turn is whole: what came in one burst is closer together
JOIN_BYTES = 65_536  # of items in one joined wire: more saves nothing, and would fill outboxes in one step

TARGETS = {Kind.KEYS: "keys", Kind.ROOM: "room", Kind.ALL: "all"}


class Delivery:
    """Gives each item to its receivers and tells job what became of it.

    - Order: a channel gets items in the order they came. An item begins when the one before has reached all its receivers.
      (Broadcasts with a speed run beside the others and are in no order with them.)
    - An item that meets an idle delivery leaves at once, in the same turn. ``Limits.deliveries_per_turn`` channels later, or
      one squad of a room, the reactor gets its turn, whatever is waiting.
    - While a room's item waits, later ones for that room join it: one write instead of several. Nothing ever waits for that.
      They may pass items for *other rooms* (as long as no channel is in two), never one for keys or for all.
    - What waits is bounded in bytes.
    """

    __slots__ = (
        "_clock",
        "_directory",
        "_fanout",
        "_follower",
        "_idle_since",
        "_joinable",
        "_kick",
        "_left",
        "_limits",
        "_metrics",
        "_now_ms",
        "_parcels",
        "_postman",
        "_process",
        "_running",
        "_sweeps",
        "_timer",
        "waiting_bytes",
    )

    def __init__(
        self,
        *,
        directory: Directory,
        clock: Clock,
        metrics: Metrics,
        limits: Limits,
        kick: Callable[[str, int], bool],
        follower: Follower,
        now_ms: Callable[[], int],
        process: str,
        arm: Arm,
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._metrics = metrics
        self._limits = limits
        # Told whose channel shall go, and the code of the close reason; 0 = it may be another server's. False: it has none
        self._kick = kick
        self._follower = follower
        self._now_ms = now_ms
        self._process = process  # "comet/c1", for traces
        self._fanout = Fanout(behind=follower.behind, arm=arm)
        self._postman = Postman(directory=directory, fanout=self._fanout, metrics=metrics, policy=limits.slow_policy)
        self._parcels: deque[Parcel | Letters] = deque()  # the first may be begun, the others wait
        self._joinable: dict[str, Parcel] = {}  # room -> the waiting parcel that a later item for it may join
        self._sweeps: set[Sweep] = set()
        self._left = limits.deliveries_per_turn  # channels that this reactor turn may still write to
        self._running = False  # inside _run
        self._idle_since = clock.seconds()  # when nothing was left to do; meaningless while something waits
        self._timer: Timer | None = None  # the next turn; None = nothing waits
        self.waiting_bytes = 0  # of all parcels
        metrics.items_waiting.read = lambda: sum(len(parcel.items) for parcel in self._parcels)

    def deliver(self, items: Sequence[Item]) -> Deferred[Outcomes]:
        """Queue them all. The answer comes when each outcome is known: for a broadcast with a speed, once it is scheduled.

        Raises :class:`Overloaded`, and takes nothing, while what waits is at its limit; then who follows the timelines of the
        kept ones looks there soon. A batch that is larger than the limit is taken when nothing waits. Raises
        :class:`BadRequest` for marks or places that do not fit.
        """
        for item in items:
            if (trouble := trouble_of(item)) is not None:
                raise BadRequest(trouble)
        sizes = list(map(size_of, items))
        size = sum(sizes)
        if self._parcels and self.waiting_bytes + size > self._limits.delivery_queue_bytes:
            self._follower.missed(items)
            raise Overloaded(f"{self.waiting_bytes} bytes wait for delivery here")
        self.waiting_bytes += size
        self._metrics.items_taken.add(len(items))
        answer = Answer(len(items))
        for place, item in enumerate(items):
            if is_letter(item):
                self._enqueue_letter(item, answer, place, sizes[place])
            else:
                self._enqueue(item, answer, place, sizes[place])
        if not self._running and self._timer is None:
            if (
                self._left < self._limits.deliveries_per_turn
                and self._clock.seconds() - self._idle_since > IDLE_SECONDS
            ):
                self._left = self._limits.deliveries_per_turn
            self._run()
        return answer.deferred

    def stop(self) -> None:
        """Leave what waits: its outcome is unknown, so job will try again elsewhere."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for sweep in tuple(self._sweeps):
            sweep.stop()
        parcels, self._parcels = self._parcels, deque()
        self._joinable.clear()
        self.waiting_bytes = 0
        for parcel in parcels:
            if isinstance(parcel, Parcel) and parcel.load is not None:
                # It has begun: what was done is counted, though job will not hear of it.
                self._count(parcel, parcel.load)
            self._metrics.items_left.add(len(parcel.items))
            for _, answer, _ in parcel.items:
                answer.fail(PeerUnavailable("this comet is stopping"))

    def _enqueue(self, item: Item, answer: Answer, place: int, size_bytes: int) -> None:
        parcel = self._joinable.get(item.room) if item.kind is Kind.ROOM else None
        if parcel is not None and self._may_join(parcel, item, size_bytes):
            parcel.add(item, answer, place, size_bytes)
            return
        parcel = Parcel(item)
        parcel.add(item, answer, place, size_bytes)
        self._parcels.append(parcel)
        if item.kind is Kind.ROOM:
            self._joinable[item.room] = parcel
        else:
            self._joinable.clear()

    def _enqueue_letter(self, item: Item, answer: Answer, place: int, size_bytes: int) -> None:
        last = self._parcels[-1] if self._parcels else None
        if not isinstance(last, Letters) or last.begun:
            last = Letters()
            self._parcels.append(last)
            self._joinable.clear()
        last.add(item, answer, place, size_bytes)

    def _may_join(self, parcel: Parcel, item: Item, size_bytes: int) -> bool:
        if not parcel.may_take(item) or parcel.size_bytes + size_bytes > JOIN_BYTES:
            return False
        return not self._directory.overlaps or self._parcels[-1] is parcel

    def _turn(self) -> None:
        self._timer = None
        self._left = self._limits.deliveries_per_turn
        self._run()

    def _run(self) -> None:
        """Spend what is left of this turn; then, if anything waits, see to it that there is a next.

        An answer may bring the next batch while this runs: that is only queued, else a chain of them would never unwind.
        """
        self._running = True
        while self._parcels and self._left > 0:
            parcel = self._parcels[0]
            if isinstance(parcel, Letters):
                self._left -= self._postman.deliver(parcel, self._left)
                if not parcel.items:
                    self._parcels.popleft()
                    self.waiting_bytes -= parcel.size_bytes
                continue
            load = parcel.load or self._begin(parcel)
            offer = self._offer_squads if parcel.first.kind is Kind.ROOM else self._offer_channels
            if offer(parcel, load):
                self._parcels.popleft()
                self._settle(parcel, load)
        self._running = False
        if self._parcels:
            self._timer = self._clock.callLater(0, self._turn)
        else:
            self._idle_since = self._clock.seconds()

    def _offer_squads(self, parcel: Parcel, load: Load) -> bool:
        """As many whole squads as this turn has left; True when there is none behind them."""
        squads = parcel.squads
        if not squads:
            self._left -= 1  # a room without members is not free either
        while squads:
            size = len(squads[-1])
            if size > self._left < self._limits.deliveries_per_turn:
                self._left = 0  # it comes first in the next turn, which is whole
                return False
            squad = squads.pop()
            squad.awaited = False
            self._fanout.spread_squad(load, squad, parcel.tally)
            self._left -= size or 1  # all may have left it
        return True

    def _offer_channels(self, parcel: Parcel, load: Load) -> bool:
        """As many channels as this turn has left; True when there is certainly none behind them."""
        part = list(islice(parcel.channels, self._left))
        if part:
            self._fanout.spread(load, part, parcel.tally)
        done = len(part) < self._left
        self._left -= len(part) or 1  # nobody is not free either
        return done

    def _begin(self, parcel: Parcel) -> Load:
        item = parcel.first
        if self._joinable.get(item.room) is parcel:
            del self._joinable[item.room]
        is_room = item.kind is Kind.ROOM
        policy = self._policy(item.room) if is_room else self._limits.slow_policy
        parcel.load = load = Load(
            Wire(parcel.packets),
            packets=parcel.count,
            policy=policy,
            room=item.room if is_room else "",
            operation=None if is_room else item.operation,
            newer_only=is_room and item.operation == Operation.PRESENCE,
            edit=partial(parcel.edition, policy),
            hops=self._hops(item) if item.traced else None,
        )
        match item.kind:
            case Kind.KEYS:
                parcel.channels = self._find(item, parcel.tally)
            case Kind.ROOM:
                parcel.squads = self._directory.muster(item.room)
            case Kind.ALL if item.speed <= 0:
                parcel.channels = chain.from_iterable(self._directory.channels())
            case Kind.KICK:
                parcel.tally.unknown += [key for key in item.keys[:1] if not self._kick(key, item.reason)]
        return load

    def _hops(self, item: Item) -> Hops:
        is_room = item.kind is Kind.ROOM
        place = item.places[0] if is_room and item.places else None
        inboxes = {} if is_room else dict(zip(item.keys, item.places, strict=False))  # as many, or none
        return Hops(now_ms=self._now_ms, process=self._process, room=item.room, place=place, inboxes=inboxes)

    def _find(self, item: Item, tally: Tally) -> Iterator[Channel]:
        """Those of its keys that are here, and still their members'."""
        for key, mid in zip_longest(item.keys, item.mids):
            channel = self._directory.find(key)
            if channel is None or (mid is not None and channel.mid != mid):
                tally.unknown.append(key)
            else:
                yield channel

    def _policy(self, room: str) -> SlowPolicy:
        policies = self._limits.slow_policies
        return policies.get(split_room_id(room)[0], self._limits.slow_policy) if policies else self._limits.slow_policy

    def _settle(self, parcel: Parcel, load: Load) -> None:
        """All receivers had their turn."""
        self.waiting_bytes -= parcel.size_bytes
        item = parcel.first
        if item.kind is Kind.ALL and item.speed > 0:
            scheduled = self._sweep(load, item.speed, parcel.tally)
            outcomes = [Outcome(scheduled=scheduled) if scheduled else parcel.tally.outcome(item.count)]
        else:
            if load.hops is not None:
                parcel.tally.hops = load.hops.noted
            outcomes = parcel.outcomes()
        self._count(parcel, load)
        self._metrics.items_settled.add(len(parcel.items))
        for (_, answer, place), outcome in zip(parcel.items, outcomes, strict=True):
            answer.settle(place, outcome)

    def _count(self, parcel: Parcel, load: Load) -> None:
        if parcel.first.kind is not Kind.KICK:
            parcel.tally.count(self._metrics, TARGETS[parcel.first.kind], load.packets)

    def _sweep(self, load: Load, speed: int, tally: Tally) -> int:
        """Begin a paced broadcast; answers packets times channels, 0 when there are too many sweeps (``tally`` says so)."""
        channels = len(self._directory)
        if len(self._sweeps) >= self._limits.sweeps:
            tally.offered += channels
            tally.add(Drop.SWEEPS, channels)
            return 0
        sweep = Sweep(
            load=load,
            channels=chain.from_iterable(self._directory.channels()),
            count=channels,
            speed=speed,
            per_turn=self._limits.deliveries_per_turn,
            clock=self._clock,
            fanout=self._fanout,
            done=self._swept,
        )
        self._sweeps.add(sweep)
        sweep.tick()
        return channels * load.packets

    def _swept(self, sweep: Sweep, tally: Tally, last: bool) -> None:
        tally.count(self._metrics, "all", sweep.load.packets)
        if last:
            self._sweeps.discard(sweep)
