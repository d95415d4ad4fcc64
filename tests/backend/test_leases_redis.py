"""Leases in Redis keep the contract."""

from twisted.internet.task import Clock

from imd.backend.leases_redis import LeasesRedis
from imd.metrics import Metrics
from tests.contract import leases as contract
from tests.support.redis_case import RedisCase


class LeasesRedisTests(contract.LeasesContract, RedisCase):
    """The contract on a real Redis."""

    async def make_leases(self) -> LeasesRedis:
        link = await self.make_link()
        return LeasesRedis(link=link, clock=Clock(), metrics=Metrics(), lease_seconds=contract.LEASE_SECONDS)

    async def pass_time(self, seconds: float) -> None:
        await RedisCase.pass_time(self, seconds)
