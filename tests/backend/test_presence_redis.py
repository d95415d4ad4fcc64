"""Presence in Redis keeps the contract, and what dead comets leave goes away."""

from twisted.internet.task import Clock

from imd.backend.leases_redis import LeasesRedis
from imd.backend.presence_redis import PresenceRedis
from imd.errors import PresenceUnavailable
from imd.interfaces import Location
from imd.metrics import Metrics
from tests.contract import presence as contract
from tests.contract.leases import LEASE_SECONDS, ONE, TWO
from tests.support.redis_case import RedisCase


class PresenceRedisTests(contract.PresenceContract, RedisCase):
    """The contract on a real Redis."""

    async def make_presence(self) -> tuple[LeasesRedis, PresenceRedis]:
        link = await self.make_link()
        self.metrics = Metrics()
        leases = LeasesRedis(link=link, clock=Clock(), metrics=self.metrics, lease_seconds=LEASE_SECONDS)
        return leases, PresenceRedis(link=link, clock=Clock(), metrics=self.metrics)

    async def pass_time(self, seconds: float) -> None:
        await RedisCase.pass_time(self, seconds)

    async def test_more_than_a_script_takes(self) -> None:
        """Ten thousand keys and members are located in one call, whatever the page."""
        leases, presence = await self.make_presence()
        entries = [(f"key-{number}", number + 1) for number in range(10_000)]
        await leases.renew(ONE)
        self.assertEqual(await presence.renew(ONE, entries), [])
        self.assertEqual(len(await presence.locate_keys([key for key, _ in entries])), 10_000)
        located = await presence.locate_members(range(1, 10_001))
        self.assertEqual(located[10_000], {"key-9999": ONE})
        self.assertEqual(len(located), 10_000)

    async def test_everything_expires(self) -> None:
        """No key of presence or leases stays in Redis for ever."""
        leases, presence = await self.make_presence()
        await leases.renew(ONE)
        await presence.attach(ONE, "a", 7)
        await presence.renew(ONE, [("b", 8), ("c", 0)])
        keys = self.server.command("KEYS", "*")
        self.assertEqual(len(keys), 6)
        for key in keys:
            self.assertGreater(self.server.command("TTL", key), 0, key)

    async def test_detaching_the_last_leaves_nothing(self) -> None:
        """Neither the key's entry nor the member's."""
        leases, presence = await self.make_presence()
        await leases.renew(ONE)
        await presence.attach(ONE, "a", 7)
        self.assertTrue(await presence.detach(ONE, "a", 7))
        self.assertEqual(self.server.command("KEYS", "*"), [b"imd:lease:comet-1"])

    async def test_dead_entries_do_not_pile_up(self) -> None:
        """A member who attaches again and again, each time on a comet that dies, keeps few dead entries."""
        leases, presence = await self.make_presence()
        for number in range(100):
            comet = Location(f"comet-{number}", 1)
            await leases.renew(comet)
            await presence.attach(comet, f"key-{number}", 7)
            await leases.release(comet)
        self.assertLess(self.server.command("HLEN", "imd:member:7"), 10)

    async def test_the_keys_of_other_prefixes(self) -> None:
        """Two imds share a Redis without meeting."""
        leases, presence = await self.make_presence()
        link = await self.make_link()
        other = PresenceRedis(link=link, clock=Clock(), metrics=Metrics(), prefix="other")
        await leases.renew(ONE)
        await presence.attach(ONE, "a", 7)
        self.assertEqual(await other.locate_keys(["a"]), {})

    async def test_an_emptied_redis(self) -> None:
        """After FLUSHALL a renewal says that the lease had lapsed, and a page enters what was lost."""
        leases, presence = await self.make_presence()
        await leases.renew(ONE)
        await presence.attach(ONE, "a", 7)
        self.server.command("FLUSHALL")
        self.assertEqual(await presence.locate_keys(["a"]), {})
        self.assertFalse(await leases.renew(ONE))
        self.assertEqual(await presence.renew(ONE, [("a", 7)]), [])
        self.assertEqual(await presence.locate_members([7]), {7: {"a": ONE}})

    async def test_redis_away(self) -> None:
        """Every call raises PresenceUnavailable at once, and is counted."""
        link = await self.make_link(path="/nonexistent/socket")
        metrics = Metrics()
        presence = PresenceRedis(link=link, clock=Clock(), metrics=metrics)
        for call in (
            presence.attach(ONE, "a", 7),
            presence.devices(7, "ios"),
            presence.detach(ONE, "a", 7),
            presence.renew(ONE, [("a", 7)]),
            presence.locate_keys(["a"]),
            presence.locate_members([7]),
            LeasesRedis(link=link, clock=Clock(), metrics=metrics).renew(TWO),
        ):
            with self.assertRaises(PresenceUnavailable):
                await call
        self.assertEqual(metrics.backend_seconds.values["presence", "attach", "unavailable"][0], 1)
