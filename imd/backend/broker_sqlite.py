"""The broker in one SQLite file: for ``twistd imd``. A kill -9 or a power cut loses nothing that was accepted."""

import sqlite3
from collections import deque
from collections.abc import Sequence
from functools import partial
from struct import pack
from typing import NamedTuple, TypeVar

import msgspec

from imd.backend.arrival import Arrival
from imd.backend.publication import count_answered, count_refused
from imd.backend.sqlite_writer import Run, Settle, SqliteWriter
from imd.errors import BrokerUnavailable, Overloaded
from imd.interfaces import Backlog, Clock, Entry, Reactor, Receipt
from imd.metrics import Metrics
from imd.protocol.push import Push, dump, fingerprint, load

TAIL_BYTES = 1 << 20  # of pushes kept in memory for a partition's reader that keeps up; beyond it, it reads the file
SCHEMA_VERSION = 1  # of the file's tables, its ``user_version``

TABLES = (
    # what was not committed; seq rises over all partitions
    "CREATE TABLE IF NOT EXISTS broker_entry"
    " (seq INTEGER PRIMARY KEY, partition INTEGER NOT NULL, at_ms INTEGER NOT NULL, push BLOB NOT NULL)",
    "CREATE INDEX IF NOT EXISTS broker_entry_by_partition ON broker_entry (partition, seq)",
    # the first use of each idempotency key
    "CREATE TABLE IF NOT EXISTS broker_key (partition INTEGER NOT NULL, key TEXT NOT NULL, id INTEGER NOT NULL,"
    " fingerprint BLOB NOT NULL, at_ms INTEGER NOT NULL, PRIMARY KEY (partition, key)) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS broker_key_by_age ON broker_key (at_ms)",
)

T = TypeVar("T")


class _Row(NamedTuple):
    seq: int
    partition: int
    push: Push
    data: bytes


class _Partition:
    """What its reader is up to. ``tail`` is good while ``whole``: then it holds every entry behind ``cursor``."""

    __slots__ = ("arrival", "cursor", "reading", "tail", "tail_bytes", "tail_limit", "whole")

    def __init__(self, *, clock: Clock, tail_limit: int) -> None:
        self.arrival = Arrival(clock=clock)
        self.tail_limit = tail_limit  # bytes
        self.tail: deque[_Row] = deque()
        self.rewind()

    def rewind(self) -> None:
        self.cursor = 0  # seq of the last entry handed out
        self.reading: object = None  # the read of the file whose answer is awaited
        self.drop_tail()

    def drop_tail(self) -> None:
        self.whole = False
        self.tail.clear()
        self.tail_bytes = 0

    def offer(self, row: _Row) -> None:
        """An entry became durable."""
        if not self.whole:
            return
        self.tail.append(row)
        self.tail_bytes += len(row.data)
        if self.tail_bytes > self.tail_limit:
            self.drop_tail()

    def take(self, limit: int) -> list[Entry]:
        """The next entries of the tail."""
        entries: list[Entry] = []
        while self.tail and len(entries) < limit:
            row = self.tail.popleft()
            self.tail_bytes -= len(row.data)
            self.cursor = row.seq
            entries.append(Entry(_token(row.seq), row.push))
        return entries


class BrokerSqlite:
    """Keeps what was published in the file at ``path`` until it is committed. One process has the file at a time.

    Publishes that wait together share one fsync (see :class:`SqliteWriter`, which also says what it costs). A reader that
    keeps up is served from memory, as soon as the entry is durable. ``max_backlog_entries`` counts over all partitions; a
    publish that would pass it is refused whole. An idempotency key is remembered for ``idempotency_seconds`` of the
    pushes' own ``at_ms``, over restarts too. Entries of partitions that a smaller ``partitions`` no longer has are
    spread over those there are when the file is opened.

    ``open`` raises :class:`BrokerUnavailable` in one line when the file is in use, read-only, damaged or not imd's.
    """

    __slots__ = (
        "_entries",
        "_incoming",
        "_max_backlog_entries",
        "_metrics",
        "_next",
        "_partitions",
        "_reactor",
        "_window_ms",
        "_writer",
        "partitions",
    )

    def __init__(
        self,
        path: str,
        *,
        partitions: int,
        reactor: Reactor,
        metrics: Metrics,
        max_backlog_entries: int = 1_000_000,
        idempotency_seconds: float = 86_400.0,
        deadline_seconds: float = 10.0,
        tail_bytes: int = TAIL_BYTES,
    ) -> None:
        self.partitions = partitions
        self._reactor = reactor
        self._metrics = metrics
        self._max_backlog_entries = max_backlog_entries
        self._window_ms = int(idempotency_seconds * 1000)
        self._writer = SqliteWriter(
            path, reactor=reactor, unavailable=BrokerUnavailable, deadline_seconds=deadline_seconds
        )
        self._partitions = [_Partition(clock=reactor, tail_limit=tail_bytes) for _ in range(partitions)]
        self._next = 1  # the next entry's seq
        self._entries = 0  # durable and not committed, over all partitions
        self._incoming = 0  # on their way to the file

    async def open(self) -> None:
        """Take the file and find what was left in it. Raises :class:`BrokerUnavailable` when it cannot be used."""
        await self._writer.open()
        try:
            self._entries, last = await self._writer.do(partial(_prepare, self.partitions), _nothing)
        except BaseException:
            await self._writer.close()
            raise
        self._next = last + 1
        self._metrics.found.add(self._entries)

    async def close(self) -> None:
        """Write what is under way and let the file go; a waiting ``read`` raises."""
        await self._writer.close()
        for partition in self._partitions:
            partition.arrival.announce()

    def trouble(self) -> str | None:
        """None when usable; else what the file's last write met."""
        return self._writer.trouble()

    async def publish(self, pushes: Sequence[tuple[int, Push]]) -> list[Receipt]:
        """See :class:`imd.interfaces.Broker`."""
        waiting = self._entries + self._incoming
        if waiting + len(pushes) > self._max_backlog_entries:
            full = Overloaded(f"{waiting} pushes wait in the broker, its limit is {self._max_backlog_entries}")
            count_refused(self._metrics, len(pushes), full)
            raise full
        rows = [_Row(self._next + at, number, push, dump(push)) for at, (number, push) in enumerate(pushes)]
        self._next += len(rows)
        self._incoming += len(rows)
        return await self._ask("publish", partial(_store, rows, self._window_ms), partial(self._stored, rows))

    async def rewind(self, partition: int) -> None:
        """See :class:`imd.interfaces.Broker`."""
        self._check()
        self._partitions[partition].rewind()

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

    async def commit(self, partition: int, tokens: Sequence[bytes]) -> None:
        """See :class:`imd.interfaces.Broker`. Unknown tokens are ignored."""
        keys = [(int.from_bytes(token, "big"), partition) for token in tokens]
        await self._ask("commit", partial(_delete, keys), self._deleted)

    async def backlog(self) -> Backlog:
        """See :class:`imd.interfaces.Broker`. An entry's age counts from its push's ``at_ms``."""
        oldest = await self._ask("backlog", _oldest, _nothing)
        return Backlog(self._entries, oldest)

    def _check(self) -> None:
        if self._writer.closed:
            raise BrokerUnavailable("the broker is closed")

    async def _ask(self, call: str, run: Run[T], settle: Settle[T]) -> T:
        started, result = self._reactor.seconds(), "error"
        try:
            answer = await self._writer.do(run, settle)
            result = "ok"
            return answer
        finally:
            self._metrics.backend_seconds.observe(self._reactor.seconds() - started, "broker", call, result)

    def _stored(self, rows: list[_Row], receipts: list[Receipt] | None) -> None:
        self._incoming -= len(rows)
        if receipts is None:  # undone, and whoever waits is told so
            count_refused(self._metrics, len(rows), BrokerUnavailable())
            return
        count_answered(self._metrics, (row.push for row in rows), receipts)
        stored = [
            row for row, receipt in zip(rows, receipts, strict=True) if not (receipt.repeated or receipt.conflict)
        ]
        self._entries += len(stored)
        for row in stored:
            self._partitions[row.partition].offer(row)
        for number in {row.partition for row in stored}:
            self._partitions[number].arrival.announce()

    def _deleted(self, entries: int | None) -> None:
        self._entries -= entries or 0
        self._metrics.committed.add(entries or 0)

    async def _load(self, partition: int, limit: int) -> list[Entry]:
        """The next entries from the file; what cannot be decoded is dropped here."""
        held = self._partitions[partition]
        held.reading = reading = object()

        def settle(found: list[tuple[int, bytes]] | None) -> None:
            # Here and not after the await: what is published next must find the tail whole. A reader that gave up
            # moves nothing.
            if found is not None and held.reading is reading:
                held.cursor = found[-1][0] if found else held.cursor
                held.whole = len(found) < limit

        try:
            found = await self._ask("read", partial(_select, partition, held.cursor, limit), settle)
        finally:
            if held.reading is reading:
                held.reading = None
        entries, bad = [], []
        for seq, data in found:
            try:
                entries.append(Entry(_token(seq), load(data)))
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


# in the writer's thread


def _prepare(partitions: int, connection: sqlite3.Connection) -> tuple[int, int]:
    """Make what is missing; answers (entries, the last seq)."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise sqlite3.DatabaseError(
            f"a newer imd wrote it (tables of version {version}, this one knows {SCHEMA_VERSION})"
        )
    for statement in TABLES:
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("UPDATE broker_entry SET partition = partition % ?1 WHERE partition >= ?1", (partitions,))
    entries, last = connection.execute("SELECT count(*), coalesce(max(seq), 0) FROM broker_entry").fetchone()
    return entries, last


def _store(rows: list[_Row], window_ms: int, connection: sqlite3.Connection) -> list[Receipt]:
    receipts = []
    for row in rows:
        receipt = _remember(row, window_ms, connection) if row.push.idempotency_key else Receipt(row.push.id)
        receipts.append(receipt)
        if not (receipt.repeated or receipt.conflict):
            connection.execute(
                "INSERT INTO broker_entry VALUES (?, ?, ?, ?)", (row.seq, row.partition, row.push.at_ms, row.data)
            )
    return receipts


def _remember(row: _Row, window_ms: int, connection: sqlite3.Connection) -> Receipt:
    """What the row's idempotency key makes of it."""
    push, asked = row.push, fingerprint(row.push)
    first = connection.execute(
        "SELECT id, fingerprint FROM broker_key WHERE partition = ? AND key = ? AND at_ms > ?",
        (row.partition, push.idempotency_key, push.at_ms - window_ms),
    ).fetchone()
    if first is not None:
        same = first[1] == asked
        return Receipt(first[0], repeated=same, conflict=not same)
    connection.execute(
        "INSERT OR REPLACE INTO broker_key VALUES (?, ?, ?, ?, ?)",
        (row.partition, push.idempotency_key, push.id, asked, push.at_ms),
    )
    # each new key forgets up to two that are too old: the table shrinks without a sweep
    connection.execute(
        "DELETE FROM broker_key WHERE (partition, key) IN"
        " (SELECT partition, key FROM broker_key WHERE at_ms <= ? ORDER BY at_ms LIMIT 2)",
        (push.at_ms - window_ms,),
    )
    return Receipt(push.id)


def _select(partition: int, cursor: int, limit: int, connection: sqlite3.Connection) -> list[tuple[int, bytes]]:
    return connection.execute(
        "SELECT seq, push FROM broker_entry WHERE partition = ? AND seq > ? ORDER BY seq LIMIT ?",
        (partition, cursor, limit),
    ).fetchall()


def _delete(keys: list[tuple[int, int]], connection: sqlite3.Connection) -> int:
    return connection.executemany("DELETE FROM broker_entry WHERE seq = ? AND partition = ?", keys).rowcount


def _oldest(connection: sqlite3.Connection) -> int:
    found = connection.execute("SELECT at_ms FROM broker_entry ORDER BY seq LIMIT 1").fetchone()
    return found[0] if found else 0
