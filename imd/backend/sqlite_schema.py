"""The tables of imd's SQLite file. Called in the writer's thread."""

import sqlite3

VERSION = 2  # of the tables: the file's ``user_version``

_TABLES = (
    # what was not committed; seq rises over all partitions; places: MessagePack, NULL for a live push
    "CREATE TABLE broker_entry (seq INTEGER PRIMARY KEY, partition INTEGER NOT NULL, at_ms INTEGER NOT NULL,"
    " push BLOB NOT NULL, places BLOB)",
    "CREATE INDEX broker_entry_by_partition ON broker_entry (partition, seq)",
    # the first use of each idempotency key
    "CREATE TABLE broker_key (partition INTEGER NOT NULL, key TEXT NOT NULL, id INTEGER NOT NULL,"
    " fingerprint BLOB NOT NULL, at_ms INTEGER NOT NULL, places BLOB, PRIMARY KEY (partition, key)) WITHOUT ROWID",
    "CREATE INDEX broker_key_by_age ON broker_key (at_ms)",
)

_TABLES_SINCE_2 = (
    # the highest fence that an owner of the partition got
    "CREATE TABLE broker_fence (partition INTEGER PRIMARY KEY, fence INTEGER NOT NULL)",
    # the heads: first = seq of the oldest message that is left, last + 1 when none is; acked = the highest position that
    # any device ever had in this epoch; due_ms = when a sweep looks at it, never later than there is something to do
    "CREATE TABLE timeline (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, epoch TEXT NOT NULL,"
    " first INTEGER NOT NULL, last INTEGER NOT NULL, acked INTEGER NOT NULL, devices INTEGER NOT NULL,"
    " keep_ms INTEGER NOT NULL, touched_ms INTEGER NOT NULL, due_ms INTEGER NOT NULL)",
    "CREATE INDEX timeline_by_due ON timeline (due_ms)",
    "CREATE TABLE timeline_message (timeline INTEGER NOT NULL, seq INTEGER NOT NULL, at_ms INTEGER NOT NULL,"
    " message BLOB NOT NULL, PRIMARY KEY (timeline, seq)) WITHOUT ROWID",
    # what each device has handled; changed = the number of the last change over all positions
    "CREATE TABLE timeline_position (timeline INTEGER NOT NULL, device TEXT NOT NULL, seq INTEGER NOT NULL,"
    " changed INTEGER NOT NULL, PRIMARY KEY (timeline, device)) WITHOUT ROWID",
    "CREATE INDEX timeline_position_by_change ON timeline_position (timeline, changed)",
    # one row: :class:`imd.backend.sqlite_books.SqliteBooks`
    "CREATE TABLE store (one INTEGER PRIMARY KEY CHECK (one = 1), era TEXT NOT NULL, appended INTEGER NOT NULL,"
    " committed INTEGER NOT NULL, kept INTEGER NOT NULL, held INTEGER NOT NULL, acked INTEGER NOT NULL,"
    " expired INTEGER NOT NULL, changes INTEGER NOT NULL)",
    "INSERT INTO store SELECT 1, '', count(*), 0, 0, 0, 0, 0, 0 FROM broker_entry",
)

# version -> what makes the next one of it
_STEPS = {
    0: (*_TABLES, *_TABLES_SINCE_2),
    1: (
        "ALTER TABLE broker_entry ADD COLUMN places BLOB",
        "ALTER TABLE broker_key ADD COLUMN places BLOB",
        *_TABLES_SINCE_2,
    ),
}


def prepare(connection: sqlite3.Connection) -> None:
    """Make what is missing, of a new file or of an older imd's, in the caller's transaction; nothing when nothing is.

    Raises :class:`sqlite3.DatabaseError` for a file that a newer imd wrote.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise sqlite3.DatabaseError(f"a newer imd wrote it (tables of version {version}, this one knows {VERSION})")
    for statement in _STEPS.get(version, ()):
        connection.execute(statement)
    if version != VERSION:
        connection.execute(f"PRAGMA user_version = {VERSION}")
