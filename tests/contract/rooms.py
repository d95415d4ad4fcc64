"""What every Rooms must do. A backend's test subclasses :class:`RoomsContract` together with trial's ``TestCase``."""

from typing import TYPE_CHECKING

from imd.interfaces import Leases, Rooms
from tests.contract.leases import LEASE_SECONDS, ONE, ONE_AGAIN, TWO

if TYPE_CHECKING:
    from twisted.trial.unittest import TestCase as _Case
else:
    _Case = object


class RoomsContract(_Case):
    """Every sentence of :class:`imd.interfaces.Rooms`."""

    async def make_rooms(self) -> tuple[Leases, Rooms]:
        """No rooms, and the leases of ``LEASE_SECONDS`` that decide who counts; closed by ``addCleanup``."""
        raise NotImplementedError

    async def pass_time(self, seconds: float) -> None:
        """Let at least ``seconds`` go by for the leases; at most 2 are asked for."""
        raise NotImplementedError

    async def make_living(self) -> tuple[Leases, Rooms]:
        """As :meth:`make_rooms`, with comets ONE and TWO alive."""
        leases, rooms = await self.make_rooms()
        await leases.renew(ONE)
        await leases.renew(TWO)
        return leases, rooms

    # hosts

    async def test_a_hosted_room(self) -> None:
        """The comets that host it are answered, each once; nobody is counted yet."""
        _, rooms = await self.make_living()
        await rooms.host(ONE, "live://1")
        await rooms.host(ONE, "live://1")
        await rooms.host(TWO, "live://1")
        hosts = await rooms.hosts(["live://1"])
        self.assertEqual(sorted(hosts["live://1"]), [ONE, TWO])
        self.assertEqual(await rooms.counts(["live://1"]), {})

    async def test_rooms_without_hosts_are_left_out(self) -> None:
        """Only what is hosted is answered."""
        _, rooms = await self.make_living()
        await rooms.host(ONE, "live://1")
        self.assertEqual(await rooms.hosts(["live://1", "live://2"]), {"live://1": [ONE]})
        self.assertEqual(await rooms.hosts([]), {})

    async def test_unhost(self) -> None:
        """The comet is no longer answered and its members are not counted; the other comet's are."""
        _, rooms = await self.make_living()
        await rooms.report(ONE, [("live://1", 5)])
        await rooms.report(TWO, [("live://1", 2)])
        await rooms.unhost(ONE, "live://1")
        self.assertEqual(await rooms.hosts(["live://1"]), {"live://1": [TWO]})
        self.assertEqual(await rooms.counts(["live://1"]), {"live://1": 2})
        await rooms.unhost(TWO, "live://1")
        self.assertEqual(await rooms.hosts(["live://1"]), {})
        self.assertEqual(await rooms.counts(["live://1"]), {})
        self.assertEqual(await rooms.top("live", 10), [])

    async def test_unhosting_what_is_not_hosted(self) -> None:
        """Changes nothing."""
        _, rooms = await self.make_living()
        await rooms.unhost(ONE, "live://1")
        self.assertEqual(await rooms.hosts(["live://1"]), {})

    async def test_hosting_keeps_the_count(self) -> None:
        """Saying again that it is hosted forgets nobody."""
        _, rooms = await self.make_living()
        await rooms.report(ONE, [("live://1", 5)])
        await rooms.host(ONE, "live://1")
        self.assertEqual(await rooms.counts(["live://1"]), {"live://1": 5})

    # report and counts

    async def test_a_report_counts_over_all_comets(self) -> None:
        """The answer has every reported room with its members everywhere; the room is hosted from now on."""
        _, rooms = await self.make_living()
        self.assertEqual(await rooms.report(ONE, [("live://1", 5), ("live://2", 1)]), {"live://1": 5, "live://2": 1})
        self.assertEqual(await rooms.report(TWO, [("live://1", 3)]), {"live://1": 8})
        self.assertEqual(await rooms.counts(["live://1", "live://2"]), {"live://1": 8, "live://2": 1})
        self.assertEqual(await rooms.hosts(["live://2"]), {"live://2": [ONE]})

    async def test_a_report_replaces_the_last_one(self) -> None:
        """Of the same comet and room; other rooms stay as they were."""
        _, rooms = await self.make_living()
        await rooms.report(ONE, [("live://1", 5), ("live://2", 4)])
        self.assertEqual(await rooms.report(ONE, [("live://1", 2)]), {"live://1": 2})
        self.assertEqual(await rooms.counts(["live://1", "live://2"]), {"live://1": 2, "live://2": 4})

    async def test_an_empty_room_is_hosted_and_not_counted(self) -> None:
        """A report of 0 keeps the room's pushes coming."""
        _, rooms = await self.make_living()
        await rooms.report(ONE, [("live://1", 5)])
        self.assertEqual(await rooms.report(ONE, [("live://1", 0)]), {"live://1": 0})
        self.assertEqual(await rooms.counts(["live://1"]), {})
        self.assertEqual(await rooms.hosts(["live://1"]), {"live://1": [ONE]})
        self.assertEqual(await rooms.top("live", 10), [])

    async def test_a_report_of_nothing(self) -> None:
        """A comet without rooms reports an empty page."""
        _, rooms = await self.make_living()
        self.assertEqual(await rooms.report(ONE, []), {})
        self.assertEqual(await rooms.counts([]), {})

    # leases

    async def test_a_lapsed_comet_counts_no_more(self) -> None:
        """Its rooms and members are gone at once, everywhere they were answered."""
        leases, rooms = await self.make_living()
        await rooms.report(ONE, [("live://1", 5), ("live://2", 1)])
        await rooms.report(TWO, [("live://1", 3)])
        await self.pass_time(LEASE_SECONDS * 0.6)
        await leases.renew(TWO)
        await self.pass_time(LEASE_SECONDS * 0.6)
        self.assertEqual(await rooms.hosts(["live://1", "live://2"]), {"live://1": [TWO]})
        self.assertEqual(await rooms.counts(["live://1", "live://2"]), {"live://1": 3})
        self.assertEqual(await rooms.top("live", 10), [("live://1", 3)])
        self.assertEqual(await rooms.report(TWO, [("live://1", 4)]), {"live://1": 4})

    async def test_a_released_comet_counts_no_more(self) -> None:
        """A comet that said goodbye hosts nothing."""
        leases, rooms = await self.make_living()
        await rooms.report(ONE, [("live://1", 5)])
        await leases.release(ONE)
        self.assertEqual(await rooms.hosts(["live://1"]), {})
        self.assertEqual(await rooms.counts(["live://1"]), {})

    async def test_a_new_boot_starts_from_nothing(self) -> None:
        """What the earlier start had said is gone; what the new one says counts."""
        leases, rooms = await self.make_living()
        await rooms.report(ONE, [("live://1", 5)])
        await leases.renew(ONE_AGAIN)
        self.assertEqual(await rooms.hosts(["live://1"]), {})
        self.assertEqual(await rooms.report(ONE_AGAIN, [("live://1", 2)]), {"live://1": 2})
        self.assertEqual(await rooms.hosts(["live://1"]), {"live://1": [ONE_AGAIN]})

    # top

    async def test_top_is_largest_first(self) -> None:
        """Over all comets; ties by id; no more than asked for."""
        _, rooms = await self.make_living()
        await rooms.report(ONE, [("live://a", 1), ("live://c", 4), ("live://b", 4)])
        await rooms.report(TWO, [("live://a", 9)])
        self.assertEqual(await rooms.top("live", 10), [("live://a", 10), ("live://b", 4), ("live://c", 4)])
        self.assertEqual(await rooms.top("live", 2), [("live://a", 10), ("live://b", 4)])

    async def test_top_is_of_one_type_exactly(self) -> None:
        """``live`` is not ``live2``, nor what begins with it; an id without ``://`` has the empty type."""
        _, rooms = await self.make_living()
        await rooms.report(ONE, [("live://1", 1), ("live2://1", 2), ("liv://1", 3), ("live", 4), ("://x", 5)])
        self.assertEqual(await rooms.top("live", 10), [("live://1", 1)])
        self.assertEqual(await rooms.top("", 10), [("://x", 5), ("live", 4)])
        self.assertEqual(await rooms.top("*", 10), [])

    async def test_odd_names(self) -> None:
        """A name may hold slashes, the separator, braces, and any letter; digits stay as they are written."""
        _, rooms = await self.make_living()
        names = ["live://a/b/c", "live://a://b", "live://{1}", "live://ü ", "007", "live://"]
        self.assertEqual(await rooms.report(ONE, [(name, 1) for name in names]), dict.fromkeys(names, 1))
        self.assertEqual(await rooms.hosts(names), {name: [ONE] for name in names})
        self.assertEqual(await rooms.counts(names), dict.fromkeys(names, 1))
        self.assertEqual([room for room, _ in await rooms.top("live", 10)], sorted(set(names) - {"007"}))
