"""Leases in memory keep the contract."""

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from imd.backend.leases_memory import LeasesMemory
from tests.contract import leases as contract


class LeasesMemoryTests(contract.LeasesContract, TestCase):
    """The contract on a fake clock."""

    def setUp(self) -> None:
        self.clock = Clock()

    async def make_leases(self) -> LeasesMemory:
        return LeasesMemory(clock=self.clock, lease_seconds=contract.LEASE_SECONDS)

    async def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
