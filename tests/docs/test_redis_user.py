"""The Redis user of docs/operations.md may do all that imd does, and nothing else."""

import re

from twisted.internet.task import Clock

from imd.backend.broker_redis import BrokerRedis
from imd.backend.leases_redis import LeasesRedis
from imd.backend.presence_redis import PresenceRedis
from imd.backend.redis import RedisLink
from imd.backend.rooms_redis import RoomsRedis
from imd.backend.timelines_redis import TimelinesRedis
from imd.backend.traces_redis import TracesRedis
from imd.interfaces import Location, Totals
from imd.metrics import Metrics
from imd.protocol.push import Push, Target
from imd.protocol.rpc import Ack, Follow
from imd.protocol.trace import Hop, Step
from tests.docs.page import Page
from tests.support.redis_case import RedisCase, redis_store

COMET = Location("comet-1", 1)
PASSWORD = "a-password"


class RedisUserTests(RedisCase):
    """A server with the user that the page makes."""

    def setUp(self) -> None:
        super().setUp()
        (rule,) = re.findall(r"ACL SETUSER[^`]*", Page("docs/operations.md").text)
        self.server.command(*rule.replace("…", PASSWORD).split())

    async def link(self) -> RedisLink:
        return await self.make_link(username="imd", password=PASSWORD)

    async def test_the_broker(self) -> None:
        """Published, read, counted, committed."""
        link = await self.link()
        broker = BrokerRedis(link=link, store=redis_store(link, 1), clock=Clock(), metrics=Metrics())
        await broker.open()
        self.addCleanup(self.later, broker.close)
        push = Push(1, 1, Target.ALL, 1000, b"hello", idempotency_key="once")
        self.assertFalse((await broker.publish([(0, push)]))[0].repeated)
        self.assertTrue((await broker.publish([(0, push)]))[0].repeated)
        await broker.rewind(0)
        (entry,) = await broker.read(0, 10, 1)
        self.assertEqual((await broker.backlog()).entries, 1)
        await broker.commit(0, [entry.token])
        self.assertEqual((await broker.backlog()).entries, 0)

    async def test_timelines(self) -> None:
        """Kept, read, handled, let go for their number and their age, counted."""
        link = await self.link()
        store = redis_store(link, 1)
        await store.open()
        self.addCleanup(self.later, store.close)
        broker = BrokerRedis(link=link, store=store, clock=Clock(), metrics=Metrics())
        await broker.open()
        self.addCleanup(self.later, broker.close)
        timelines = TimelinesRedis(link=link, store=store, clock=Clock(), metrics=Metrics())
        pushes = [
            Push(id, 1, Target.MEMBERS, 1000, b"hello", mids=(7,), keep_count=1, keep_ms=keep_ms)
            for id, keep_ms in ((1, 2**42), (2, 2**42), (3, 1))
        ]
        receipts = await broker.publish([(0, push) for push in pushes[:2]])
        epoch = receipts[0].places[0].epoch
        await timelines.ack([Ack("m:7", f"7:{number}", 2, epoch) for number in range(1101)])
        self.assertEqual(len(await timelines.positions("m:7")), 1000)
        (page,) = await timelines.read([Follow("m:7", 1, epoch, 10)])
        self.assertEqual((page.head.seq, page.recovered, len(page.messages)), (2, True, 1))
        await broker.publish([(0, pushes[2])])
        self.assertFalse((await timelines.sweep(0, 10)).more)
        self.assertEqual(await timelines.totals(), Totals(3, 0, 1, 2))

    async def test_presence(self) -> None:
        """A comet comes, enters a connection and a room, is found, and leaves."""
        link = await self.link()
        leases = LeasesRedis(link=link, clock=Clock(), metrics=Metrics(), lease_seconds=30)
        presence = PresenceRedis(link=link, clock=Clock(), metrics=Metrics())
        rooms = RoomsRedis(link=link, clock=Clock(), metrics=Metrics())
        await leases.renew(COMET)
        await presence.attach(COMET, "a", 7)
        await presence.renew(COMET, [("a", 7), ("b", 8)])
        self.assertEqual(await presence.locate_keys(["a"]), {"a": COMET})
        self.assertEqual(await presence.locate_members([7]), {7: {"a": COMET}})
        await rooms.host(COMET, "live://1")
        await rooms.report(COMET, [("live://1", 2)])
        self.assertEqual(await rooms.hosts(["live://1"]), {"live://1": [COMET]})
        self.assertEqual(await rooms.counts(["live://1"]), {"live://1": 2})
        self.assertEqual(await rooms.top("live", 10), [("live://1", 2)])
        await rooms.unhost(COMET, "live://1")
        self.assertTrue(await presence.detach(COMET, "a", 7))
        await leases.release(COMET)
        self.assertEqual(await presence.locate_keys(["b"]), {})

    async def test_traces(self) -> None:
        """A push is traced, acked, looked at."""
        traces = TracesRedis(link=await self.link(), clock=Clock(), metrics=Metrics())
        await traces.note([(1, Hop(Step.STORED, 1, "logic/l1", "m:7", 1, epoch="e"))] * 1001)
        await traces.acked([Ack("m:7", "7:a", 1, "e")], 2, "logic/l1")
        self.assertEqual(len(await traces.read(1)), 1000)

    async def test_nothing_else(self) -> None:
        """Keys of others and commands of operators are refused."""
        link = await self.link()
        for command in (("GET", "other:key"), ("FLUSHALL",), ("CONFIG", "GET", "*"), ("KEYS", "*")):
            with self.assertRaisesRegex(Exception, "no permission", msg=" ".join(command)):
                await link.call(*command)
