"""The writer of a SQLite file: shared commits, in order, and every way a file can be unusable."""

import os
import sqlite3
from functools import partial
from pathlib import Path
from threading import Event
from typing import TypeVar

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from imd.backend.sqlite_writer import GROUP_ROWS, SqliteWriter
from imd.errors import BrokerUnavailable, TimelineUnavailable
from tests.support.reactor import reactor

T = TypeVar("T")


class SqliteWriterTests(TestCase):
    """A real file and a real thread."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp()) / "folder" / "imd.sqlite"
        self.settled: list[object] = []

    def make(self, *, deadline_seconds: float = 10.0) -> SqliteWriter:
        writer = SqliteWriter(
            str(self.path), reactor=reactor, unavailable=BrokerUnavailable, deadline_seconds=deadline_seconds
        )
        self.addCleanup(lambda: Deferred.fromCoroutine(writer.close()))
        return writer

    async def make_open(self, *, deadline_seconds: float = 10.0) -> SqliteWriter:
        writer = self.make(deadline_seconds=deadline_seconds)
        await writer.open()
        await writer.do(lambda connection: connection.execute("CREATE TABLE IF NOT EXISTS t (n)").rowcount, ignore)
        return writer

    def insert(self, writer: SqliteWriter, number: int) -> "Deferred[int]":
        return writer.do(partial(insert, number), self.settled.append)

    async def rows(self, writer: SqliteWriter) -> list[int]:
        return await writer.do(numbers, ignore)

    async def assert_refused(self, words: str) -> None:
        writer = self.make()
        with self.assertRaises(BrokerUnavailable) as raised:
            await writer.open()
        self.assertIn(words, str(raised.exception))
        self.assertIn(str(self.path), str(raised.exception))
        self.assertNotIn("\n", str(raised.exception))

    async def test_makes_the_folder_and_the_file(self) -> None:
        """Nothing needs to be there before."""
        await self.make_open()
        self.assertTrue(self.path.exists())

    async def test_nothing_is_opened_before_open(self) -> None:
        """A handle made before a fork would be shared: construction touches no file and starts no thread."""
        writer = self.make()
        self.assertFalse(self.path.parent.exists())
        self.assertIn("is not open", str(writer.trouble()))
        with self.assertRaises(BrokerUnavailable):
            await self.insert(writer, 1)
        self.assertEqual(self.settled, [None])

    async def test_tells_of_each_commit_before_anybody_hears(self) -> None:
        """What was undone is not told."""
        writer = await self.make_open()
        seen: list[list[int]] = []
        writer.committed = lambda connection: seen.append(numbers(connection))
        await self.insert(writer, 1)
        self.assertEqual(seen, [[1]])
        with self.assertRaises(BrokerUnavailable):
            await writer.do(lambda connection: connection.execute("nonsense"), ignore)
        self.assertEqual(seen, [[1]])
        await self.insert(writer, 2)
        self.assertEqual(seen, [[1], [1, 2]])

    async def test_answers_and_settles_in_order(self) -> None:
        """Every call gets its own answer; the books are changed in the order of the calls."""
        writer = await self.make_open()
        answers = await gatherResults([self.insert(writer, number) for number in range(2000)])
        self.assertEqual(answers, list(range(2000)))
        self.assertEqual(self.settled, list(range(2000)))
        self.assertEqual(await self.rows(writer), list(range(2000)))

    async def test_calls_that_wait_together_share_a_commit(self) -> None:
        """A hundred calls of one reactor turn see one transaction."""
        writer = await self.make_open()
        commits = Commits()
        await writer.do(lambda connection: connection.set_trace_callback(commits.trace), ignore)
        commits.seen = 0
        await gatherResults([self.insert(writer, number) for number in range(100)])
        self.assertEqual(commits.seen, 1)
        await writer.do(lambda connection: connection.set_trace_callback(None), ignore)

    async def test_large_calls_share_less(self) -> None:
        """A commit takes about so many rows, so that nobody waits long for what others write."""
        writer = await self.make_open()
        commits = Commits()
        await writer.do(lambda connection: connection.set_trace_callback(commits.trace), ignore)
        commits.seen = 0
        calls = [writer.do(partial(insert, number), ignore, rows=GROUP_ROWS // 4) for number in range(12)]
        self.assertEqual(await gatherResults(calls), list(range(12)))
        self.assertEqual(commits.seen, 3)
        await writer.do(lambda connection: connection.set_trace_callback(None), ignore)

    async def test_a_caller_may_name_its_error(self) -> None:
        """Those who share a file may each have an exception of their own."""
        writer = await self.make_open()
        with self.assertRaises(TimelineUnavailable):
            await writer.do(broken, ignore, TimelineUnavailable)
        await writer.close()
        with self.assertRaises(TimelineUnavailable):
            await writer.do(numbers, ignore, TimelineUnavailable)

    async def test_a_failed_group_is_undone(self) -> None:
        """When one call cannot be written none is; all are told, and the next group works."""
        writer = await self.make_open()
        good, bad = self.insert(writer, 1), writer.do(broken, self.settled.append)
        for each in (good, bad):
            with self.assertRaises(BrokerUnavailable):
                await each
        self.assertEqual(self.settled, [None, None])
        self.assertIn("no such table", str(writer.trouble()))
        self.assertEqual(await self.rows(writer), [])
        await self.insert(writer, 2)
        self.assertEqual(await self.rows(writer), [2])
        self.assertIsNone(writer.trouble())

    async def test_a_fault_of_ours_ends_nobody_else(self) -> None:
        """An exception in a function is logged with its traceback, its caller is told, and the thread goes on."""
        writer = await self.make_open()
        with self.assertRaises(BrokerUnavailable):
            await writer.do(lambda connection: 1 // 0, ignore)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        await self.insert(writer, 1)

    async def test_a_caller_that_gave_up_is_settled_all_the_same(self) -> None:
        """Its call is written, and whoever keeps the books learns it."""
        writer = await self.make_open()
        first = self.insert(writer, 1)
        first.addErrback(lambda failure: None)
        first.cancel()
        await self.insert(writer, 2)
        self.assertEqual(self.settled, [1, 2])

    async def test_close_writes_what_waits(self) -> None:
        """Calls made before close are durable when it returns; later ones are refused."""
        writer = await self.make_open()
        waiting = self.insert(writer, 1)
        await writer.close()
        self.assertEqual(await waiting, 1)
        with self.assertRaises(BrokerUnavailable):
            await self.insert(writer, 2)
        self.assertIn("is closed", str(writer.trouble()))
        again = await self.make_open()
        self.assertEqual(await self.rows(again), [1])

    async def test_closing_twice_is_fine(self) -> None:
        """So is closing what never opened."""
        writer = await self.make_open()
        await writer.close()
        await writer.close()
        await self.make().close()

    async def test_a_disk_that_does_not_answer(self) -> None:
        """After the deadline everybody is told, later calls at once; when it answers again all is well, nothing uncounted."""
        writer = await self.make_open(deadline_seconds=0.1)
        release = Event()
        slow = writer.do(lambda connection: release.wait(10), self.settled.append)
        await deferLater(reactor, 0.02)
        waiting = self.insert(writer, 1)
        for each in (slow, waiting):
            with self.assertRaises(BrokerUnavailable):
                await each
        self.assertIn("has not answered", str(writer.trouble()))
        with self.assertRaises(BrokerUnavailable):
            await self.insert(writer, 2)
        release.set()
        await deferLater(reactor, 0.1)
        self.assertIsNone(writer.trouble())
        self.assertEqual(self.settled, [None, True, 1])
        self.assertEqual(await self.rows(writer), [1])

    async def test_a_second_opener_is_refused(self) -> None:
        """One clear line; the first one's file stays usable, and free once it is closed."""
        writer = await self.make_open()
        await self.assert_refused("in use by another process")
        await self.insert(writer, 1)
        await writer.close()
        self.assertEqual(await self.rows(await self.make_open()), [1])

    async def test_no_database(self) -> None:
        """A file of something else is refused, and left as it is."""
        self.path.parent.mkdir(parents=True)
        self.path.write_bytes(b"no database at all" * 100)
        await self.assert_refused("file is not a database")
        self.assertEqual(self.path.read_bytes(), b"no database at all" * 100)

    async def test_another_programs_database(self) -> None:
        """Tables of somebody else's are not written between."""
        self.path.parent.mkdir(parents=True)
        connection = sqlite3.connect(self.path)
        connection.execute("CREATE TABLE theirs (n)")
        connection.close()
        await self.assert_refused("another program's database")

    async def test_a_folder_that_cannot_be_made(self) -> None:
        """Says which, and why."""
        self.path.parent.parent.mkdir(parents=True)
        self.path.parent.write_bytes(b"a file")
        await self.assert_refused("File exists")

    async def test_a_path_that_cannot_be_opened(self) -> None:
        """A folder in the file's place is refused."""
        self.path.mkdir(parents=True)
        await self.assert_refused("unable to open")

    async def test_a_full_disk(self) -> None:
        """Callers are told, the process says so, and goes on when there is room again."""
        writer = await self.make_open()
        await writer.do(lambda connection: limit_pages(connection, 8), ignore)
        with self.assertRaises(BrokerUnavailable) as raised:
            for _ in range(100):
                await writer.do(
                    lambda connection: connection.execute("INSERT INTO t VALUES (zeroblob(4096))").rowcount, ignore
                )
        self.assertIn("full", str(raised.exception))
        self.assertIn("full", str(writer.trouble()))
        await writer.do(lambda connection: limit_pages(connection, 1 << 30), ignore)
        await self.insert(writer, 1)

    async def test_survives_without_its_owner(self) -> None:
        """What was committed is found by the next process even when nobody closed the file."""
        writer = await self.make_open()
        await self.insert(writer, 1)
        copy = Path(self.mktemp())
        copy.mkdir()
        for suffix in ("", "-wal"):
            (copy / f"imd.sqlite{suffix}").write_bytes(Path(f"{self.path}{suffix}").read_bytes())
        self.path = copy / "imd.sqlite"
        self.assertEqual(await self.rows(await self.make_open()), [1])
        self.assertTrue(os.path.exists(f"{self.path}-wal"))


class Commits:
    """Counts the commits that a connection traces."""

    def __init__(self) -> None:
        self.seen = 0

    def trace(self, statement: str) -> None:
        self.seen += statement == "COMMIT"


def insert(number: int, connection: sqlite3.Connection) -> int:
    connection.execute("INSERT INTO t VALUES (?)", (number,))
    return number


def numbers(connection: sqlite3.Connection) -> list[int]:
    return [number for (number,) in connection.execute("SELECT n FROM t ORDER BY rowid")]


def broken(connection: sqlite3.Connection) -> int:
    return connection.execute("INSERT INTO nowhere VALUES (1)").rowcount


def limit_pages(connection: sqlite3.Connection, pages: int) -> int:
    (limit,) = connection.execute(f"PRAGMA max_page_count = {pages}").fetchone()
    assert isinstance(limit, int)
    return limit


def ignore(_: object) -> None:
    """Nobody keeps books."""
