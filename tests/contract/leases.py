"""What every Leases must do. A backend's test subclasses :class:`LeasesContract` together with trial's ``TestCase``."""

from typing import TYPE_CHECKING

from imd.errors import ServerIdTaken
from imd.interfaces import Leases, Location

if TYPE_CHECKING:
    from twisted.trial.unittest import TestCase as _Case
else:
    _Case = object

LEASE_SECONDS = 1.0
ONE = Location("comet-1", 1_700_000_000_000)
ONE_AGAIN = Location("comet-1", 1_700_000_000_001)  # the same server, started again
TWO = Location("comet-2", 1_700_000_000_000)


class LeasesContract(_Case):
    """Every sentence of :class:`imd.interfaces.Leases`."""

    async def make_leases(self) -> Leases:
        """Leases of ``LEASE_SECONDS``, none held; closed by ``addCleanup``."""
        raise NotImplementedError

    async def pass_time(self, seconds: float) -> None:
        """Let at least ``seconds`` go by for the leases; at most 2 are asked for."""
        raise NotImplementedError

    async def test_the_first_renewal_begins_the_lease(self) -> None:
        """It answers False, for there was none; the next one answers True."""
        leases = await self.make_leases()
        self.assertFalse(await leases.renew(ONE))
        self.assertTrue(await leases.renew(ONE))

    async def test_a_lease_is_its_servers(self) -> None:
        """One server's renewal says nothing about another's."""
        leases = await self.make_leases()
        await leases.renew(ONE)
        self.assertFalse(await leases.renew(TWO))

    async def test_renewals_keep_it_alive(self) -> None:
        """Each extends by the configured time."""
        leases = await self.make_leases()
        await leases.renew(ONE)
        for _ in range(3):
            await self.pass_time(LEASE_SECONDS * 0.6)
            self.assertTrue(await leases.renew(ONE))

    async def test_a_lapsed_lease_says_so(self) -> None:
        """After the configured time without a renewal the answer is False, once."""
        leases = await self.make_leases()
        await leases.renew(ONE)
        await self.pass_time(LEASE_SECONDS * 1.2)
        self.assertFalse(await leases.renew(ONE))
        self.assertTrue(await leases.renew(ONE))

    async def test_a_new_boot_takes_over(self) -> None:
        """A later start of the server begins a lease of its own."""
        leases = await self.make_leases()
        await leases.renew(ONE)
        self.assertFalse(await leases.renew(ONE_AGAIN))
        self.assertTrue(await leases.renew(ONE_AGAIN))

    async def test_an_old_boot_is_refused(self) -> None:
        """While a later start holds the lease, the earlier one is told, and changes nothing."""
        leases = await self.make_leases()
        await leases.renew(ONE_AGAIN)
        with self.assertRaises(ServerIdTaken):
            await leases.renew(ONE)
        self.assertTrue(await leases.renew(ONE_AGAIN))

    async def test_release_ends_it(self) -> None:
        """After it the lease is as if it never was."""
        leases = await self.make_leases()
        await leases.renew(ONE)
        await leases.release(ONE)
        self.assertFalse(await leases.renew(ONE))

    async def test_release_is_for_the_holder_only(self) -> None:
        """An earlier start's late release does not end the later one's lease."""
        leases = await self.make_leases()
        await leases.renew(ONE_AGAIN)
        await leases.release(ONE)
        await leases.release(TWO)
        self.assertTrue(await leases.renew(ONE_AGAIN))

    async def test_after_a_release_any_boot_may_come(self) -> None:
        """Only a held lease refuses."""
        leases = await self.make_leases()
        await leases.renew(ONE_AGAIN)
        await leases.release(ONE_AGAIN)
        self.assertFalse(await leases.renew(ONE))
