"""Rooms in Redis keep the contract, and what dead comets leave goes away."""

from twisted.internet.task import Clock

from imd.backend.leases_redis import LeasesRedis
from imd.backend.rooms_redis import RoomsRedis
from imd.errors import PresenceUnavailable
from imd.interfaces import Location
from imd.metrics import Metrics
from tests.contract import rooms as contract
from tests.contract.leases import LEASE_SECONDS, ONE, TWO
from tests.support.redis_case import RedisCase


class RoomsRedisTests(contract.RoomsContract, RedisCase):
    """The contract on a real Redis."""

    async def make_rooms(self) -> tuple[LeasesRedis, RoomsRedis]:
        link = await self.make_link()
        leases = LeasesRedis(link=link, clock=Clock(), metrics=Metrics(), lease_seconds=LEASE_SECONDS)
        return leases, RoomsRedis(link=link, clock=Clock(), metrics=Metrics())

    async def pass_time(self, seconds: float) -> None:
        await RedisCase.pass_time(self, seconds)

    async def test_more_than_a_script_takes(self) -> None:
        """Thousands of rooms are reported, counted and listed, whatever the page."""
        leases, rooms = await self.make_rooms()
        await leases.renew(ONE)
        counts = [(f"live://{number:04}", number + 1) for number in range(2500)]
        self.assertEqual(await rooms.report(ONE, counts), dict(counts))
        self.assertEqual(await rooms.counts([room for room, _ in counts]), dict(counts))
        self.assertEqual(await rooms.top("live", 2200), counts[:-2201:-1])

    async def test_top_without_the_dead(self) -> None:
        """However many rooms a comet took with it, the first page is right at once, and they are gone from Redis."""
        leases, rooms = await self.make_rooms()
        await leases.renew(ONE)
        await leases.renew(TWO)
        await rooms.report(ONE, [(f"live://dead-{number}", 100) for number in range(3000)])
        await rooms.report(TWO, [("live://a", 1), ("live://b", 2)])
        await leases.release(ONE)
        self.assertEqual(await rooms.top("live", 2), [("live://b", 2), ("live://a", 1)])
        self.assertEqual(self.server.command("ZCARD", "imd:top:live"), 2)

    async def test_dead_rooms_do_not_pile_up(self) -> None:
        """Nobody asks for the largest: each report looks at some, until what a dead comet left is gone."""
        leases, rooms = await self.make_rooms()
        await leases.renew(ONE)
        await leases.renew(TWO)
        await rooms.report(ONE, [(f"live://dead-{number}", 1) for number in range(100)])
        await leases.release(ONE)
        for _ in range(100):
            await rooms.report(TWO, [("live://a", 1)])
        self.assertLess(self.server.command("ZCARD", "imd:top:live"), 10)
        self.assertLess(len(self.server.command("KEYS", "imd:room:*")), 10)

    async def test_everything_expires(self) -> None:
        """No key of rooms stays in Redis for ever."""
        leases, rooms = await self.make_rooms()
        await leases.renew(ONE)
        await rooms.host(ONE, "live://1")
        await rooms.report(ONE, [("live://2", 1)])
        keys = self.server.command("KEYS", "*")
        self.assertEqual(len(keys), 4)
        for key in keys:
            self.assertGreater(self.server.command("TTL", key), 0, key)

    async def test_unhosting_the_last_leaves_nothing(self) -> None:
        """Neither the room nor its place in the order."""
        leases, rooms = await self.make_rooms()
        await leases.renew(ONE)
        await rooms.report(ONE, [("live://1", 5)])
        await rooms.unhost(ONE, "live://1")
        self.assertEqual(self.server.command("KEYS", "*"), [b"imd:lease:comet-1"])

    async def test_an_earlier_start_changes_nothing(self) -> None:
        """Its late unhost does not take the later start's room."""
        leases, rooms = await self.make_rooms()
        later = Location(ONE.server, ONE.boot + 1)
        await leases.renew(later)
        await rooms.report(later, [("live://1", 5)])
        await rooms.unhost(ONE, "live://1")
        self.assertEqual(await rooms.counts(["live://1"]), {"live://1": 5})

    async def test_redis_away(self) -> None:
        """Every call raises PresenceUnavailable at once."""
        link = await self.make_link(path="/nonexistent/socket")
        rooms = RoomsRedis(link=link, clock=Clock(), metrics=Metrics())
        for call in (
            rooms.host(ONE, "live://1"),
            rooms.unhost(ONE, "live://1"),
            rooms.report(ONE, [("live://1", 1)]),
            rooms.hosts(["live://1"]),
            rooms.counts(["live://1"]),
            rooms.top("live", 1),
        ):
            with self.assertRaises(PresenceUnavailable):
                await call
