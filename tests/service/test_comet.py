"""A comet put together, in front of a real logic."""

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.python.usage import Options as UsageOptions
from twisted.trial.unittest import SynchronousTestCase

from imd.backend.registry_static import RegistryStatic
from imd.errors import AuthRefused, ServerIdTaken
from imd.interfaces import Instance, Location, Registry
from imd.logic.ids import IdMaker
from imd.service.comet import Options, build, comet_parts, makeService
from imd.service.daemon import Daemon, Part
from imd.service.logic import logic_parts
from imd.service.storage import Storage, storage
from tests.support.composition_case import CompositionCase
from tests.support.reactor import eventually, reactor, unlaunch

TCP = "tcp://127.0.0.1:*"


class OptionsTests(SynchronousTestCase):
    """How many processes twistd is asked for."""

    def made(self, *arguments: str) -> Daemon:
        """Its service, with addresses that are nobody's."""
        options = Options()
        words = [*arguments, "--set", "comet.tcp=127.0.0.1:0", "--set", "comet.websocket=", "--set", "admin.listen="]
        options.parseOptions(words)
        parent = UsageOptions()
        parent.update({"nodaemon": 1})
        options.parent = parent
        self.addCleanup(unlaunch)
        return makeService(options)

    def test_refused(self) -> None:
        """In one line, before anything is bound, and before --check calls it good."""
        for count in ("many", "0", "257"):
            for check in ((), ("--check",)):
                ended = self.assertRaises(SystemExit, self.made, "--processes", count, *check)
                self.assertEqual(
                    str(ended), f"--processes {count}: give a number from 1 to 256, or auto for one a core"
                )

    def test_made(self) -> None:
        """One process by itself; a supervisor for any number, also for one."""
        for arguments in ((), ("--processes", "1"), ("--processes", "auto", "--pin")):
            self.assertEqual(self.made(*arguments).name, "imd-comet")


class CometPartsTests(CompositionCase):
    """Two processes' parts in one registry."""

    def setUp(self) -> None:
        super().setUp()
        self.registry = RegistryStatic()
        self.seen: list[bool] = []  # whether the comet was offline, at each change; the last is so now
        self.registry.watch("comet", lambda comets: self.seen.extend(each.offline for each in comets))

    async def logic(self, *sets: str) -> Storage:
        """A logic that serves, on storage in memory."""
        stored = storage(self.process("imd", "broker.backend=memory"))
        process = self.process("logic", *sets)
        await self.opened(
            [*process.parts(), *stored.parts, *logic_parts(process, self.registry, stored, IdMaker(now=lambda: 0), TCP)]
        )
        return stored

    def comet(self, *sets: str, registry: Registry | None = None) -> list[Part]:
        """One that is not open."""
        process = self.process("comet", *sets)
        return [*process.parts(), *comet_parts(process, registry or self.registry, TCP)]

    def test_serves(self) -> Deferred[None]:
        """It has its lease before it listens, and is offered to clients last; stopping goes the other way."""

        async def run() -> None:
            stored = await self.logic()
            parts = self.comet("server.id=c1")
            names = [part.name for part in parts]
            self.assertLess(names.index("comet registration"), names.index("presence lease"))
            self.assertLess(names.index("presence lease"), names.index("comet.tcp"))
            self.assertEqual(names[-1], "offer to clients")
            for part in parts:
                await part.resource.open()
            self.assertEqual([part.name for part in parts if part.resource.trouble()], [])
            self.assertEqual(self.seen, [True, False])
            (comet,) = await self.instances()
            self.assertTrue(await stored.leases.renew(Location("c1", comet.boot)))
            for part in reversed(parts):
                await part.resource.close()
            self.assertEqual((self.seen, await self.instances()), ([True, False, True], []))
            self.assertFalse(await stored.leases.renew(Location("c1", comet.boot)))

        return Deferred.fromCoroutine(run())

    async def instances(self) -> list[Instance]:
        """The comets in the registry."""
        found: list[Instance] = []
        self.registry.watch("comet", found.extend)()
        return found

    def test_public_before_a_trusting_logic(self) -> Deferred[None]:
        """It stops with the one line that says what to do, and has not listened for a moment."""

        async def run() -> None:
            await self.logic("auth.mode=trust")
            parts = self.comet("comet.websocket=0.0.0.0:0")
            *before, lease = parts[: [part.name for part in parts].index("presence lease") + 1]
            await self.opened(before)
            opening = Deferred.fromCoroutine(lease.resource.open())
            await eventually(lambda: bool(self.failures))
            (refused,) = self.failures
            self.assertIsInstance(refused, AuthRefused)
            self.assertRegex(str(refused), r"^logic runs with auth\.mode = trust[^\n]*use auth\.mode = token")
            self.assertFalse(opening.called)
            opening.cancel()
            with self.assertRaises(CancelledError):
                await opening

        return Deferred.fromCoroutine(run())

    def test_public_where_it_was_allowed(self) -> Deferred[None]:
        """The operator's word to logic is enough."""

        async def run() -> None:
            await self.logic("auth.mode=trust", "auth.allow_trust_on_public_address=true")
            await self.opened(self.comet("comet.tcp=0.0.0.0:0"))
            self.assertEqual(self.failures, [])

        return Deferred.fromCoroutine(run())

    def test_a_second_one_of_the_id(self) -> Deferred[None]:
        """It is refused before it takes the living one's lease."""

        async def run() -> None:
            stored = await self.logic()
            await self.opened(self.comet("server.id=c1"))
            (living,) = await self.instances()
            await deferLater(reactor, 0.002)  # another boot is another millisecond
            second = self.comet("server.id=c1")
            with self.assertRaises(ServerIdTaken):
                await self.opened(second)
            self.assertTrue(await stored.leases.renew(Location("c1", living.boot)))
            self.assertEqual(self.failures, [])

        return Deferred.fromCoroutine(run())

    def test_cluster(self) -> None:
        """Each part has a name of its own, and ZooKeeper comes before who asks it."""
        names = [part.name for part in build(self.process("comet"))]
        self.assertEqual(len(set(names)), len(names))
        self.assertLess(names.index("zookeeper"), names.index("logic links"))
