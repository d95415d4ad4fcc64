"""The tables of the SQLite file: made once, of nothing or of an older file."""

import sqlite3

from twisted.trial.unittest import SynchronousTestCase

from imd.backend.sqlite_schema import VERSION, prepare
from tests.backend.test_broker_sqlite import FIRST_VERSION


class PrepareTests(SynchronousTestCase):
    """:func:`prepare`."""

    def tables(self, connection: sqlite3.Connection) -> set[str]:
        found = connection.execute("SELECT name, type FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'")
        return {f"{type} {name}" for name, type in found}

    def columns(self, connection: sqlite3.Connection, table: str) -> list[str]:
        return [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]

    def test_an_older_file_ends_as_a_new_one(self) -> None:
        """The same tables, with the same columns in the same order."""
        new, old = sqlite3.connect(":memory:"), sqlite3.connect(":memory:")
        for statement in FIRST_VERSION:
            old.execute(statement)
        for connection in (new, old):
            prepare(connection)
            self.assertEqual(connection.execute("PRAGMA user_version").fetchone(), (VERSION,))
        self.assertEqual(self.tables(old), self.tables(new))
        for table in ("broker_entry", "broker_key"):
            self.assertEqual(self.columns(old, table), self.columns(new, table))

    def test_again(self) -> None:
        """A file that is ready stays as it is."""
        connection = sqlite3.connect(":memory:")
        prepare(connection)
        connection.execute("UPDATE store SET appended = 5")
        prepare(connection)
        self.assertEqual(connection.execute("SELECT count(*), sum(appended) FROM store").fetchone(), (1, 5))

    def test_a_newer_file(self) -> None:
        """It is refused, and left as it is."""
        connection = sqlite3.connect(":memory:")
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
        with self.assertRaises(sqlite3.DatabaseError) as raised:
            prepare(connection)
        self.assertIn("newer imd", str(raised.exception))
        self.assertEqual(self.tables(connection), set())
