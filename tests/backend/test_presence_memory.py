"""Presence in memory keeps the contract, and frees what lapsed comets leave."""

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from imd.backend.leases_memory import LeasesMemory
from imd.backend.presence_memory import PresenceMemory
from tests.contract import presence as contract
from tests.contract.leases import LEASE_SECONDS, ONE, TWO


class PresenceMemoryTests(contract.PresenceContract, TestCase):
    """The contract on a fake clock."""

    def setUp(self) -> None:
        self.clock = Clock()

    async def make_presence(self) -> tuple[LeasesMemory, PresenceMemory]:
        leases = LeasesMemory(clock=self.clock, lease_seconds=LEASE_SECONDS)
        return leases, PresenceMemory(leases=leases)

    async def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)

    async def test_lapsed_entries_are_freed(self) -> None:
        """The next renewal of any comet forgets them, so that memory does not grow with comets that came and went."""
        leases, presence = await self.make_presence()
        await leases.renew(ONE)
        await presence.attach(ONE, "a", 7)
        self.clock.advance(LEASE_SECONDS)
        await leases.renew(TWO)
        await presence.renew(TWO, [])
        self.assertEqual((presence._keys, presence._members, presence._servers), ({}, {}, {}))
