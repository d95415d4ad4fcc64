"""Timelines in Redis keep the contract, and a Redis that lost something is always found out."""

import shutil
import time
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet import reactor

from imd.backend.broker_redis import BrokerRedis
from imd.backend.timelines import HEAD_SECONDS, UNUSED_ROOM_SECONDS
from imd.backend.timelines_redis import TimelinesRedis
from imd.metrics import Metrics
from tests.contract import timelines as contract
from tests.contract.broker import PARTITIONS
from tests.support.redis import RedisServer
from tests.support.redis_case import RedisCase, redis_store


class TimelinesRedisTests(contract.TimelinesContract, RedisCase):
    """The contract on a real Redis with a log of its own."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.server = RedisServer(appendonly=True).start()

    async def make_store(self, *, head_seconds: float = 3600.0, max_backlog_entries: int = 5000) -> contract.Store:
        self.metrics = Metrics()
        self.settings: dict[str, Any] = {"head_seconds": head_seconds}
        return await self.attached(max_backlog_entries=max_backlog_entries)

    async def attached(self, **changes: Any) -> contract.Store:
        """Another process on the same Redis."""
        link = await self.make_link()
        store = redis_store(link, PARTITIONS, self.metrics, **self.settings)
        broker = BrokerRedis(link=link, store=store, clock=reactor, metrics=self.metrics, **changes)
        await broker.open()
        self.addCleanup(self.later, broker.close)
        return contract.Store(broker, TimelinesRedis(link=link, store=store, clock=reactor, metrics=self.metrics))

    async def pass_time(self, seconds: float) -> None:
        await RedisCase.pass_time(self, seconds)

    def now_ms(self) -> int:
        return int(time.time() * 1000)

    async def restarted(self, store: contract.Store) -> contract.Store:
        self.server.kill()
        self.server.start()
        return await self.attached()

    async def emptied(self, store: contract.Store) -> contract.Store:
        self.server.command("FLUSHALL")
        return store

    async def rolled_back(self, store: contract.Store, deed: Callable[[], Awaitable[object]]) -> contract.Store:
        self.server.kill()
        copy = f"{self.server.folder}.copy"
        shutil.copytree(self.server.folder, copy)
        self.addCleanup(shutil.rmtree, copy)
        self.server.start()
        await self.pass_time(0.3)  # its link is back
        await deed()
        self.server.kill()
        shutil.rmtree(self.server.folder)
        shutil.copytree(copy, self.server.folder)
        self.server.start()
        return await self.attached()

    async def test_unused_rooms_are_forgotten_sooner(self) -> None:
        """Their heads expire earlier than others, until a message comes."""
        store = await self.make_store(head_seconds=HEAD_SECONDS)
        await self.head(store, "r:unused")
        await self.head(store, "m:7")

        def seconds(timeline: str) -> float:
            key = f"imd:{{{contract.partition(timeline)}}}:h:{timeline}"
            return int(self.server.command("PTTL", key)) / 1000

        self.assertApproximates(seconds("r:unused"), UNUSED_ROOM_SECONDS, 60)
        self.assertApproximates(seconds("m:7"), HEAD_SECONDS, 60)
        await self.keep(store, self.to_room(1, room="unused"))
        self.assertApproximates(seconds("r:unused"), HEAD_SECONDS, 60)

    async def test_a_message_that_cannot_be_decoded(self) -> None:
        """It is left out and counted, and the page proves nothing; its neighbours come through."""
        store = await self.make_store()
        epoch = await self.fill(store, 1, 2, 3)
        key = f"imd:{{{contract.partition(contract.R)}}}:t:{contract.R}"
        self.server.command("LSET", key, "1", "nonsense")
        page = await self.page(store, contract.R, 0, epoch)
        self.assertEqual(([message.seq for message in page.messages], page.recovered), ([1, 3], False))
        self.assertEqual(self.metrics.drops.value("timeline", "undecodable"), 1)
        self.assertTrue((await self.page(store, contract.R, 2, epoch)).recovered)

    async def test_messages_that_vanish_uncounted(self) -> None:
        """Evicted, or deleted by another's hand: what is held is counted by the lists, so that the ledger misses them once
        somebody comes to the timeline; and nothing is proven of them."""
        store = await self.make_store()
        epoch = await self.fill(store, 1, 2, 3, 4)
        await self.fill(store, 5, room="live://other")
        key = f"imd:{{{contract.partition(contract.R)}}}:t:{contract.R}"
        for gone, command in ((1, ("LPOP", key)), (4, ("DEL", key))):
            self.server.command(*command)
            self.assertFalse((await self.page(store, contract.R, gone - 1, epoch)).recovered)
            await self.assert_totals(store, kept=5, held=5 - gone, acked=0, expired=0)
        await self.fill(store, 6)
        await self.assert_totals(store, kept=6, held=2, acked=0, expired=0)

    async def test_what_is_held_is_what_the_lists_hold(self) -> None:
        """Whatever appends, caps, ages, reads and sweeps have done, forgotten heads among them."""
        store = await self.make_store(head_seconds=0.05)
        for id in range(1, 40):
            room = f"live://{id % 7}"
            await self.keep(store, self.to_room(id, room=room, count=1 + id % 5, ms=60 if id % 2 else 200))
            if id % 6 == 0:
                await self.pass_time(0.03)
                await self.sweep(store, 2)
        await self.keep(store, self.to_members(40, *contract.neighbours(3)))
        totals = await store.timelines.totals()
        lists = self.server.command("KEYS", "imd:*:t:*")
        self.assertEqual(totals.held, sum(self.server.command("LLEN", key) for key in lists))
        self.assertEqual(totals.kept, totals.held + totals.acked + totals.expired)
