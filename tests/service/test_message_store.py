"""Queue and timelines are one product's, whichever it is."""

from twisted.internet.defer import Deferred

from imd.protocol.push import Push, Target
from imd.protocol.rpc import Follow
from imd.service.process import now_ms
from imd.service.storage import storage
from tests.support.composition_case import CompositionCase
from tests.support.redis import RedisServer

ROOM = "r:live://1"


class MessageStoreTests(CompositionCase):
    """Each backend as a process gets it."""

    def kept(self, id: int) -> Push:
        """A push to the room that is kept."""
        return Push(id, now_ms(), Target.ROOM, 1000, b"hi", room="live://1", keep_count=5, keep_ms=600_000)

    async def keeps(self, *sets: str) -> str:
        """A kept push is in the queue with its place, and in its timeline; answers the epoch."""
        stored = storage(self.process("imd", "broker.partitions=1", *sets))
        for part in stored.parts:
            await part.resource.open()
        (receipt,) = await stored.broker.publish([(0, self.kept(now_ms()))])
        (page,) = await stored.timelines.read([Follow(ROOM, 0, receipt.places[0].epoch, 10)])
        self.assertEqual((page.head, page.recovered), (receipt.places[0], True))
        self.assertEqual([message.body for message in page.messages], [b"hi"] * page.head.seq)
        fence = await stored.broker.rewind(0)
        self.assertGreaterEqual(fence, now_ms() - 60_000)
        entries = await stored.broker.read(0, 10, 1)
        self.assertEqual(entries[-1].places, receipt.places)
        for part in reversed(stored.parts):
            await part.resource.close()
        return page.head.epoch

    def test_memory(self) -> Deferred[None]:
        """Another process has another numbering."""

        async def run() -> None:
            backend = "broker.backend=memory"
            self.assertNotEqual(await self.keeps(backend), await self.keeps(backend))

        return Deferred.fromCoroutine(run())

    def test_sqlite(self) -> Deferred[None]:
        """What is in the file goes on after a restart."""

        async def run() -> None:
            self.assertEqual(await self.keeps(), await self.keeps())

        return Deferred.fromCoroutine(run())

    def test_redis(self) -> Deferred[None]:
        """And so does what is in Redis."""
        server = RedisServer().start()
        self.addCleanup(server.stop)

        async def run() -> None:
            sets = ("broker.backend=redis", f"redis.address=unix:{server.path}")
            self.assertEqual(await self.keeps(*sets), await self.keeps(*sets))

        return Deferred.fromCoroutine(run())
