"""What waits for delivery and who is where, by the configuration."""

from twisted.internet.defer import Deferred

from imd.backend.broker_memory import BrokerMemory
from imd.backend.broker_redis import BrokerRedis
from imd.backend.broker_sqlite import BrokerSqlite
from imd.backend.presence_memory import PresenceMemory
from imd.backend.presence_redis import PresenceRedis
from imd.backend.timelines_memory import TimelinesMemory
from imd.backend.timelines_redis import TimelinesRedis
from imd.backend.timelines_sqlite import TimelinesSqlite
from imd.backend.traces_memory import TracesMemory
from imd.backend.traces_redis import TracesRedis
from imd.errors import ConfigError
from imd.interfaces import Location
from imd.service.storage import storage
from tests.contract.broker import push
from tests.support.composition_case import CompositionCase
from tests.support.redis import RedisServer


class StorageTests(CompositionCase):
    """Broker and presence."""

    def test_choices(self) -> None:
        """Each backend by its name; Redis is linked only where it is used, and before what uses it."""
        sqlite = ["sqlite", "timelines", "broker"]
        for sets, kinds, names in (
            ((), (BrokerSqlite, TimelinesSqlite, TracesMemory, PresenceMemory), sqlite),
            (("broker.backend=memory",), (BrokerMemory, TimelinesMemory, TracesMemory, PresenceMemory), ["broker"]),
            (
                ("broker.backend=redis",),
                (BrokerRedis, TimelinesRedis, TracesRedis, PresenceMemory),
                ["redis", "store", "broker"],
            ),
            (
                ("presence.backend=redis",),
                (BrokerSqlite, TimelinesSqlite, TracesMemory, PresenceRedis),
                ["redis", *sqlite],
            ),
        ):
            stored = storage(self.process("imd", *sets))
            self.assertEqual(
                (type(stored.broker), type(stored.timelines), type(stored.traces), type(stored.presence)), kinds
            )
            self.assertEqual([part.name for part in stored.parts], names)

    def test_sqlite(self) -> Deferred[None]:
        """In the file that broker.path names, with as many partitions as configured."""

        async def run() -> None:
            stored = storage(self.process("imd", "broker.partitions=3"))
            await self.opened(stored.parts)
            self.assertEqual(stored.broker.partitions, 3)
            await stored.broker.publish([(2, push(1))])
            self.assertEqual((await stored.broker.backlog()).entries, 1)
            self.assertTrue((self.folder / "imd.sqlite").exists())

        return Deferred.fromCoroutine(run())

    def test_redis(self) -> Deferred[None]:
        """One link serves both, by its prefix and with the password in its file; the file's end of line is none of it."""
        server = RedisServer(password="p w").start()  # a test's
        self.addCleanup(server.stop)
        secret = self.folder / "secret"
        secret.write_text("p w\n")

        async def run() -> None:
            process = self.process(
                "logic",
                f"redis.address=unix:{server.path}",
                f"redis.password_file={secret}",
                "redis.prefix=blue",
            )
            stored = storage(process)
            await self.opened(stored.parts)
            await stored.broker.publish([(0, push(1))])
            await stored.leases.renew(Location("c1", 1))
            await stored.presence.attach(Location("c1", 1), "k", 5)
            self.assertEqual(await stored.presence.locate_keys(["k"]), {"k": Location("c1", 1)})
            keys = server.command("KEYS", "*")
            self.assertTrue(keys)
            self.assertEqual([key for key in keys if not key.startswith(b"blue:")], [])

        return Deferred.fromCoroutine(run())

    def test_a_password_that_cannot_be_read(self) -> None:
        """One line with the key, and nothing of the file."""
        secret = self.folder / "secret"
        secret.write_bytes(b"hush\xff")
        process = self.process("logic", f"redis.password_file={secret}")
        refused = self.assertRaises(ConfigError, storage, process)
        self.assertEqual(str(refused), f"redis.password_file = {secret}: is not UTF-8 text")
        secret.unlink()
        refused = self.assertRaises(ConfigError, storage, process)
        self.assertTrue(str(refused).startswith(f"redis.password_file = {secret}: cannot be read"), refused)

    def test_an_unused_table(self) -> None:
        """What [redis] says where nobody uses Redis harms nobody."""
        storage(self.process("imd", "redis.address="))
