"""Rooms in memory keep the contract, and free what lapsed comets leave."""

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from imd.backend.leases_memory import LeasesMemory
from imd.backend.rooms_memory import RoomsMemory
from tests.contract import rooms as contract
from tests.contract.leases import LEASE_SECONDS, ONE, TWO


class RoomsMemoryTests(contract.RoomsContract, TestCase):
    """The contract on a fake clock."""

    def setUp(self) -> None:
        self.clock = Clock()

    async def make_rooms(self) -> tuple[LeasesMemory, RoomsMemory]:
        leases = LeasesMemory(clock=self.clock, lease_seconds=LEASE_SECONDS)
        return leases, RoomsMemory(leases=leases)

    async def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)

    async def test_lapsed_reports_are_freed(self) -> None:
        """The next report of any comet forgets them."""
        leases, rooms = await self.make_rooms()
        await leases.renew(ONE)
        await rooms.report(ONE, [("live://1", 5)])
        self.clock.advance(LEASE_SECONDS)
        await leases.renew(TWO)
        await rooms.report(TWO, [])
        self.assertNotIn(ONE, rooms._hosted)
