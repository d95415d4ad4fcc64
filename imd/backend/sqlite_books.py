"""The store's own totals, in the SQLite file: they outlive every process. Called in the writer's thread."""

import sqlite3
from dataclasses import dataclass


@dataclass(slots=True)
class SqliteBooks:
    """Loaded, changed and saved within one call of the writer, so that they change with what they count."""

    era: str  # begins every epoch that is good; empty = to be made
    appended: int  # entries of the broker, ever
    committed: int  # those of them that are gone
    kept: int  # messages of all timelines, ever
    held: int  # those of them that are left, as rows were inserted and deleted
    acked: int  # gone, handled by some device
    expired: int  # gone, handled by none
    changes: int  # of positions, ever


def load(connection: sqlite3.Connection) -> SqliteBooks:
    """As they are."""
    return SqliteBooks(
        *connection.execute(
            "SELECT era, appended, committed, kept, held, acked, expired, changes FROM store"
        ).fetchone()
    )


def save(books: SqliteBooks, connection: sqlite3.Connection) -> None:
    """As they are from now on."""
    connection.execute(
        "UPDATE store SET era = ?, appended = ?, committed = ?, kept = ?, held = ?, acked = ?, expired = ?, changes = ?",
        (
            books.era,
            books.appended,
            books.committed,
            books.kept,
            books.held,
            books.acked,
            books.expired,
            books.changes,
        ),
    )


def appended(connection: sqlite3.Connection) -> int:
    """Entries of the broker, ever."""
    count: int
    (count,) = connection.execute("SELECT appended FROM store").fetchone()
    return count
