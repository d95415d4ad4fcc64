"""The broker in this process's memory: for tests, and the plainest statement of what a broker does."""

from collections import OrderedDict, deque
from collections.abc import Sequence
from itertools import count
from struct import pack
from typing import NamedTuple

import msgspec

from imd.backend.arrival import Arrival
from imd.backend.publication import count_answered, count_refused
from imd.errors import BrokerUnavailable, ImdError, Overloaded
from imd.interfaces import Backlog, Clock, Entry, Receipt
from imd.metrics import Metrics
from imd.protocol.push import Push, dump, fingerprint, load


class _Stored(NamedTuple):
    at_ms: int
    data: bytes  # as a product would keep it


class _Remembered(NamedTuple):
    """The first use of an idempotency key."""

    id: int
    fingerprint: bytes
    expires_at: float  # on the clock


class _Partition:
    __slots__ = ("arrival", "keys", "stored", "unread")

    def __init__(self, *, clock: Clock) -> None:
        self.stored: OrderedDict[int, _Stored] = OrderedDict()  # by number, rising; what was not committed
        self.unread: deque[int] = deque()  # the numbers that were not handed out since the last rewind
        self.keys: OrderedDict[str, _Remembered] = OrderedDict()  # idempotency key -> first use, oldest first
        self.arrival = Arrival(clock=clock)


class BrokerMemory:
    """Holds what was published until it is committed, or until this process ends.

    ``max_backlog_entries`` counts over all partitions; a publish that would pass it is refused whole. An idempotency key is
    remembered for ``idempotency_seconds`` from its first use.
    """

    __slots__ = (
        "_clock",
        "_entries",
        "_idempotency_seconds",
        "_max_backlog_entries",
        "_metrics",
        "_numbers",
        "_open",
        "_partitions",
        "partitions",
    )

    def __init__(
        self,
        *,
        partitions: int,
        clock: Clock,
        metrics: Metrics,
        max_backlog_entries: int = 1_000_000,
        idempotency_seconds: float = 86_400.0,
    ) -> None:
        self.partitions = partitions
        self._clock = clock
        self._metrics = metrics
        self._max_backlog_entries = max_backlog_entries
        self._idempotency_seconds = idempotency_seconds
        self._partitions = [_Partition(clock=clock) for _ in range(partitions)]
        self._numbers = count(1)  # one for all partitions, never used again
        self._entries = 0  # over all partitions
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
            if self._entries + len(pushes) > self._max_backlog_entries:
                raise Overloaded(f"{self._entries} pushes wait in the broker, its limit is {self._max_backlog_entries}")
        except ImdError as error:
            count_refused(self._metrics, len(pushes), error)
            raise
        receipts = [self._append(self._partitions[number], push) for number, push in pushes]
        count_answered(self._metrics, (push for _, push in pushes), receipts)
        for number in {number for number, _ in pushes}:
            self._partitions[number].arrival.announce()
        return receipts

    async def rewind(self, partition: int) -> None:
        """See :class:`imd.interfaces.Broker`."""
        self._check()
        held = self._partitions[partition]
        held.unread = deque(held.stored)

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

    async def commit(self, partition: int, tokens: Sequence[bytes]) -> None:
        """See :class:`imd.interfaces.Broker`. Unknown tokens are ignored."""
        self._check()
        for token in tokens:
            self._forget(self._partitions[partition], int.from_bytes(token, "big"))

    async def backlog(self) -> Backlog:
        """See :class:`imd.interfaces.Broker`. An entry's age counts from its push's ``at_ms``."""
        self._check()
        firsts = [next(iter(held.stored.items())) for held in self._partitions if held.stored]
        return Backlog(self._entries, min(firsts)[1].at_ms if firsts else 0)

    def _check(self) -> None:
        if not self._open:
            raise BrokerUnavailable("the broker is closed")

    def _append(self, partition: _Partition, push: Push) -> Receipt:
        if push.idempotency_key:
            now = self._clock.seconds()
            while partition.keys and next(iter(partition.keys.values())).expires_at <= now:
                partition.keys.popitem(last=False)
            first = partition.keys.get(push.idempotency_key)
            asked = fingerprint(push)
            if first is not None:
                same = first.fingerprint == asked
                return Receipt(first.id, repeated=same, conflict=not same)
            partition.keys[push.idempotency_key] = _Remembered(push.id, asked, now + self._idempotency_seconds)
        number = next(self._numbers)
        partition.stored[number] = _Stored(push.at_ms, dump(push))
        partition.unread.append(number)
        self._entries += 1
        return Receipt(push.id)

    def _take(self, partition: _Partition, limit: int) -> list[Entry]:
        """The next entries that can be decoded; what cannot is dropped here."""
        entries: list[Entry] = []
        while partition.unread and len(entries) < limit:
            number = partition.unread.popleft()
            held = partition.stored.get(number)
            if held is None:  # committed unread
                continue
            try:
                entries.append(Entry(pack(">Q", number), load(held.data)))
            except msgspec.DecodeError:
                self._metrics.drops.add(1, "broker", "undecodable")
                self._forget(partition, number)
        return entries

    def _forget(self, partition: _Partition, number: int) -> None:
        if partition.stored.pop(number, None) is not None:
            self._entries -= 1
            self._metrics.committed.add()
