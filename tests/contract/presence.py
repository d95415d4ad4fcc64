"""What every Presence must do. A backend's test subclasses :class:`PresenceContract` together with trial's ``TestCase``."""

from typing import TYPE_CHECKING

from imd.interfaces import Leases, Presence
from tests.contract.leases import LEASE_SECONDS, ONE, ONE_AGAIN, TWO

if TYPE_CHECKING:
    from twisted.trial.unittest import TestCase as _Case
else:
    _Case = object


class PresenceContract(_Case):
    """Every sentence of :class:`imd.interfaces.Presence`."""

    async def make_presence(self) -> tuple[Leases, Presence]:
        """An empty presence and the leases of ``LEASE_SECONDS`` that it asks; closed by ``addCleanup``."""
        raise NotImplementedError

    async def pass_time(self, seconds: float) -> None:
        """Let at least ``seconds`` go by for the leases; at most 2 are asked for."""
        raise NotImplementedError

    async def make_living(self) -> tuple[Leases, Presence]:
        """As :meth:`make_presence`, with comets ONE and TWO alive."""
        leases, presence = await self.make_presence()
        await leases.renew(ONE)
        await leases.renew(TWO)
        return leases, presence

    # attach

    async def test_an_attached_key_is_located(self) -> None:
        """By its key and by its member."""
        _, presence = await self.make_living()
        self.assertIsNone(await presence.attach(ONE, "a", 7))
        self.assertEqual(await presence.locate_keys(["a"]), {"a": ONE})
        self.assertEqual(await presence.locate_members([7]), {7: {"a": ONE}})

    async def test_the_newest_wins(self) -> None:
        """A key attached elsewhere is there from now on; the answer is where the older connection still is."""
        _, presence = await self.make_living()
        await presence.attach(ONE, "a", 7)
        self.assertEqual(await presence.attach(TWO, "a", 7), ONE)
        self.assertEqual(await presence.locate_keys(["a"]), {"a": TWO})
        self.assertEqual(await presence.locate_members([7]), {7: {"a": TWO}})

    async def test_attaching_again_at_the_same_place(self) -> None:
        """The comet itself knows of the older connection: nobody is answered."""
        _, presence = await self.make_living()
        await presence.attach(ONE, "a", 7)
        self.assertIsNone(await presence.attach(ONE, "a", 7))

    async def test_an_older_connection_on_a_lapsed_comet(self) -> None:
        """It is not still living: nobody is answered."""
        leases, presence = await self.make_living()
        await presence.attach(ONE, "a", 7)
        await leases.release(ONE)
        self.assertIsNone(await presence.attach(TWO, "a", 7))

    async def test_an_older_connection_of_an_earlier_boot(self) -> None:
        """The earlier start is gone: nobody is answered."""
        leases, presence = await self.make_living()
        await presence.attach(ONE, "a", 7)
        await leases.renew(ONE_AGAIN)
        self.assertIsNone(await presence.attach(ONE_AGAIN, "a", 7))
        self.assertEqual(await presence.locate_keys(["a"]), {"a": ONE_AGAIN})

    async def test_a_key_that_changes_its_member(self) -> None:
        """The member that it had before no longer has it."""
        _, presence = await self.make_living()
        await presence.attach(ONE, "a", 7)
        await presence.attach(ONE, "a", 8)
        self.assertEqual(await presence.locate_members([7, 8]), {8: {"a": ONE}})
        await presence.attach(TWO, "a", 9)
        self.assertEqual(await presence.locate_members([7, 8, 9]), {9: {"a": TWO}})

    async def test_a_member_with_several_connections(self) -> None:
        """Each key is answered with its own place."""
        _, presence = await self.make_living()
        await presence.attach(ONE, "a", 7)
        await presence.attach(TWO, "b", 7)
        await presence.attach(ONE, "c", 8)
        self.assertEqual(await presence.locate_members([7]), {7: {"a": ONE, "b": TWO}})
        self.assertEqual(await presence.locate_keys(["a", "b", "c"]), {"a": ONE, "b": TWO, "c": ONE})

    async def test_anonymous_connections(self) -> None:
        """mid 0 is nobody: the key is located, a member 0 is not."""
        _, presence = await self.make_living()
        await presence.attach(ONE, "a", 0)
        self.assertEqual(await presence.locate_keys(["a"]), {"a": ONE})
        self.assertEqual(await presence.locate_members([0]), {})

    async def test_odd_keys_and_members(self) -> None:
        """Any text is a key, any int64 but 0 a member."""
        _, presence = await self.make_living()
        for key, mid in (("ü {1}:*\n", -1), ("a:b", 2**63 - 1), ("007", -(2**63))):
            await presence.attach(ONE, key, mid)
            self.assertEqual(await presence.locate_members([mid]), {mid: {key: ONE}})
            self.assertTrue(await presence.detach(ONE, key, mid))
            self.assertEqual(await presence.locate_keys([key]), {})

    async def test_unknown_ones_are_left_out(self) -> None:
        """So are those of no question at all."""
        _, presence = await self.make_living()
        await presence.attach(ONE, "a", 7)
        self.assertEqual(await presence.locate_keys(["a", "b"]), {"a": ONE})
        self.assertEqual(await presence.locate_members([7, 8]), {7: {"a": ONE}})
        self.assertEqual(await presence.locate_keys([]), {})
        self.assertEqual(await presence.locate_members([]), {})

    # many at once

    async def test_many_are_attached(self) -> None:
        """Each as if it came alone; the answer is who is displaced, and where."""
        leases, presence = await self.make_living()
        self.assertEqual(await presence.attach_many(ONE, []), {})
        self.assertEqual(await presence.attach_many(TWO, [("a", 7, ""), ("b", 8, "web"), ("c", 0, "")]), {})
        found = await presence.attach_many(ONE, [("a", 7, "ios"), ("c", 0, ""), ("ü {1}:*", 7, "ios")])
        self.assertEqual(found, {"a": TWO, "c": TWO})
        self.assertEqual(await presence.locate_keys("abc"), {"a": ONE, "b": TWO, "c": ONE})
        self.assertEqual(await presence.locate_members([7, 8]), {7: {"a": ONE, "ü {1}:*": ONE}, 8: {"b": TWO}})
        self.assertEqual(sorted(await self.devices(presence, "ios")), ["a", "ü {1}:*"])
        await leases.release(ONE)
        self.assertEqual(await presence.attach_many(TWO, [("a", 7, ""), ("c", 0, "")]), {})

    async def test_very_many_are_attached(self) -> None:
        """More than any backend does in one step; and detached."""
        _, presence = await self.make_living()
        await presence.attach(TWO, "1199", 7)
        many = [(str(number), number + 1) for number in range(1200)]
        self.assertEqual(await presence.attach_many(ONE, [(key, mid, "") for key, mid in many]), {"1199": TWO})
        self.assertEqual(await presence.locate_keys(["0", "1199"]), {"0": ONE, "1199": ONE})
        await presence.detach_many(ONE, many)
        self.assertEqual(await presence.locate_keys([key for key, _ in many]), {})
        self.assertEqual(await presence.locate_members([1, 1200]), {})

    async def test_many_are_detached(self) -> None:
        """Each only where it is this location's and this member's still."""
        _, presence = await self.make_living()
        await presence.attach_many(ONE, [("a", 7, ""), ("b", 7, ""), ("c", 8, "")])
        await presence.attach(TWO, "b", 7)
        await presence.detach_many(ONE, [])
        await presence.detach_many(ONE, [("a", 7), ("b", 7), ("c", 9), ("unknown", 7)])
        self.assertEqual(await presence.locate_keys("abc"), {"b": TWO, "c": ONE})
        self.assertEqual(await presence.locate_members([7, 8]), {7: {"b": TWO}, 8: {"c": ONE}})

    # devices

    async def devices(self, presence: Presence, platform: str, mid: int = 7) -> list[str]:
        return [key for key, _ in await presence.devices(mid, platform)]

    async def test_devices_in_the_order_they_came(self) -> None:
        """Those of one platform, with where they are; the others, and other members', are not."""
        _, presence = await self.make_living()
        for key, location, platform in (("d", ONE, "ios"), ("a", TWO, "ios"), ("b", ONE, "web"), ("c", ONE, "ios")):
            await presence.attach(location, key, 7, platform)
        await presence.attach(ONE, "e", 8, "ios")
        await presence.attach(ONE, "f", 7)
        self.assertEqual(await presence.devices(7, "ios"), [("d", ONE), ("a", TWO), ("c", ONE)])
        self.assertEqual(await presence.devices(7, "web"), [("b", ONE)])
        self.assertEqual(await presence.devices(7, ""), [("f", ONE)])
        self.assertEqual(await presence.devices(7, "android"), [])
        self.assertEqual(await presence.devices(9, "ios"), [])
        located = await presence.locate_members([7])
        self.assertEqual(located, {7: {"d": ONE, "a": TWO, "b": ONE, "c": ONE, "f": ONE}})

    async def test_a_device_that_comes_again(self) -> None:
        """It is the newest then, wherever it is, and of the platform that it says then; once detached it is none."""
        _, presence = await self.make_living()
        for key in "abc":
            await presence.attach(ONE, key, 7, "ios")
        await presence.attach(TWO, "a", 7, "ios")
        await presence.attach(ONE, "b", 7, "web")
        self.assertEqual(await presence.devices(7, "ios"), [("c", ONE), ("a", TWO)])
        await presence.detach(ONE, "c", 7)
        self.assertEqual(await self.devices(presence, "ios"), ["a"])

    async def test_devices_of_the_living_only(self) -> None:
        """Those on a comet without a lease are not there."""
        leases, presence = await self.make_living()
        await presence.attach(ONE, "a", 7, "ios")
        await presence.attach(TWO, "b", 7, "ios")
        await leases.release(ONE)
        self.assertEqual(await presence.devices(7, "ios"), [("b", TWO)])

    async def test_a_renewal_keeps_platform_and_order(self) -> None:
        """What is there stays as it came; what was missing is entered without a platform, as the newest."""
        _, presence = await self.make_living()
        for key in "ba":
            await presence.attach(ONE, key, 7, "ios")
        await presence.attach(ONE, "d", 7)
        self.assertEqual(await presence.renew(ONE, [("a", 7), ("b", 7), ("c", 7), ("d", 7)]), [])
        self.assertEqual(await self.devices(presence, "ios"), ["b", "a"])
        self.assertEqual(await self.devices(presence, ""), ["d", "c"])

    async def test_odd_platforms(self) -> None:
        """Any text is one."""
        _, presence = await self.make_living()
        for number, platform in enumerate(("ü:1:", "5:ios", "\x00\n", "%d", "x" * 300)):
            await presence.attach(ONE, str(number), 7, platform)
            self.assertEqual(await presence.devices(7, platform), [(str(number), ONE)])
        self.assertEqual(await presence.devices(0, ""), [])

    # detach

    async def test_detach_removes(self) -> None:
        """The key is gone, from its member too; the member's others stay."""
        _, presence = await self.make_living()
        await presence.attach(ONE, "a", 7)
        await presence.attach(ONE, "b", 7)
        self.assertTrue(await presence.detach(ONE, "a", 7))
        self.assertEqual(await presence.locate_keys(["a"]), {})
        self.assertEqual(await presence.locate_members([7]), {7: {"b": ONE}})

    async def test_a_late_detach_removes_nothing_of_the_newer_connection(self) -> None:
        """Another comet's key by now, or a later start's: False, and nothing changed."""
        leases, presence = await self.make_living()
        await presence.attach(ONE, "a", 7)
        await presence.attach(TWO, "a", 7)
        self.assertFalse(await presence.detach(ONE, "a", 7))
        self.assertEqual(await presence.locate_members([7]), {7: {"a": TWO}})
        await presence.attach(ONE, "b", 7)
        await leases.renew(ONE_AGAIN)
        await presence.attach(ONE_AGAIN, "b", 7)
        self.assertFalse(await presence.detach(ONE, "b", 7))
        self.assertEqual(await presence.locate_keys(["b"]), {"b": ONE_AGAIN})

    async def test_a_late_detach_of_the_same_key_with_another_member(self) -> None:
        """On the same comet a new member took the key over: the old member's loss removes nothing."""
        _, presence = await self.make_living()
        await presence.attach(ONE, "a", 7)
        await presence.attach(ONE, "a", 8)
        self.assertFalse(await presence.detach(ONE, "a", 7))
        self.assertEqual(await presence.locate_members([7, 8]), {8: {"a": ONE}})

    async def test_detaching_what_is_not_there(self) -> None:
        """False, and nothing changed."""
        _, presence = await self.make_living()
        self.assertFalse(await presence.detach(ONE, "a", 7))

    # leases

    async def test_a_lapsed_lease_hides_its_entries(self) -> None:
        """At once, by key and by member; the other comets' stay."""
        leases, presence = await self.make_living()
        await presence.attach(ONE, "a", 7)
        await presence.attach(TWO, "b", 7)
        await self.pass_time(LEASE_SECONDS * 0.6)
        await leases.renew(TWO)
        await self.pass_time(LEASE_SECONDS * 0.6)
        self.assertEqual(await presence.locate_keys(["a", "b"]), {"b": TWO})
        self.assertEqual(await presence.locate_members([7]), {7: {"b": TWO}})

    async def test_a_released_lease_hides_its_entries(self) -> None:
        """A comet that said goodbye has nobody."""
        leases, presence = await self.make_living()
        await presence.attach(ONE, "a", 7)
        await leases.release(ONE)
        self.assertEqual(await presence.locate_keys(["a"]), {})
        self.assertEqual(await presence.locate_members([7]), {})

    async def test_a_new_boot_hides_the_old_ones_entries(self) -> None:
        """What the earlier start had entered is gone with it."""
        leases, presence = await self.make_living()
        await presence.attach(ONE, "a", 7)
        await leases.renew(ONE_AGAIN)
        self.assertEqual(await presence.locate_keys(["a"]), {})
        self.assertEqual(await presence.locate_members([7]), {})

    # renew

    async def test_renew_enters_what_is_missing(self) -> None:
        """After presence forgot, a renewal brings everything back."""
        _, presence = await self.make_living()
        self.assertEqual(await presence.renew(ONE, [("a", 7), ("b", 0)]), [])
        self.assertEqual(await presence.locate_keys(["a", "b"]), {"a": ONE, "b": ONE})
        self.assertEqual(await presence.locate_members([7, 0]), {7: {"a": ONE}})

    async def test_renew_keeps_what_is_there(self) -> None:
        """Again and again changes nothing, over many leases."""
        leases, presence = await self.make_living()
        await presence.attach(ONE, "a", 7)
        for _ in range(3):
            await self.pass_time(LEASE_SECONDS * 0.6)
            await leases.renew(ONE)
            self.assertEqual(await presence.renew(ONE, [("a", 7)]), [])
        self.assertEqual(await presence.locate_members([7]), {7: {"a": ONE}})

    async def test_renew_does_not_steal(self) -> None:
        """A key that is another living comet's is answered and stays there; the rest is entered."""
        _, presence = await self.make_living()
        await presence.attach(ONE, "a", 7)
        await presence.attach(TWO, "a", 7)
        self.assertEqual(await presence.renew(ONE, [("a", 7), ("b", 8)]), ["a"])
        self.assertEqual(await presence.locate_keys(["a", "b"]), {"a": TWO, "b": ONE})
        self.assertEqual(await presence.locate_members([7]), {7: {"a": TWO}})

    async def test_renew_takes_from_the_lapsed(self) -> None:
        """A key of a comet that no longer lives is free, an earlier start's too."""
        leases, presence = await self.make_living()
        await presence.attach(TWO, "a", 7)
        await presence.attach(ONE, "b", 7)
        await leases.release(TWO)
        await leases.renew(ONE_AGAIN)
        self.assertEqual(await presence.renew(ONE_AGAIN, [("a", 7), ("b", 7)]), [])
        self.assertEqual(await presence.locate_members([7]), {7: {"a": ONE_AGAIN, "b": ONE_AGAIN}})

    async def test_renew_of_nothing(self) -> None:
        """A comet without connections renews an empty page."""
        _, presence = await self.make_living()
        self.assertEqual(await presence.renew(ONE, []), [])

    async def test_a_full_page(self) -> None:
        """A thousand entries in one call are all entered."""
        _, presence = await self.make_living()
        entries = [(f"key-{number}", number % 100 + 1) for number in range(1000)]
        self.assertEqual(await presence.renew(ONE, entries), [])
        self.assertEqual(len(await presence.locate_keys([key for key, _ in entries])), 1000)
        located = await presence.locate_members(range(1, 101))
        self.assertEqual({mid: len(keys) for mid, keys in located.items()}, dict.fromkeys(range(1, 101), 10))
