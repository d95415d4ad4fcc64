"""What every Registry must do. A backend's test subclasses :class:`RegistryContract` together with trial's ``TestCase``."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

from imd.errors import ServerIdTaken
from imd.interfaces import Instance, Registry, Resource
from tests.support.reactor import eventually

if TYPE_CHECKING:
    from twisted.trial.unittest import TestCase as _Case
else:
    _Case = object

COMET = Instance(
    role="comet",
    id="comet-1",
    boot=1_700_000_000_000,
    rpc="tcp://10.0.0.1:3109",
    hostname="host",
    region="eu",
    zone="eu-1",
    env="prod",
    version="0.1",
    addrs=("1.2.3.4", "ü.example"),
    weight=10,
    conn_count=5,
    ip_count=4,
    updated_at_ms=1_700_000_000_001,
    rpc_public_key="k" * 40,
)
OTHER = Instance(role="comet", id="comet-2", boot=1_700_000_000_000, rpc="tcp://10.0.0.2:3109")
LOGIC = Instance(role="logic", id="comet-1", boot=1_700_000_000_000, rpc="tcp://10.0.0.3:3119")


class AnyRegistry(Registry, Resource, Protocol):
    """A registry that service can open and close."""


class Seen:
    """A listener that keeps what it was told."""

    def __init__(self) -> None:
        self.calls: list[list[Instance]] = []

    def __call__(self, instances: Sequence[Instance]) -> None:
        self.calls.append(list(instances))

    def sees(self, *instances: Instance) -> Callable[[], bool]:
        """Whether the last call told exactly these, in any order."""
        wanted = sorted(each.id for each in instances)
        return lambda: (
            bool(self.calls)
            and sorted(each.id for each in self.calls[-1]) == wanted
            and all(each in self.calls[-1] for each in instances)
        )


class RegistryContract(_Case):
    """Every sentence of :class:`imd.interfaces.Registry` that needs no fault of a product."""

    async def make_registry(self) -> AnyRegistry:
        """One more process's open registry, all of one world; closed by ``addCleanup``."""
        raise NotImplementedError

    async def test_a_registered_instance_is_seen(self) -> None:
        """By every process that watches its role, with all its fields; by its own too."""
        one, two = await self.make_registry(), await self.make_registry()
        here, there = Seen(), Seen()
        one.watch("comet", here)
        two.watch("comet", there)
        await one.register(COMET)
        await eventually(here.sees(COMET))
        await eventually(there.sees(COMET))

    async def test_a_late_watcher_sees_what_is_there(self) -> None:
        """The first call has everything that is living."""
        one, two = await self.make_registry(), await self.make_registry()
        await one.register(COMET)
        await two.register(OTHER)
        seen = Seen()
        one.watch("comet", seen)
        await eventually(seen.sees(COMET, OTHER))
        self.assertEqual(len(seen.calls), 1)

    async def test_an_empty_role_is_known_to_be_empty(self) -> None:
        """Nobody living is an answer too."""
        registry = await self.make_registry()
        seen = Seen()
        registry.watch("comet", seen)
        await eventually(seen.sees())

    async def test_a_watch_is_of_one_role(self) -> None:
        """The same id in another role is another process, and not seen."""
        registry = await self.make_registry()
        comets, logics = Seen(), Seen()
        registry.watch("comet", comets)
        registry.watch("logic", logics)
        await registry.register(LOGIC)
        await eventually(logics.sees(LOGIC))
        await registry.register(COMET)
        await eventually(comets.sees(COMET))
        self.assertTrue(logics.sees(LOGIC)())

    async def test_an_update_is_seen(self) -> None:
        """It replaces what was registered."""
        registry = await self.make_registry()
        seen = Seen()
        registry.watch("comet", seen)
        await registry.register(COMET)
        changed = msgspec.structs.replace(COMET, offline=True, conn_count=99)
        await registry.update(changed)
        await eventually(seen.sees(changed))

    async def test_many_updates_end_with_the_last(self) -> None:
        """However fast they come."""
        registry = await self.make_registry()
        seen = Seen()
        registry.watch("comet", seen)
        await registry.register(COMET)
        for count in range(50):
            await registry.update(msgspec.structs.replace(COMET, conn_count=count))
        await eventually(seen.sees(msgspec.structs.replace(COMET, conn_count=49)))

    async def test_unregister_takes_it_out(self) -> None:
        """The others stay."""
        registry = await self.make_registry()
        seen = Seen()
        registry.watch("comet", seen)
        await registry.register(COMET)
        await registry.register(OTHER)
        await eventually(seen.sees(COMET, OTHER))
        await registry.unregister(COMET)
        await eventually(seen.sees(OTHER))

    async def test_unregistering_twice_is_fine(self) -> None:
        """What is not there is out."""
        registry = await self.make_registry()
        await registry.register(COMET)
        await registry.unregister(COMET)
        await registry.unregister(COMET)

    async def test_an_update_after_unregister_brings_nothing_back(self) -> None:
        """A late heartbeat of a process that left is ignored."""
        registry = await self.make_registry()
        seen = Seen()
        await registry.register(COMET)
        await registry.unregister(COMET)
        await registry.update(COMET)
        await registry.register(OTHER)
        registry.watch("comet", seen)
        await eventually(seen.sees(OTHER))

    async def test_a_living_id_is_refused(self) -> None:
        """Another process's start under it raises, and changes nothing."""
        one, two = await self.make_registry(), await self.make_registry()
        seen = Seen()
        one.watch("comet", seen)
        await one.register(COMET)
        again = msgspec.structs.replace(COMET, boot=COMET.boot + 1, rpc="tcp://10.0.0.9:1")
        with self.assertRaises(ServerIdTaken) as raised:
            await two.register(again)
        self.assertIn("comet-1", str(raised.exception))
        await eventually(seen.sees(COMET))

    async def test_an_id_that_was_left_is_free(self) -> None:
        """After unregister another process may have it."""
        one, two = await self.make_registry(), await self.make_registry()
        seen = Seen()
        one.watch("comet", seen)
        await one.register(COMET)
        await one.unregister(COMET)
        again = msgspec.structs.replace(COMET, boot=COMET.boot + 1)
        await two.register(again)
        await eventually(seen.sees(again))

    async def test_odd_ids(self) -> None:
        """Slashes, dots and letters of every kind are fine."""
        registry = await self.make_registry()
        seen = Seen()
        registry.watch("comet", seen)
        odd = [msgspec.structs.replace(OTHER, id=id) for id in ("a/b", "ü 1", "a%2Fb", "x.y:z")]
        for each in odd:
            await registry.register(each)
        await eventually(seen.sees(*odd))

    async def test_an_ended_watch_is_silent(self) -> None:
        """Its listener is not called any more; ending it twice is fine."""
        registry = await self.make_registry()
        seen, other = Seen(), Seen()
        end = registry.watch("comet", seen)
        registry.watch("comet", other)
        await eventually(seen.sees())
        calls = len(seen.calls)
        end()
        end()
        await registry.register(COMET)
        await eventually(other.sees(COMET))
        self.assertEqual(len(seen.calls), calls)

    async def test_a_listener_that_raises_harms_nobody(self) -> None:
        """Its fault is logged; it and the others are told of the next change."""
        registry = await self.make_registry()
        seen = Seen()
        faults: list[int] = []

        def broken(instances: Sequence[Instance]) -> None:
            faults.append(len(instances))
            if instances:
                raise ZeroDivisionError

        registry.watch("comet", broken)
        registry.watch("comet", seen)
        await registry.register(COMET)
        await eventually(seen.sees(COMET))
        await registry.register(OTHER)
        await eventually(seen.sees(COMET, OTHER))
        await eventually(lambda: faults[-1] == 2)
        self.assertGreaterEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    async def test_worker_ids_differ(self) -> None:
        """Each lease is a number from 0 to 1023 that nobody else has."""
        registries = [await self.make_registry() for _ in range(4)]
        leased = [await registry.lease_worker_id() for registry in registries]
        self.assertEqual(len(set(leased)), 4)
        self.assertTrue(all(0 <= number <= 1023 for number in leased), leased)
