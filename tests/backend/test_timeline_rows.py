"""The statements about timelines, as far as the contract does not see them: what is bounded, and what a read writes."""

import sqlite3
from itertools import count

from twisted.trial.unittest import SynchronousTestCase

from imd.backend import sqlite_books
from imd.backend.sqlite_schema import prepare
from imd.backend.timeline_rows import SWEEP, TimelineRows
from imd.backend.timelines import HEAD_SECONDS, UNUSED_ROOM_SECONDS
from imd.protocol.push import Push, Target
from imd.protocol.rpc import Follow

NOW = 1_700_000_000_000
HOUR_MS = 3_600_000


class TimelineRowsTests(SynchronousTestCase):
    """On a database in memory."""

    def setUp(self) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        prepare(self.connection)
        names = map(str, count(1))
        self.rows = TimelineRows(make_epoch=lambda: next(names), head_ms=HOUR_MS)

    def append(self, room: str, *, times: int = 1, now: int = NOW, keep_ms: int = HOUR_MS) -> None:
        books = sqlite_books.load(self.connection)
        for id in range(times):
            push = Push(id, now, Target.ROOM, 1, b"", room=room, keep_count=100_000, keep_ms=keep_ms)
            self.rows.append(push, now, books, self.connection)
        sqlite_books.save(books, self.connection)

    def changes(self) -> int:
        return self.connection.total_changes

    def test_most_reads_touch_no_head(self) -> None:
        """Only one that is more than a hundredth of its time older is written."""
        self.append("a")
        follow = [Follow("r:a", 0, "1-0", 10)]
        before = self.changes()
        self.rows.read(follow, NOW + 1000, self.connection)
        self.assertEqual(self.changes() - before, 1)  # the books
        before = self.changes()
        self.rows.read(follow, NOW + HOUR_MS // 50, self.connection)
        self.assertEqual(self.changes() - before, 2)

    def test_unused_rooms_are_forgotten_sooner(self) -> None:
        """Those that had a message are not, nor are inboxes."""
        names = map(str, count(1))
        self.rows = TimelineRows(make_epoch=lambda: next(names), head_ms=int(HEAD_SECONDS * 1000))
        week, then = int(UNUSED_ROOM_SECONDS * 1000), NOW
        self.append("used", keep_ms=10)
        for _ in range(3):
            self.rows.read([Follow(name) for name in ("r:used", "m:7", "r:unused")], then, self.connection)
            self.rows.sweep(10, then, self.connection)
            found = self.connection.execute("SELECT name FROM timeline ORDER BY name").fetchall()
            self.assertEqual(found, [("m:7",), ("r:unused",), ("r:used",)])
            then += week - 1
        self.rows.sweep(10, then + 1, self.connection)
        found = self.connection.execute("SELECT name FROM timeline ORDER BY name").fetchall()
        self.assertEqual(found, [("m:7",), ("r:used",)])

    def test_a_sweep_lets_go_of_so_many(self) -> None:
        """Whatever is due: the rest is another sweep's."""
        for room in ("a", "b", "c"):
            self.append(room, times=SWEEP - 1000, keep_ms=1)
        sizes = []
        more = True
        while more:
            swept = self.rows.sweep(100, NOW + 1000, self.connection)
            sizes.append(swept.expired)
            more = swept.more
        self.assertEqual(sum(sizes), 3 * (SWEEP - 1000))
        self.assertLess(max(sizes), 2 * SWEEP)
        self.assertGreater(len(sizes), 1)

    def test_a_shorter_time(self) -> None:
        """The newest push says how old messages may be, also for those before it."""
        self.append("a", now=NOW)
        self.append("a", now=NOW + 5000, keep_ms=1000)
        (page,) = self.rows.read([Follow("r:a", 0, "1-0", 10)], NOW + 5000, self.connection).pages
        self.assertEqual(([message.seq for message in page.messages], page.recovered), ([2], False))

    def test_a_longer_time(self) -> None:
        """What is still there stays longer; a sweep at the earlier time finds nothing to do, and comes later."""
        self.append("a", keep_ms=1000)
        self.append("a", keep_ms=9000)
        self.assertEqual(self.rows.sweep(10, NOW + 2000, self.connection), (0, 0, False))
        self.assertEqual(self.rows.sweep(10, NOW + 9000, self.connection), (0, 2, False))

    def test_clocks_that_disagree(self) -> None:
        """A message that claims to be older than the one before it stays as long as that: the window has no holes."""
        self.append("a", now=NOW + 5000, keep_ms=10_000)
        books = sqlite_books.load(self.connection)
        late = Push(9, NOW, Target.ROOM, 1, b"", room="a", keep_count=10, keep_ms=10_000)
        self.rows.append(late, NOW + 5000, books, self.connection)
        sqlite_books.save(books, self.connection)
        (page,) = self.rows.read([Follow("r:a", 0, "1-0", 10)], NOW + 12_000, self.connection).pages
        self.assertEqual(([message.seq for message in page.messages], page.recovered), ([1, 2], True))
        self.assertEqual(self.rows.sweep(10, NOW + 12_000, self.connection), (0, 0, False))
        self.assertEqual(self.rows.sweep(10, NOW + 15_000, self.connection), (0, 2, False))
