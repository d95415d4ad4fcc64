"""The registry in ZooKeeper keeps the contract, and what is registered comes back after every fault."""

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from imd.backend.registry_zookeeper import RegistryZookeeper
from imd.backend.zookeeper_session import ZookeeperSession
from imd.errors import ServerIdTaken
from imd.interfaces import Instance
from tests.contract import registry as contract
from tests.contract.registry import COMET, OTHER, Seen
from tests.support.reactor import eventually, reactor
from tests.support.zookeeper_case import SESSION_SECONDS, ZooKeeperCase

AGAIN = msgspec.structs.replace(COMET, boot=COMET.boot + 1)


class _Case(ZooKeeperCase):
    def setUp(self) -> None:
        super().setUp()
        self.conflicts: list[Instance] = []
        self.worker_ids: list[int] = []

    def make(
        self, session: ZookeeperSession, *, patience_seconds: float = 0.2, linger_seconds: float = 10.0
    ) -> RegistryZookeeper:
        registry = RegistryZookeeper(
            session=session,
            reactor=reactor,
            prefix=self.prefix,
            patience_seconds=patience_seconds,
            linger_seconds=linger_seconds,
            on_conflict=self.conflicts.append,
            on_worker_id=self.worker_ids.append,
        )
        self.addCleanup(lambda: Deferred.fromCoroutine(registry.close()))
        return registry


class RegistryZookeeperTests(contract.RegistryContract, _Case):
    """The contract, each process with a session of its own."""

    async def make_registry(self) -> RegistryZookeeper:
        registry = self.make(await self.make_session())
        await registry.open()
        return registry


class FaultTests(_Case):
    """Sessions end, the server dies, nodes are not what they should be."""

    async def test_a_crashed_process_is_seen_to_go(self) -> None:
        """When its session has run out, and not its neighbours."""
        one, two = await self.make_session(), await self.make_session()
        seen = Seen()
        self.make(two).watch("comet", seen)
        await self.make(one).register(COMET)
        await self.make(two).register(OTHER)
        await eventually(seen.sees(COMET, OTHER))
        self.cut_off(one)
        await eventually(seen.sees(OTHER))

    async def test_a_restart_after_a_crash(self) -> None:
        """It waits for the crashed process's session to run out, and is registered then."""
        one, two = await self.make_session(), await self.make_session()
        await self.make(one).register(COMET)
        self.cut_off(one)
        seen = Seen()
        registry = self.make(two, patience_seconds=SESSION_SECONDS * 4)
        await registry.register(AGAIN)
        registry.watch("comet", seen)
        await eventually(seen.sees(AGAIN))

    async def test_a_lost_session(self) -> None:
        """What was registered comes back, as it was last updated; watches go on."""
        one, two = await self.make_session(), await self.make_session()
        seen = Seen()
        registry = self.make(one)
        self.make(two).watch("comet", seen)
        await registry.register(COMET)
        await eventually(seen.sees(COMET))
        before = one.id
        self.expire(one)
        await registry.update(AGAIN)
        await eventually(seen.sees(AGAIN))
        self.assertNotEqual(one.id, before)
        await eventually(lambda: registry.trouble() is None)
        self.assertEqual(self.conflicts, [])

    async def test_sessions_lost_together(self) -> None:
        """Who watches sees nobody go while all come back; who does not come back goes."""
        one, two, gone = await self.make_session(), await self.make_session(), await self.make_session()
        registry, seen = self.make(one), Seen()
        await registry.register(COMET)
        await gone.create(f"{self.prefix}/instances/comet/{OTHER.id}", msgspec.json.encode(OTHER))
        self.make(two, linger_seconds=1.0).watch("comet", seen)
        await eventually(seen.sees(COMET, OTHER))
        calls = len(seen.calls)
        for session in (two, one, gone):
            self.expire(session)
        await eventually(seen.sees(COMET))
        self.assertEqual(seen.calls[calls:], [[COMET]])
        self.assertIsNone(registry.trouble())

    async def test_the_server_dies_and_returns(self) -> None:
        """The last known instances stay; nobody is told of an empty list; then changes come again."""
        one, two = await self.make_session(session_seconds=10.0), await self.make_session(session_seconds=10.0)
        seen = Seen()
        registry, watcher = self.make(one), self.make(two)
        watcher.watch("comet", seen)
        await registry.register(COMET)
        await eventually(seen.sees(COMET))
        for _ in range(3):
            calls = len(seen.calls)
            if await self.outage(one, two):
                break
            await eventually(seen.sees(COMET))
        await registry.register(OTHER)
        await eventually(seen.sees(COMET, OTHER))
        self.assertEqual(seen.calls[calls:], [[COMET, OTHER]])
        await eventually(lambda: registry.trouble() is None)

    async def test_registering_while_zookeeper_is_away(self) -> None:
        """It returns at once, ``trouble`` names what is missing, and it is registered when there is a connection."""
        session = await self.make_session(wait=False)
        registry, seen = self.make(session), Seen()
        await registry.register(COMET)
        self.assertIsNotNone(registry.trouble())
        registry.watch("comet", seen)
        await eventually(seen.sees(COMET))
        await eventually(lambda: registry.trouble() is None)

    async def test_what_zookeeper_does_not_allow(self) -> None:
        """Registering returns, ``trouble`` and one line of the log name what is refused; it is tried until it is allowed."""
        owner = await self.make_session(digest="imd:s3cret")
        await owner.make_folder(f"{self.prefix}/instances/comet")
        registry, seen = self.make(await self.make_session()), Seen()
        with capturedLogs() as logs:
            await registry.register(COMET)
            registry.watch("comet", seen)
            self.assertIn(f"does not allow us {self.prefix}/instances/comet", str(registry.trouble()))
            for folder in ("/instances/comet", "/instances", ""):
                await owner.delete(f"{self.prefix}{folder}", 0)
            await eventually(seen.sees(COMET))
        self.assertEqual([event["log_format"] for event in logs], ["zookeeper: {trouble}"])

    async def test_a_conflict_found_late(self) -> None:
        """Who registered while ZooKeeper was away and finds its name taken is told by the callback, once."""
        await self.make(await self.make_session()).register(COMET)
        registry = self.make(await self.make_session(wait=False))
        await registry.register(AGAIN)
        await eventually(lambda: self.conflicts == [AGAIN])
        self.assertIn("not registered", str(registry.trouble()))

    async def test_a_refused_registration_leaves_nothing(self) -> None:
        """After ServerIdTaken the process may register under another id, and the first one's end changes nothing for it."""
        one, two = await self.make_session(), await self.make_session()
        first, second, seen = self.make(one), self.make(two), Seen()
        await first.register(COMET)
        with self.assertRaises(ServerIdTaken):
            await second.register(AGAIN)
        self.assertIsNone(second.trouble())
        await second.register(OTHER)
        await first.unregister(COMET)
        second.watch("comet", seen)
        await eventually(seen.sees(OTHER))

    async def test_a_node_that_is_no_instance(self) -> None:
        """It is skipped; its neighbours are seen."""
        session = await self.make_session()
        registry, seen = self.make(session), Seen()
        for name, data in (("a", b"no json"), ("b", b'{"role": "comet"}'), ("c", b"\xff")):
            await session.create(f"{self.prefix}/instances/comet/{name}", data)
        await registry.register(COMET)
        registry.watch("comet", seen)
        await eventually(seen.sees(COMET))

    async def test_fields_of_a_newer_imd(self) -> None:
        """They are ignored: a cluster is updated one process at a time."""
        session = await self.make_session()
        registry, seen = self.make(session), Seen()
        data = msgspec.json.encode({**msgspec.to_builtins(COMET), "colour": "blue"})
        await session.create(f"{self.prefix}/instances/comet/x", data)
        registry.watch("comet", seen)
        await eventually(seen.sees(COMET))

    async def test_close_takes_everything_out(self) -> None:
        """Instances and worker id, while the session goes on for others."""
        session = await self.make_session()
        registry = self.make(session)
        await registry.register(COMET)
        await registry.lease_worker_id()
        await registry.close()
        self.assertEqual(await session.children(f"{self.prefix}/instances/comet"), [])
        self.assertEqual(await session.children(f"{self.prefix}/workers"), [])
