"""Timelines in memory keep the contract."""

from collections.abc import Awaitable, Callable
from itertools import count

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from imd.backend.broker_memory import BrokerMemory
from imd.backend.timelines import HEAD_SECONDS, UNUSED_ROOM_SECONDS
from imd.backend.timelines_memory import TimelinesMemory
from imd.metrics import Metrics
from tests.contract import timelines as contract
from tests.contract.broker import PARTITIONS
from tests.contract.timelines import R, Store

START_MS = 1_700_000_000_000


class TimelinesMemoryTests(contract.TimelinesContract, TestCase):
    """The contract on a fake clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.names = map(str, count(1))

    def now_ms(self) -> int:
        return START_MS + int(self.clock.seconds() * 1000)

    def make_timelines(self, *, head_seconds: float = 3600.0) -> TimelinesMemory:
        self.metrics = Metrics()
        return TimelinesMemory(
            metrics=self.metrics,
            now_ms=self.now_ms,
            make_epoch=lambda: next(self.names),
            head_seconds=head_seconds,
        )

    async def make_store(self, *, head_seconds: float = 3600.0, max_backlog_entries: int = 5000) -> Store:
        self.memory = self.make_timelines(head_seconds=head_seconds)
        broker = self.broker = BrokerMemory(
            partitions=PARTITIONS,
            clock=self.clock,
            metrics=self.metrics,
            timelines=self.memory,
            now_ms=self.now_ms,
            max_backlog_entries=max_backlog_entries,
        )
        await broker.open()
        return Store(broker, self.memory)

    async def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)

    async def restarted(self, store: Store) -> Store:
        self.broker.restore(self.broker.snapshot())
        return store

    async def emptied(self, store: Store) -> Store:
        self.broker.empty()
        return store

    async def rolled_back(self, store: Store, deed: Callable[[], Awaitable[object]]) -> Store:
        snapshot = self.broker.snapshot()
        await deed()
        self.broker.restore(snapshot)
        return store

    async def test_a_backup_is_its_own(self) -> None:
        """What happens afterwards does not change it, and it can be used again."""
        store = await self.make_store()
        await self.fill(store, 1)
        snapshot = self.broker.snapshot()
        for _ in range(2):
            await self.fill(store, 2, 3)
            self.broker.restore(snapshot)
            self.assertEqual((await self.head(store)).seq, 1)
            self.assertEqual((await store.broker.backlog()).entries, 1)
            await self.assert_totals(store, 1, 1, 0, 0)

    async def test_a_loss_that_is_known(self) -> None:
        """Every epoch changes at once, though nobody claims anything."""
        store = await self.make_store()
        epoch = await self.fill(store, 1)
        self.memory.renew_epochs()
        self.assertFalse((await self.page(store, R, 1, epoch)).recovered)
        self.assertEqual((await self.head(store)).seq, 1)

    async def test_unused_rooms_are_forgotten_sooner(self) -> None:
        """Those that had a message are not, nor are inboxes."""
        store = await self.make_store(head_seconds=HEAD_SECONDS)
        await self.keep(store, self.to_room(1, ms=10))
        names = (R, "m:7", "r:unused")
        before = [await self.head(store, name) for name in names]
        for _ in range(2):
            await self.pass_time(UNUSED_ROOM_SECONDS - 1)
            await self.sweep(store)
            self.assertEqual([await self.head(store, name) for name in names], before)
        await self.pass_time(UNUSED_ROOM_SECONDS)
        await self.sweep(store)
        self.assertEqual(set(self.memory._state.heads), {R, "m:7"})

    async def test_what_is_due_does_not_pile_up(self) -> None:
        """However often a timeline is emptied and filled, a sweep's queue is about as long as there are timelines."""
        store = await self.make_store()
        for id in range(1, 5000):
            await self.keep(store, self.to_room(id, ms=10))
            await self.pass_time(0.02)
            await store.timelines.sweep(0, 10)
        self.assertLess(len(self.memory._state.due), 1100)
