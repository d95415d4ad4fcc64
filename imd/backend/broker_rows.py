"""The broker's rows in the SQLite file. Called in the writer's thread, each inside a transaction."""

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from imd.backend import sqlite_books
from imd.backend.sqlite_schema import prepare
from imd.backend.timeline_rows import TimelineRows
from imd.interfaces import Backlog, Receipt, Swept
from imd.protocol.push import Push, fingerprint
from imd.protocol.timeline import Place


class Row(NamedTuple):
    """An entry on its way to the file."""

    seq: int  # unique over all partitions
    partition: int
    push: Push
    data: bytes  # the push, dumped


class Stored(NamedTuple):
    """What became of some rows."""

    receipts: list[Receipt]
    kept: int  # messages appended to timelines
    gone: Swept  # messages that had to go for them


class Found(NamedTuple):
    """What a file had when it was opened."""

    entries: int
    last: int  # the highest seq; 0 = none
    fences: dict[int, int]  # partition -> its owner's


_places = msgspec.msgpack.Decoder(tuple[Place, ...])


def places_of(data: bytes | None) -> tuple[Place, ...]:
    """As an entry has them."""
    return _places.decode(data) if data else ()


def find(partitions: int, connection: sqlite3.Connection) -> Found:
    """Make the file ready. Entries of partitions that are no more are spread over those there are."""
    prepare(connection)
    connection.execute("UPDATE broker_entry SET partition = partition % ?1 WHERE partition >= ?1", (partitions,))
    entries, last = connection.execute("SELECT count(*), coalesce(max(seq), 0) FROM broker_entry").fetchone()
    return Found(entries, last, dict(connection.execute("SELECT partition, fence FROM broker_fence")))


def store(
    rows: Sequence[Row], window_ms: int, now_ms: int, timelines: TimelineRows, connection: sqlite3.Connection
) -> Stored:
    """Insert them, and what is kept of them into its timelines; keys are good for ``window_ms``."""
    books = sqlite_books.load(connection)
    kept, gone = books.kept, (books.acked, books.expired)
    receipts = []
    for row in rows:
        push = row.push
        receipt = _earlier(row, window_ms, connection) if push.idempotency_key else None
        if receipt is None:
            places = timelines.append(push, now_ms, books, connection)
            receipt = Receipt(push.id, places=places)
            packed = msgspec.msgpack.encode(places) if places else None
            connection.execute(
                "INSERT INTO broker_entry VALUES (?, ?, ?, ?, ?)",
                (row.seq, row.partition, push.at_ms, row.data, packed),
            )
            books.appended += 1
            if push.idempotency_key:
                _remember(row, window_ms, packed, connection)
        receipts.append(receipt)
    sqlite_books.save(books, connection)
    return Stored(receipts, books.kept - kept, Swept(books.acked - gone[0], books.expired - gone[1]))


def select(
    partition: int, cursor: int, limit: int, connection: sqlite3.Connection
) -> list[tuple[int, bytes, bytes | None]]:
    """(seq, push, places) of the entries behind ``cursor``."""
    return connection.execute(
        "SELECT seq, push, places FROM broker_entry WHERE partition = ? AND seq > ? ORDER BY seq LIMIT ?",
        (partition, cursor, limit),
    ).fetchall()


def delete(keys: Sequence[tuple[int, int]], connection: sqlite3.Connection) -> int:
    """Commit each (seq, partition); how many were there."""
    gone = connection.executemany("DELETE FROM broker_entry WHERE seq = ? AND partition = ?", keys).rowcount
    if gone > 0:
        connection.execute("UPDATE store SET committed = committed + ?", (gone,))
    return max(gone, 0)  # -1 of no keys


def raise_fence(partition: int, now_ms: int, connection: sqlite3.Connection) -> int:
    """The fence of a new owner."""
    (fence,) = connection.execute(
        "INSERT INTO broker_fence VALUES (?1, max(?2, 1)) ON CONFLICT DO UPDATE SET fence = max(fence + 1, ?2)"
        " RETURNING fence",
        (partition, now_ms),
    ).fetchone()
    assert isinstance(fence, int)
    return fence


def backlog(connection: sqlite3.Connection) -> Backlog:
    """As the file has it."""
    oldest = connection.execute("SELECT at_ms FROM broker_entry ORDER BY seq LIMIT 1").fetchone()
    books = sqlite_books.load(connection)
    return Backlog(books.appended - books.committed, oldest[0] if oldest else 0, books.appended, books.committed)


def _earlier(row: Row, window_ms: int, connection: sqlite3.Connection) -> Receipt | None:
    """What an earlier use of its idempotency key makes of it, None when there was none."""
    first = connection.execute(
        "SELECT id, fingerprint, places FROM broker_key WHERE partition = ? AND key = ? AND at_ms > ?",
        (row.partition, row.push.idempotency_key, row.push.at_ms - window_ms),
    ).fetchone()
    if first is None:
        return None
    if first[1] == fingerprint(row.push):
        return Receipt(first[0], repeated=True, places=places_of(first[2]))
    return Receipt(first[0], conflict=True)


def _remember(row: Row, window_ms: int, places: bytes | None, connection: sqlite3.Connection) -> None:
    push = row.push
    connection.execute(
        "INSERT OR REPLACE INTO broker_key VALUES (?, ?, ?, ?, ?, ?)",
        (row.partition, push.idempotency_key, push.id, fingerprint(push), push.at_ms, places),
    )
    # each new key forgets up to two that are too old: the table shrinks without a sweep
    connection.execute(
        "DELETE FROM broker_key WHERE (partition, key) IN"
        " (SELECT partition, key FROM broker_key WHERE at_ms <= ? ORDER BY at_ms LIMIT 2)",
        (push.at_ms - window_ms,),
    )
