"""Timelines in Redis keep the contract, and a Redis that lost something is always found out."""

import shutil
import time
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet import reactor

from imd.backend.broker_redis import BrokerRedis
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
