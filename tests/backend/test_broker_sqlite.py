"""The broker in a SQLite file keeps the contract, and what it was given over restarts and kills."""

import os
import signal
import sqlite3
import sys
from pathlib import Path

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from imd.backend.broker_sqlite import BrokerSqlite
from imd.errors import BrokerUnavailable, Fenced, Unavailable
from imd.interfaces import Backlog, Receipt
from imd.metrics import Metrics
from imd.protocol.push import dump, fingerprint
from imd.protocol.rpc import Follow
from tests.contract import broker as contract
from tests.contract.broker import NOW_MS, PARTITIONS, identities, push
from tests.support.reactor import reactor
from tests.support.sqlite_store import SqliteStore

PUBLISHER = """
import sys
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from imd.metrics import Metrics
from tests.contract.broker import NOW_MS
from tests.support.sqlite_store import SqliteStore
from imd.protocol.push import Push, Target

async def publish():
    store = SqliteStore(sys.argv[1], partitions=4, metrics=Metrics())
    await store.open()
    for number in range(1, 1 << 30):
        await store.broker.publish([(0, Push(number, NOW_MS, Target.ROOM, room="live://1", keep_count=9999, keep_ms=10**9))])
        print(number, flush=True)

Deferred.fromCoroutine(publish())
reactor.run()
"""

# as imd made it before timelines
FIRST_VERSION = (
    "PRAGMA application_id = 0x696D6401",
    "CREATE TABLE broker_entry"
    " (seq INTEGER PRIMARY KEY, partition INTEGER NOT NULL, at_ms INTEGER NOT NULL, push BLOB NOT NULL)",
    "CREATE INDEX broker_entry_by_partition ON broker_entry (partition, seq)",
    "CREATE TABLE broker_key (partition INTEGER NOT NULL, key TEXT NOT NULL, id INTEGER NOT NULL,"
    " fingerprint BLOB NOT NULL, at_ms INTEGER NOT NULL, PRIMARY KEY (partition, key)) WITHOUT ROWID",
    "CREATE INDEX broker_key_by_age ON broker_key (at_ms)",
    "PRAGMA user_version = 1",
)


class BrokerSqliteTests(contract.BrokerContract, TestCase):
    """The contract on a real file and the real reactor."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp()) / "imd.sqlite"
        self.metrics = Metrics()

    def make(
        self,
        *,
        partitions: int = PARTITIONS,
        max_backlog_entries: int = 1000,
        idempotency_seconds: float = 60.0,
        tail_bytes: int = 1 << 20,
    ) -> SqliteStore:
        store = self.store = SqliteStore(
            str(self.path),
            partitions=partitions,
            metrics=self.metrics,
            max_backlog_entries=max_backlog_entries,
            idempotency_seconds=idempotency_seconds,
            tail_bytes=tail_bytes,
        )
        self.addCleanup(lambda: Deferred.fromCoroutine(store.close()))
        return store

    async def make_broker(self, *, max_backlog_entries: int = 1000, idempotency_seconds: float = 60.0) -> BrokerSqlite:
        store = self.make(max_backlog_entries=max_backlog_entries, idempotency_seconds=idempotency_seconds)
        await store.open()
        return store.broker

    async def pass_time(self, seconds: float) -> None:
        await deferLater(reactor, seconds)

    async def spoil(self, broker: contract.AnyBroker, partition: int) -> None:
        assert isinstance(broker, BrokerSqlite)
        await broker.publish([(partition, push(999))])
        await self.store.writer.do(
            lambda connection: (
                connection.execute(
                    "UPDATE broker_entry SET push = x'c1' WHERE seq = (SELECT max(seq) FROM broker_entry)"
                ).rowcount
            ),
            lambda _: None,
        )

    # over restarts

    async def test_a_restart_keeps_what_was_not_committed(self) -> None:
        """In order, on every partition; the backlog and the limit count it."""
        broker = await self.make_broker()
        await broker.publish([(0, push(1)), (1, push(2)), (0, push(3)), (0, push(4))])
        entries = await broker.read(0, 2, 0)
        await broker.commit(0, [entries[1].token])
        await self.store.close()
        again = await self.make_broker(max_backlog_entries=3)
        self.assertEqual((await again.backlog()).entries, 3)
        self.assertEqual(await self.ids(again, 0), [1, 4])
        self.assertEqual(await self.ids(again, 1), [2])

    async def test_a_restart_does_not_mix_old_and_new(self) -> None:
        """What is published after a restart comes behind what was there."""
        broker = await self.make_broker()
        await self.publish(broker, 0, 1, 2)
        await self.store.close()
        again = await self.make_broker()
        await self.publish(again, 0, 3)
        self.assertEqual(await self.ids(again, 0), [1, 2, 3])

    async def test_a_restart_remembers_idempotency_keys(self) -> None:
        """A retry that meets the restarted process is still seen as one."""
        broker = await self.make_broker()
        await broker.publish([(0, push(1, key="k"))])
        await self.store.close()
        again = await self.make_broker()
        self.assertEqual(await again.publish([(0, push(2, key="k"))]), [Receipt(1, repeated=True)])

    async def test_forgotten_keys_leave_the_file(self) -> None:
        """The table of keys does not grow for ever."""
        broker = await self.make_broker(idempotency_seconds=1)
        for number in range(100):
            await broker.publish([(0, push(number, key=f"k{number}", at_ms=NOW_MS + number * 100))])
        (count,) = await self.store.writer.do(
            lambda connection: connection.execute("SELECT count(*) FROM broker_key").fetchone(), lambda _: None
        )
        self.assertLessEqual(count, 11)

    async def test_a_kill_loses_nothing_accepted(self) -> None:
        """A process that is killed while it publishes leaves every push whose call had returned."""
        publisher = Publisher()
        environment = {**os.environ, "PYTHONPATH": os.getcwd()}
        self.path.parent.mkdir(parents=True)
        process = reactor.spawnProcess(
            publisher, sys.executable, [sys.executable, "-c", PUBLISHER, str(self.path)], env=environment
        )
        await publisher.enough
        process.signalProcess(signal.SIGKILL)
        accepted = await publisher.ended
        broker = await self.make_broker(max_backlog_entries=1_000_000)
        found = [entry.push.id for entry in await broker.read(0, 1_000_000, 0)]
        self.assertEqual(found[:accepted], list(range(1, accepted + 1)))
        self.assertLessEqual(len(found), accepted + 1)
        (page,) = await self.store.timelines.read([Follow("r:live://1", 0, "", 1_000_000)])
        self.assertEqual([message.id for message in page.messages], found)

    async def test_fewer_partitions_lose_nothing(self) -> None:
        """Entries of partitions that are gone are found on those there are."""
        broker = await self.make_broker()
        await broker.publish([(number, push(number + 1)) for number in range(PARTITIONS)])
        await self.store.close()
        again = self.make(partitions=2)
        await again.open()
        self.assertEqual(await self.ids(again.broker, 0), [1, 3])
        self.assertEqual(await self.ids(again.broker, 1), [2, 4])

    async def test_a_newer_file_is_refused(self) -> None:
        """One line says that a newer imd wrote it."""
        await self.make_broker()
        await self.store.close()
        connection = sqlite3.connect(self.path)
        connection.execute("PRAGMA user_version = 3")
        connection.close()
        with self.assertRaises(Unavailable) as raised:
            await self.make().open()
        self.assertIn("newer imd", str(raised.exception))

    async def test_fences_outlive_their_process(self) -> None:
        """An owner of before a restart is fenced after it, though the clock went back."""
        broker = await self.make_broker()
        earlier = await broker.rewind(0)
        fence = await broker.rewind(0)
        await self.store.close()
        again = await self.make_broker()
        self.store.now_ms = 1
        await self.publish(again, 0, 1)
        (entry,) = await again.read(0, 1, 0)
        with self.assertRaises(Fenced):
            await again.commit(0, [entry.token], earlier)
        await again.commit(0, [entry.token], fence)
        self.assertEqual(await again.rewind(0), fence + 1)

    async def test_a_file_of_the_first_version(self) -> None:
        """What an older imd had left is all there: entries, keys, and the totals begin with what it left."""
        self.path.parent.mkdir(parents=True)
        connection = sqlite3.connect(self.path)
        for statement in FIRST_VERSION:
            connection.execute(statement)
        connection.execute("INSERT INTO broker_entry VALUES (7, 1, ?, ?)", (NOW_MS, dump(push(1, key="k"))))
        key = ("k", 1, fingerprint(push(1)), NOW_MS)
        connection.execute("INSERT INTO broker_key VALUES (1, ?, ?, ?, ?)", key)
        connection.commit()
        connection.close()
        broker = await self.make_broker()
        self.assertEqual(await broker.publish([(1, push(2, key="k"))]), [Receipt(1, repeated=True)])
        await self.publish(broker, 1, 3)
        self.assertEqual(await self.ids(broker, 1), [1, 3])
        self.assertEqual((await broker.backlog()), Backlog(2, NOW_MS, 2, 0))

    async def test_one_process_at_a_time(self) -> None:
        """A second opener is refused in one line."""
        await self.make_broker()
        with self.assertRaises(BrokerUnavailable) as raised:
            await self.make().open()
        self.assertIn("in use by another process", str(raised.exception))

    # the tail in memory

    async def test_a_reader_that_falls_behind_misses_nothing(self) -> None:
        """When more waits than the tail holds, the file gives it, and the tail takes over again."""
        store = self.make(tail_bytes=20 * len(dump(push(1))))
        await store.open()
        broker = store.broker
        self.assertEqual(await self.ids(broker, 0), [])
        await self.publish(broker, 0, *range(1, 101))
        seen = identities(await broker.read(0, 30, 0))
        await self.publish(broker, 0, 101)
        seen += await self.ids(broker, 0)
        await self.publish(broker, 0, 102)
        self.assertTrue(broker._partitions[0].whole)
        seen += await self.ids(broker, 0)
        self.assertEqual(seen, list(range(1, 103)))

    async def test_reading_while_publishing_gives_each_entry_once(self) -> None:
        """Thousands of pushes, published by twenty at once while a reader reads, come out once, each publisher's in order."""
        broker = await self.make_broker(max_backlog_entries=10_000)

        async def publish(first: int) -> None:
            for number in range(first, 2000, 20):
                await self.publish(broker, 0, number)

        async def read() -> list[int]:
            seen: list[int] = []
            while len(seen) < 2000:
                entries = await broker.read(0, 7, 5)
                self.assertTrue(entries)
                seen += identities(entries)
                await broker.commit(0, [entry.token for entry in entries])
            return seen

        reading = Deferred.fromCoroutine(read())
        await gatherResults([Deferred.fromCoroutine(publish(first)) for first in range(20)])
        seen = await reading
        self.assertEqual(sorted(seen), list(range(2000)))
        for first in range(20):
            mine = [number for number in seen if number % 20 == first]
            self.assertEqual(mine, sorted(mine))
        self.assertEqual((await broker.backlog())[:2], (0, 0))

    async def test_a_publisher_that_gave_up_is_read_all_the_same(self) -> None:
        """Its push is in the file: a reader that keeps up must see it without a rewind."""
        broker = await self.make_broker()
        self.assertEqual(await self.ids(broker, 0), [])
        publishing = Deferred.fromCoroutine(broker.publish([(0, push(1))]))
        publishing.addErrback(lambda failure: None)
        publishing.cancel()
        self.assertEqual(identities(await broker.read(0, 10, 2)), [1])
        self.assertEqual((await broker.backlog()).entries, 1)

    async def test_times_are_counted(self) -> None:
        """Every call to the file is in ``backend_seconds``, by call and result."""
        broker = await self.make_broker()
        await self.publish(broker, 0, 1)
        self.assertIn(("broker", "publish", "ok"), self.metrics.backend_seconds.values)


class Publisher(ProcessProtocol):
    """Reads the numbers that a publishing process says were accepted."""

    def __init__(self) -> None:
        self.enough: Deferred[None] = Deferred()  # after a hundred
        self.ended: Deferred[int] = Deferred()  # the last number heard of
        self.heard = b""

    def outReceived(self, data: bytes) -> None:
        self.heard += data
        if self.heard.count(b"\n") >= 100 and not self.enough.called:
            self.enough.callback(None)

    def errReceived(self, data: bytes) -> None:
        sys.stderr.buffer.write(data)

    def processEnded(self, reason: Failure) -> None:
        reason.trap(ProcessDone, ProcessTerminated)
        if not self.enough.called:
            self.enough.errback(reason)
        self.ended.callback(self.heard.count(b"\n"))
