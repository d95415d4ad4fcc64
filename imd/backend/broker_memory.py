"""The broker in this process's memory: for tests, and the plainest statement of what a broker does."""

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from itertools import count
from struct import pack
from typing import NamedTuple

import msgspec

from imd.backend.arrival import Arrival
from imd.backend.publication import count_answered, count_refused
from imd.backend.timelines_memory import TimelinesMemory
from imd.errors import BrokerUnavailable, Fenced, ImdError, Overloaded
from imd.interfaces import Backlog, Clock, Entry, Receipt
from imd.metrics import Metrics
from imd.protocol.push import Push, dump, fingerprint, load
from imd.protocol.timeline import Place


class _Stored(NamedTuple):
    at_ms: int
    data: bytes  # as a product would keep it
    places: tuple[Place, ...]


class _Remembered(NamedTuple):
    """The first use of an idempotency key."""

    id: int
    fingerprint: bytes
    places: tuple[Place, ...]
    expires_at: float  # on the clock


class _Backup(NamedTuple):
    """What a product would have on its disk."""

    stored: list[OrderedDict[int, _Stored]]  # one a partition, as the next two
    keys: list[OrderedDict[str, _Remembered]]
    fences: list[int]
    appended: int
    committed: int
    timelines: object


class _Partition:
    __slots__ = ("arrival", "fence", "keys", "stored", "unread")

    def __init__(self, *, clock: Clock) -> None:
        self.stored: OrderedDict[int, _Stored] = OrderedDict()  # by number, rising; what was not committed
        self.unread: deque[int] = deque()  # the numbers that were not handed out since the last rewind
        self.keys: OrderedDict[str, _Remembered] = OrderedDict()  # idempotency key -> first use, oldest first
        self.fence = 0  # its owner's; 0 = it never had one
        self.arrival = Arrival(clock=clock)


class BrokerMemory:
    """Holds what was published until it is committed, or until this process ends.

    Kept pushes go to ``timelines`` too; without them only live ones may be published. ``now_ms`` is the date in ms since the
    epoch, below which no fence is. ``max_backlog_entries`` counts over all partitions; a publish that would pass it is
    refused whole. An idempotency key is remembered for ``idempotency_seconds`` from its first use.
    """

    __slots__ = (
        "_appended",
        "_clock",
        "_committed",
        "_idempotency_seconds",
        "_max_backlog_entries",
        "_metrics",
        "_now_ms",
        "_numbers",
        "_open",
        "_partitions",
        "_timelines",
        "partitions",
    )

    def __init__(
        self,
        *,
        partitions: int,
        clock: Clock,
        metrics: Metrics,
        timelines: TimelinesMemory | None = None,
        now_ms: Callable[[], int] = lambda: 0,
        max_backlog_entries: int = 1_000_000,
        idempotency_seconds: float = 86_400.0,
    ) -> None:
        self.partitions = partitions
        self._clock = clock
        self._metrics = metrics
        self._timelines = timelines
        self._now_ms = now_ms
        self._max_backlog_entries = max_backlog_entries
        self._idempotency_seconds = idempotency_seconds
        self._partitions = [_Partition(clock=clock) for _ in range(partitions)]
        self._numbers = count(1)  # one for all partitions, never used again
        self._appended = 0  # entries, ever, over all partitions
        self._committed = 0  # those of them that are gone
        self._open = False

    async def open(self) -> None:
        """Accept calls from now on."""
        self._open = True

    async def close(self) -> None:
        """Refuse calls from now on; a waiting ``read`` raises."""
        self._open = False
        for partition in self._partitions:
            partition.arrival.announce()

    def trouble(self) -> str | None:
        """None while open."""
        return None if self._open else "the broker is closed"

    async def publish(self, pushes: Sequence[tuple[int, Push]]) -> list[Receipt]:
        """See :class:`imd.interfaces.Broker`."""
        try:
            self._check()
            waiting = self._appended - self._committed
            if waiting + len(pushes) > self._max_backlog_entries:
                raise Overloaded(f"{waiting} pushes wait in the broker, its limit is {self._max_backlog_entries}")
        except ImdError as error:
            count_refused(self._metrics, len(pushes), error)
            raise
        receipts = [self._append(self._partitions[number], push) for number, push in pushes]
        count_answered(self._metrics, (push for _, push in pushes), receipts)
        for number in {number for number, _ in pushes}:
            self._partitions[number].arrival.announce()
        return receipts

    async def rewind(self, partition: int) -> int:
        """See :class:`imd.interfaces.Broker`."""
        self._check()
        held = self._partitions[partition]
        held.unread = deque(held.stored)
        held.fence = max(held.fence + 1, self._now_ms())
        return held.fence

    async def read(self, partition: int, limit: int, wait_seconds: float) -> list[Entry]:
        """See :class:`imd.interfaces.Broker`."""
        deadline = self._clock.seconds() + wait_seconds
        while True:
            self._check()
            entries = self._take(self._partitions[partition], limit)
            left = deadline - self._clock.seconds()
            if entries or left <= 0:
                return entries
            await self._partitions[partition].arrival.wait(left)

    async def commit(self, partition: int, tokens: Sequence[bytes], fence: int = 0) -> None:
        """See :class:`imd.interfaces.Broker`. Unknown tokens are ignored."""
        self._check()
        if fence and fence < self._partitions[partition].fence:
            raise Fenced(f"partition {partition} has a newer owner")
        for token in tokens:
            self._forget(self._partitions[partition], int.from_bytes(token, "big"))

    async def backlog(self) -> Backlog:
        """See :class:`imd.interfaces.Broker`. An entry's age counts from its push's ``at_ms``."""
        self._check()
        firsts = [next(iter(held.stored.items())) for held in self._partitions if held.stored]
        oldest_at_ms = min(firsts)[1].at_ms if firsts else 0
        return Backlog(self._appended - self._committed, oldest_at_ms, self._appended, self._committed)

    # as an operator of a product would

    def snapshot(self) -> object:
        """A backup of all that waits, is remembered and is kept; of the timelines too."""
        return _Backup(
            [held.stored.copy() for held in self._partitions],
            [held.keys.copy() for held in self._partitions],
            [held.fence for held in self._partitions],
            self._appended,
            self._committed,
            self._timelines.snapshot() if self._timelines else None,
        )

    def restore(self, snapshot: object) -> None:
        """Go back to a backup of this broker, which may be used again; readers stand before the first entry then."""
        assert isinstance(snapshot, _Backup)
        for held, stored, keys, fence in zip(
            self._partitions, snapshot.stored, snapshot.keys, snapshot.fences, strict=True
        ):
            held.stored, held.keys, held.fence = stored.copy(), keys.copy(), fence
            held.unread = deque(stored)
            held.arrival.announce()
        self._appended, self._committed = snapshot.appended, snapshot.committed
        if self._timelines:
            self._timelines.restore(snapshot.timelines)

    def empty(self) -> None:
        """Lose everything, of the timelines too."""
        for held in self._partitions:
            held.stored.clear()
            held.keys.clear()
            held.unread.clear()
            held.fence = 0
        self._appended = self._committed = 0
        if self._timelines:
            self._timelines.empty()

    def _check(self) -> None:
        if not self._open:
            raise BrokerUnavailable("the broker is closed")

    def _append(self, partition: _Partition, push: Push) -> Receipt:
        asked, now = b"", 0.0
        if push.idempotency_key:
            asked, now = fingerprint(push), self._clock.seconds()
            while partition.keys and next(iter(partition.keys.values())).expires_at <= now:
                partition.keys.popitem(last=False)
            first = partition.keys.get(push.idempotency_key)
            if first is not None and first.fingerprint == asked:
                return Receipt(first.id, repeated=True, places=first.places)
            if first is not None:
                return Receipt(first.id, conflict=True)
        places = self._keep(push)
        if push.idempotency_key:
            expires_at = now + self._idempotency_seconds
            partition.keys[push.idempotency_key] = _Remembered(push.id, asked, places, expires_at)
        number = next(self._numbers)
        partition.stored[number] = _Stored(push.at_ms, dump(push), places)
        partition.unread.append(number)
        self._appended += 1
        return Receipt(push.id, places=places)

    def _keep(self, push: Push) -> tuple[Place, ...]:
        assert self._timelines is not None or not push.keep_count, "it was made without timelines"
        return self._timelines.append(push) if self._timelines else ()

    def _take(self, partition: _Partition, limit: int) -> list[Entry]:
        """The next entries that can be decoded; what cannot is dropped here."""
        entries: list[Entry] = []
        while partition.unread and len(entries) < limit:
            number = partition.unread.popleft()
            held = partition.stored.get(number)
            if held is None:  # committed unread
                continue
            try:
                entries.append(Entry(pack(">Q", number), load(held.data), held.places))
            except msgspec.DecodeError:
                self._metrics.drops.add(1, "broker", "undecodable")
                self._forget(partition, number)
        return entries

    def _forget(self, partition: _Partition, number: int) -> None:
        if partition.stored.pop(number, None) is not None:
            self._committed += 1
            self._metrics.committed.add()
