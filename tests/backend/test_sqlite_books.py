"""The store's own totals in the SQLite file."""

import sqlite3

from twisted.trial.unittest import SynchronousTestCase

from imd.backend import sqlite_books
from imd.backend.sqlite_books import SqliteBooks
from imd.backend.sqlite_schema import prepare


class BooksTests(SynchronousTestCase):
    """Loaded and saved."""

    def setUp(self) -> None:
        self.connection = sqlite3.connect(":memory:")
        prepare(self.connection)

    def test_a_new_file(self) -> None:
        """Nothing was counted, and no era has begun."""
        self.assertEqual(sqlite_books.load(self.connection), SqliteBooks("", 0, 0, 0, 0, 0, 0, 0))

    def test_what_is_saved_is_loaded(self) -> None:
        """Each figure in its place."""
        books = SqliteBooks("e", 1, 2, 3, 4, 5, 6, 7)
        sqlite_books.save(books, self.connection)
        self.assertEqual(sqlite_books.load(self.connection), books)
