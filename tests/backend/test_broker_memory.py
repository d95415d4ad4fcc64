"""The broker in memory keeps the contract."""

import time

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from imd.backend.broker_memory import BrokerMemory
from imd.metrics import Metrics
from tests.contract import broker as contract


class BrokerMemoryTests(contract.BrokerContract, TestCase):
    """The contract on a fake clock."""

    def setUp(self) -> None:
        self.clock = Clock()

    async def make_broker(self, *, max_backlog_entries: int = 1000, idempotency_seconds: float = 60.0) -> BrokerMemory:
        self.metrics = Metrics()
        broker = BrokerMemory(
            partitions=contract.PARTITIONS,
            clock=self.clock,
            metrics=self.metrics,
            now_ms=lambda: int(time.time() * 1000),
            max_backlog_entries=max_backlog_entries,
            idempotency_seconds=idempotency_seconds,
        )
        await broker.open()
        return broker

    async def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)

    async def spoil(self, broker: contract.AnyBroker, partition: int) -> None:
        assert isinstance(broker, BrokerMemory)
        await broker.publish([(partition, contract.push(999))])
        stored = broker._partitions[partition].stored
        number, held = stored.popitem()
        stored[number] = held._replace(data=b"\xc1 no push")

    def tearDown(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])
