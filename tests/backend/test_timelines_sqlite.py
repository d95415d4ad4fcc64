"""Timelines in a SQLite file keep the contract, over restarts, kills and backups."""

import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import capturedLogs
from twisted.trial.unittest import TestCase

from imd.errors import TimelineUnavailable
from imd.metrics import Metrics
from imd.protocol.rpc import Ack, Follow
from tests.contract import timelines as contract
from tests.contract.broker import PARTITIONS
from tests.contract.timelines import R, Store
from tests.support.reactor import reactor
from tests.support.sqlite_store import SqliteStore

TABLES = ("timeline", "timeline_message", "timeline_position")


class TimelinesSqliteTests(contract.TimelinesContract, TestCase):
    """The contract on a real file and the real reactor."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir(parents=True)

    def now_ms(self) -> int:
        return int(time.time() * 1000)

    async def open(self, path: Path, **settings: int | float) -> Store:
        self.metrics = Metrics()
        self.path, self.settings = path, settings
        store = self.store = SqliteStore(str(path), partitions=PARTITIONS, metrics=self.metrics, **settings)  # type: ignore[arg-type]  # by name
        await store.open()
        self.addCleanup(lambda: Deferred.fromCoroutine(store.close()))
        return Store(store.broker, store.timelines)

    async def make_store(self, *, head_seconds: float = 3600.0, max_backlog_entries: int = 5000) -> Store:
        path = self.folder / "imd.sqlite"
        return await self.open(path, head_seconds=head_seconds, max_backlog_entries=max_backlog_entries)

    async def pass_time(self, seconds: float) -> None:
        await deferLater(reactor, seconds)

    def copied(self) -> Path:
        """The files as a process that is killed now leaves them; as good a backup as any, for nothing is being written."""
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        for file in self.folder.glob("imd.sqlite*"):
            if not file.name.endswith("-shm"):
                shutil.copy(file, folder)
        return folder

    async def restarted(self, store: Store) -> Store:
        self.folder = self.copied()
        await self.store.close()
        return await self.open(self.folder / "imd.sqlite", **self.settings)

    async def emptied(self, store: Store) -> Store:
        await self.store.close()
        for file in self.folder.iterdir():
            file.unlink()
        return await self.open(self.path, **self.settings)

    async def rolled_back(self, store: Store, deed: Callable[[], Awaitable[object]]) -> Store:
        backup = self.copied()
        await deed()
        await self.store.close()
        self.folder = backup
        return await self.open(backup / "imd.sqlite", **self.settings)

    async def test_an_older_copy_in_its_place(self) -> None:
        """Whoever restores a backup of the file need not wait for a claim: every epoch changes, the numbers go on, and the log
        says so, once."""
        store = await self.make_store()
        epoch = await self.fill(store, 1, 2)
        backup = self.copied()
        await self.fill(store, 3, 4)
        await self.store.close()
        for name in ("imd.sqlite", "imd.sqlite-wal"):
            (self.folder / name).unlink(missing_ok=True)
            if (backup / name).exists():
                shutil.copy(backup / name, self.folder)
        with capturedLogs() as logged:
            store = await self.open(self.path)
            page = await self.page(store, R, 2, epoch)
            self.assertEqual((page.recovered, page.head.seq), (False, 2))
            await self.store.close()
            store = await self.open(self.path)
        self.assertEqual(await self.head(store), page.head)
        self.assertEqual(["older" in str(event["log_format"]) for event in logged], [True])

    async def test_what_was_just_accepted_is_witnessed(self) -> None:
        """Whoever heard that a push is kept may be killed at once: an older copy is found out all the same."""
        store = await self.make_store()
        for id in (1, 2):
            await self.fill(store, id)
            self.assertEqual(int((self.folder / "imd.sqlite-witness").read_bytes()), id)

    async def test_another_number_of_partitions(self) -> None:
        """It changes no timeline: nothing was lost."""
        store = await self.make_store()
        epoch = await self.fill(store, 1, 2)
        await self.store.close()
        again = SqliteStore(str(self.path), partitions=7, metrics=Metrics())
        await again.open()
        self.addCleanup(lambda: Deferred.fromCoroutine(again.close()))
        (page,) = await again.timelines.read([Follow(R, 1, epoch, 10)])
        self.assertEqual(([message.seq for message in page.messages], page.recovered), ([2], True))

    async def test_a_long_timeline_that_shrinks(self) -> None:
        """One step lets go of so many only, what is too old is not shown all the same, and the sweeps finish it."""
        store = await self.make_store()
        old = [self.to_room(id, count=10_000, age_ms=contract.MINUTE_MS - 1000) for id in range(1, 2501)]
        receipts = await self.keep(store, *old, self.to_room(2501, count=10_000))
        epoch = receipts[0].places[0].epoch
        await self.pass_time(1.2)
        page = await self.page(store, R, 0, epoch)
        self.assertEqual(([message.seq for message in page.messages], page.recovered), ([2501], False))
        await self.assert_totals(store, 2501, 1501, 0, 1000)
        while (await store.timelines.sweep(0, 10)).more:
            pass
        await self.assert_totals(store, 2501, 1, 0, 2500)
        rows = "SELECT count(*), min(seq) FROM timeline_message"
        found = await self.store.writer.do(lambda c: c.execute(rows).fetchone(), lambda _: None)
        self.assertEqual(found, (1, 2501))

    async def test_a_message_that_cannot_be_decoded(self) -> None:
        """It is left out and counted, and the page proves nothing; its neighbours come through."""
        store = await self.make_store()
        epoch = await self.fill(store, 1, 2, 3)
        spoil = "UPDATE timeline_message SET message = x'c1' WHERE seq = 2"
        await self.store.writer.do(lambda c: c.execute(spoil).rowcount, lambda _: None)
        page = await self.page(store, R, 0, epoch)
        self.assertEqual(([message.seq for message in page.messages], page.recovered), ([1, 3], False))
        self.assertEqual(self.metrics.drops.value("timeline", "undecodable"), 1)
        self.assertTrue((await self.page(store, R, 2, epoch)).recovered)

    async def test_a_forgotten_head_leaves_nothing(self) -> None:
        """No row of it, nor of its messages and positions."""
        store = await self.make_store(head_seconds=0.2)
        (receipt,) = await self.keep(store, self.to_room(1, ms=200))
        await store.timelines.ack([Ack(R, "7:a", 1, receipt.places[0].epoch)])
        await self.pass_time(0.5)
        await self.sweep(store)
        count = " + ".join(f"(SELECT count(*) FROM {table})" for table in TABLES)
        found = await self.store.writer.do(lambda c: c.execute(f"SELECT {count}").fetchone(), lambda _: None)
        self.assertEqual(found, (0,))

    async def test_a_closed_file(self) -> None:
        """Every call raises TimelineUnavailable."""
        store = await self.make_store()
        await self.store.close()
        timelines = store.timelines
        for call in (
            timelines.read([Follow(R)]),
            timelines.ack([]),
            timelines.positions(R),
            timelines.sweep(0, 1),
            timelines.totals(),
        ):
            with self.assertRaises(TimelineUnavailable):
                await call
        self.assertIsInstance(self.store.timelines.trouble(), str)

    async def test_times_are_counted(self) -> None:
        """Every call to the file is in ``backend_seconds``, by call and result."""
        store = await self.make_store()
        await self.head(store)
        self.assertIn(("timelines", "read", "ok"), self.metrics.backend_seconds.values)
