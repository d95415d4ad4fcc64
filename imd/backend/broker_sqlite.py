"""The broker in one SQLite file: for ``twistd imd``. A kill -9 or a power cut loses nothing that was accepted."""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from struct import pack
from typing import NamedTuple, TypeVar

import msgspec

from imd.backend import broker_rows
from imd.backend.arrival import Arrival
from imd.backend.broker_rows import Row, Stored
from imd.backend.publication import count_answered, count_refused
from imd.backend.sqlite_writer import Run, Settle, SqliteWriter
from imd.backend.timelines_sqlite import TimelinesSqlite
from imd.errors import BrokerUnavailable, Fenced, Overloaded
from imd.interfaces import Backlog, Clock, Entry, Reactor, Receipt
from imd.metrics import Metrics
from imd.protocol.push import Push, dump, load

TAIL_BYTES = 1 << 20  # of pushes kept in memory for a partition's reader that keeps up; beyond it, it reads the file

T = TypeVar("T")


class _Waiting(NamedTuple):
    """An entry of a tail."""

    seq: int
    entry: Entry
    size: int  # bytes


class _Partition:
    """What its reader is up to. ``tail`` is good while ``whole``: then it holds every entry behind ``cursor``."""

    __slots__ = ("arrival", "cursor", "fence", "reading", "tail", "tail_bytes", "tail_limit", "whole")

    def __init__(self, *, clock: Clock, tail_limit: int) -> None:
        self.arrival = Arrival(clock=clock)
        self.tail_limit = tail_limit  # bytes
        self.tail: deque[_Waiting] = deque()
        self.fence = 0  # its owner's, as the file has it; 0 = it never had one
        self.rewind()

    def rewind(self) -> None:
        self.cursor = 0  # seq of the last entry handed out
        self.reading: object = None  # the read of the file whose answer is awaited
        self.drop_tail()

    def drop_tail(self) -> None:
        self.whole = False
        self.tail.clear()
        self.tail_bytes = 0

    def offer(self, row: Row, receipt: Receipt) -> None:
        """An entry became durable."""
        if not self.whole:
            return
        self.tail.append(_Waiting(row.seq, Entry(_token(row.seq), row.push, receipt.places), len(row.data)))
        self.tail_bytes += len(row.data)
        if self.tail_bytes > self.tail_limit:
            self.drop_tail()

    def take(self, limit: int) -> list[Entry]:
        """The next entries of the tail."""
        entries: list[Entry] = []
        while self.tail and len(entries) < limit:
            waiting = self.tail.popleft()
            self.tail_bytes -= waiting.size
            self.cursor = waiting.seq
            entries.append(waiting.entry)
        return entries


class BrokerSqlite:
    """Keeps what was published in the file of ``writer`` until it is committed; kept pushes in ``timelines`` of the same file
    too, in the same transaction.

    Who composes a process opens the writer, then the timelines, then this, and closes them the other way round.
    Publishes that wait together share one fsync (see :class:`SqliteWriter`, which also says what it costs). A reader that
    keeps up is served from memory, as soon as the entry is durable. ``max_backlog_entries`` counts over all partitions; a
    publish that would pass it is refused whole. An idempotency key is remembered for ``idempotency_seconds`` of the
    pushes' own ``at_ms``, over restarts too. Entries of partitions that a smaller ``partitions`` no longer has are
    spread over those there are when the file is opened. ``now_ms`` is the date in ms since the epoch.

    Measured on a virtual disk with 100-byte bodies: awaited one by one, 3,800 live or 3,300 kept pushes a second; of 100
    callers at once, 38,000 live, 24,000 kept in a room, 21,000 in an inbox each; to 500 inboxes each, 110, which is 18 µs
    an inbox. A kept message takes 165 bytes of the file.

    ``open`` raises :class:`BrokerUnavailable` in one line when the file cannot be used.
    """

    __slots__ = (
        "_entries",
        "_incoming",
        "_max_backlog_entries",
        "_metrics",
        "_next",
        "_now_ms",
        "_open",
        "_partitions",
        "_reactor",
        "_timelines",
        "_window_ms",
        "_writer",
        "partitions",
    )

    def __init__(
        self,
        *,
        writer: SqliteWriter,
        timelines: TimelinesSqlite,
        partitions: int,
        reactor: Reactor,
        metrics: Metrics,
        now_ms: Callable[[], int],
        max_backlog_entries: int = 1_000_000,
        idempotency_seconds: float = 86_400.0,
        tail_bytes: int = TAIL_BYTES,
    ) -> None:
        self.partitions = partitions
        self._writer = writer
        self._timelines = timelines
        self._reactor = reactor
        self._metrics = metrics
        self._now_ms = now_ms
        self._max_backlog_entries = max_backlog_entries
        self._window_ms = int(idempotency_seconds * 1000)
        self._partitions = [_Partition(clock=reactor, tail_limit=tail_bytes) for _ in range(partitions)]
        self._next = 1  # the next entry's seq
        self._entries = 0  # durable and not committed, over all partitions
        self._incoming = 0  # on their way to the file
        metrics.offering.read = lambda: self._incoming
        self._open = False

    async def open(self) -> None:
        """Find what was left in the file. Raises :class:`BrokerUnavailable` when it cannot be used."""
        found = await self._writer.do(partial(broker_rows.find, self.partitions), _nothing)
        self._entries, self._next = found.entries, found.last + 1
        for partition, fence in found.fences.items():
            if partition < self.partitions:
                self._partitions[partition].fence = fence
        self._metrics.found.add(self._entries)
        self._open = True

    async def close(self) -> None:
        """Refuse calls from now on; a waiting ``read`` raises. The writer finishes what is under way."""
        self._open = False
        for partition in self._partitions:
            partition.arrival.announce()

    def trouble(self) -> str | None:
        """None when usable; else what the file's last write met."""
        return self._writer.trouble() or (None if self._open else "the broker is closed")

    async def publish(self, pushes: Sequence[tuple[int, Push]]) -> list[Receipt]:
        """See :class:`imd.interfaces.Broker`."""
        try:
            self._check(len(pushes))
        except (BrokerUnavailable, Overloaded) as error:
            count_refused(self._metrics, len(pushes), error)
            raise
        rows = [Row(self._next + at, number, push, dump(push)) for at, (number, push) in enumerate(pushes)]
        self._next += len(rows)
        self._incoming += len(rows)
        run: Run[Stored] = partial(broker_rows.store, rows, self._window_ms, self._now_ms(), self._timelines.rows)
        size = sum(1 + len(push.timelines) for _, push in pushes)
        stored: Stored = await self._ask("publish", run, partial(self._stored, rows), size)
        return stored.receipts

    async def rewind(self, partition: int) -> int:
        """See :class:`imd.interfaces.Broker`."""
        self._check()
        fence = await self._ask("rewind", partial(broker_rows.raise_fence, partition, self._now_ms()), _nothing)
        held = self._partitions[partition]
        held.fence = max(held.fence, fence)
        held.rewind()
        return fence

    async def read(self, partition: int, limit: int, wait_seconds: float) -> list[Entry]:
        """See :class:`imd.interfaces.Broker`."""
        deadline = self._reactor.seconds() + wait_seconds
        held = self._partitions[partition]
        while True:
            self._check()
            entries = held.take(limit)
            while not entries and not held.whole:
                entries = await self._load(partition, limit)
            left = deadline - self._reactor.seconds()
            if entries or left <= 0:
                return entries
            await held.arrival.wait(left)

    async def commit(self, partition: int, tokens: Sequence[bytes], fence: int = 0) -> None:
        """See :class:`imd.interfaces.Broker`. Unknown tokens are ignored."""
        self._check()
        if fence and fence < self._partitions[partition].fence:  # the file is this process's alone: so is its owner
            raise Fenced(f"partition {partition} has a newer owner")
        keys = [(int.from_bytes(token, "big"), partition) for token in tokens]
        await self._ask("commit", partial(broker_rows.delete, keys), self._deleted)

    async def backlog(self) -> Backlog:
        """See :class:`imd.interfaces.Broker`. An entry's age counts from its push's ``at_ms``."""
        self._check()
        return await self._ask("backlog", broker_rows.backlog, _nothing)

    def _check(self, coming: int = 0) -> None:
        """Raises unless it is open, and has room for so many."""
        if not self._open or self._writer.closed:
            raise BrokerUnavailable("the broker is closed")
        waiting = self._entries + self._incoming
        if coming and waiting + coming > self._max_backlog_entries:
            raise Overloaded(f"{waiting} pushes wait in the broker, its limit is {self._max_backlog_entries}")

    async def _ask(self, call: str, run: Run[T], settle: Settle[T], rows: int = 1) -> T:
        started, result = self._reactor.seconds(), "error"
        try:
            answer = await self._writer.do(run, settle, rows=rows)
            result = "ok"
            return answer
        finally:
            self._metrics.backend_seconds.observe(self._reactor.seconds() - started, "broker", call, result)

    def _stored(self, rows: list[Row], stored: Stored | None) -> None:
        self._incoming -= len(rows)
        if stored is None:  # undone, and whoever waits is told so
            count_refused(self._metrics, len(rows), BrokerUnavailable())
            return
        count_answered(self._metrics, (row.push for row in rows), stored.receipts)
        self._timelines.count(stored.kept, stored.gone)
        fresh = [
            (row, receipt)
            for row, receipt in zip(rows, stored.receipts, strict=True)
            if not (receipt.repeated or receipt.conflict)
        ]
        self._entries += len(fresh)
        for row, receipt in fresh:
            self._partitions[row.partition].offer(row, receipt)
        for number in {row.partition for row, _ in fresh}:
            self._partitions[number].arrival.announce()

    def _deleted(self, entries: int | None) -> None:
        self._entries -= entries or 0
        self._metrics.committed.add(entries or 0)

    async def _load(self, partition: int, limit: int) -> list[Entry]:
        """The next entries from the file; what cannot be decoded is dropped here."""
        held = self._partitions[partition]
        held.reading = reading = object()

        def settle(found: list[tuple[int, bytes, bytes | None]] | None) -> None:
            # Here and not after the await: what is published next must find the tail whole. A reader that gave up
            # moves nothing.
            if found is not None and held.reading is reading:
                held.cursor = found[-1][0] if found else held.cursor
                held.whole = len(found) < limit

        try:
            found = await self._ask("read", partial(broker_rows.select, partition, held.cursor, limit), settle)
        finally:
            if held.reading is reading:
                held.reading = None
        entries, bad = [], []
        for seq, data, places in found:
            try:
                entries.append(Entry(_token(seq), load(data), broker_rows.places_of(places)))
            except msgspec.DecodeError:
                bad.append(_token(seq))
        if bad:
            await self.commit(partition, bad)
            self._metrics.drops.add(len(bad), "broker", "undecodable")
        return entries


def _token(seq: int) -> bytes:
    return pack(">Q", seq)


def _nothing(_: object) -> None:
    """Nobody's books change."""
