"""The broker in Redis keeps the contract, through every fault of Redis."""

import time
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from imd.backend.broker_redis import BrokerRedis
from imd.backend.redis_partitions import RedisPartitions
from imd.errors import BrokerUnavailable, ConfigError, ImdError, Overloaded
from imd.logic.offers import Offers
from imd.metrics import Metrics
from imd.protocol.push import dump
from tests.contract import broker as contract
from tests.support.redis import RedisServer
from tests.support.redis_case import RedisCase, redis_store


class BrokerRedisTests(contract.BrokerContract, RedisCase):
    """The contract on a real Redis."""

    async def make_broker(self, *, max_backlog_entries: int = 1000, idempotency_seconds: float = 60.0) -> BrokerRedis:
        self.metrics = Metrics()
        link = await self.make_link()
        broker = BrokerRedis(
            link=link,
            store=redis_store(link, contract.PARTITIONS, self.metrics),
            clock=reactor,
            metrics=self.metrics,
            max_backlog_entries=max_backlog_entries,
            idempotency_seconds=idempotency_seconds,
        )
        await broker.open()
        self.addCleanup(self.later, broker.close)
        return broker

    async def pass_time(self, seconds: float) -> None:
        await RedisCase.pass_time(self, seconds)

    async def spoil(self, broker: contract.AnyBroker, partition: int) -> None:
        self.server.command("XADD", f"imd:{{{partition}}}:pushes", "*", "p", b"\xc1 no push")
        self.server.command("HINCRBY", f"imd:{{{partition}}}:era", "appended", 1)

    async def test_a_fence_outlives_redis(self) -> None:
        """An owner that stays gets a higher one from a Redis that knows of none, though its clock is behind the lost one's:
        else comets would refuse it until that clock has caught up."""
        broker = await self.make_broker()
        self.server.command("HSET", "imd:{0}:era", "fence", 2**50)
        fence = await broker.rewind(0)
        self.server.command("FLUSHALL")
        self.assertGreater(await broker.rewind(0), fence)

    async def test_places_that_are_none(self) -> None:
        """Such an entry is no push of ours: it is dropped and counted, and those behind it come."""
        broker = await self.make_broker()
        for places in (b"\x05", b"\x90", b"\x92\xa1e\x01", b"\xc1"):
            self.server.command("XADD", "imd:{0}:pushes", "*", "p", dump(contract.push(1)), "s", places)
        await self.publish(broker, 0, 2)
        self.assertEqual(await self.ids(broker, 0), [2])
        self.assertEqual(self.metrics.drops.value("broker", "undecodable"), 4)

    async def test_more_than_a_script_takes(self) -> None:
        """Thousands of pushes in one call keep their order, and are committed in one."""
        broker = await self.make_broker(max_backlog_entries=10_000)
        await self.publish(broker, 0, *range(1, 2501))
        entries = await broker.read(0, 5000, 0)
        self.assertEqual(contract.identities(entries), list(range(1, 2501)))
        await broker.commit(0, [entry.token for entry in entries])
        self.assertEqual((await broker.backlog()).entries, 0)

    async def test_committed_entries_give_memory_back(self) -> None:
        """The stream is as small as before, however much went through it."""
        broker = await self.make_broker()
        for _ in range(10):
            await self.publish(broker, 0, *range(1, 501))
            entries = await broker.read(0, 500, 0)
            await broker.commit(0, [entry.token for entry in entries])
        self.assertLess(self.server.command("MEMORY", "USAGE", "imd:{0}:pushes"), 10_000)

    async def test_idempotency_keys_expire(self) -> None:
        """Redis forgets them by itself."""
        broker = await self.make_broker(idempotency_seconds=60)
        await broker.publish([(2, contract.push(1, key="k"))])
        self.assertGreater(self.server.command("TTL", "imd:{2}:idem:k"), 50)

    async def test_the_limit_counts_what_others_publish(self) -> None:
        """Two logics share one limit, and a refusal stores nothing in any partition."""
        one, two = await self.make_broker(max_backlog_entries=10), await self.make_broker(max_backlog_entries=10)
        await one.publish([(number % 4, contract.push(number)) for number in range(1, 10)])
        with self.assertRaises(Overloaded):
            await two.publish([(0, contract.push(10)), (1, contract.push(11))])
        self.assertEqual((await one.backlog()).entries, 9)

    async def test_an_owner_that_is_gone_takes_nothing(self) -> None:
        """A read that an earlier owner still waits in does not keep an entry from the new one."""
        gone, owner = await self.make_broker(), await self.make_broker()
        ghost = await self.wait_for(gone, 0, 2)
        await owner.rewind(0)
        reading = await self.wait_for(owner, 0, 2)
        await self.publish(owner, 0, 1)
        self.assertEqual(contract.identities(await reading), [1])
        await ghost

    async def test_an_emptied_redis(self) -> None:
        """After FLUSHALL the reader goes on with what comes then, though ids may be smaller than those it has seen."""
        broker = await self.make_broker()
        self.server.command("XADD", "imd:{0}:pushes", "99999999999999-0", "p", b"\xc1 from the future")
        await self.publish(broker, 0, 1)
        self.assertEqual(await self.ids(broker, 0), [1])
        self.server.command("FLUSHALL")
        self.assertEqual(await broker.read(0, 10, 0), [])
        await self.publish(broker, 0, 2)
        self.assertEqual(await self.ids(broker, 0), [2])

    async def test_lost_answers_are_counted(self) -> None:
        """A publish whose caller has gone is counted by its answer; a commit tried again counts what the first try may have
        deleted."""
        broker = await self.make_broker()
        await self.publish(broker, 0, 1, 2, 3)
        tokens = [entry.token for entry in await self.read_all(broker, 0)]
        await self.publish(broker, 1, 4)  # so that the next one need not ask first how much waits
        self.server.command("CLIENT", "PAUSE", "500", "ALL")
        calls: list[Deferred[Any]] = [
            Deferred.fromCoroutine(broker.commit(0, tokens)),
            Deferred.fromCoroutine(self.publish(broker, 1, 5)),
        ]
        await self.pass_time(0.05)
        for call in calls:
            call.cancel()
            with self.assertRaises(CancelledError):
                await call
        self.server.command("CLIENT", "UNPAUSE")
        await broker.commit(0, tokens)
        self.assertEqual(self.metrics.committed.value(), 3)
        await self.publish(broker, 1, 6)
        self.assertEqual((dict(self.metrics.unpublished.values), self.metrics.published.value("room")), ({}, 6))
        self.assertEqual(dict(self.metrics.unpublished.values), {})

    async def test_between_the_answers_of_two_partitions(self) -> None:
        """A share is not under way any longer once its own partition has answered."""
        broker = await self.make_broker()
        run, held = RedisPartitions.run, Deferred[None]()

        async def run_when_told(self: RedisPartitions, *arguments: Any, **settings: Any) -> Any:
            if arguments[1] == "publish" and arguments[3] == 1:
                await held
            return await run(self, *arguments, **settings)

        self.patch(RedisPartitions, "run", run_when_told)
        offers = Offers(broker=broker, metrics=self.metrics)
        publishing = Deferred.fromCoroutine(offers.publish([(number, contract.push(1)) for number in (0, 1, 2)]))
        while self.metrics.published.value("room") < 2:
            self.assertEqual(contract.unaccounted(self.metrics), 0)
            await self.pass_time(0.01)
        self.assertEqual((contract.unaccounted(self.metrics), self.metrics.offering.value()), (0, 1))
        held.callback(None)
        await publishing
        self.assertEqual((contract.unaccounted(self.metrics), self.metrics.offering.value()), (0, 0))

    async def test_forgotten_scripts(self) -> None:
        """After SCRIPT FLUSH the next publish brings the script along."""
        broker = await self.make_broker()
        await self.publish(broker, 0, 1)
        self.server.command("SCRIPT", "FLUSH")
        await self.publish(broker, 0, 2)
        self.assertEqual(await self.ids(broker, 0), [1, 2])

    async def test_a_full_redis_refuses(self) -> None:
        """At Redis' memory limit nothing is stored, not even the idempotency key, and the words say why."""
        broker = await self.make_broker()
        self.server.command("CONFIG", "SET", "maxmemory", "1")
        try:
            with self.assertRaisesRegex(BrokerUnavailable, "memory limit"):
                await broker.publish([(0, contract.push(1, key="k"))])
        finally:
            self.server.command("CONFIG", "SET", "maxmemory", "0")
        self.assertEqual(self.server.command("KEYS", "*"), [b"imd:partitions"])

    async def test_a_foreign_key_is_named(self) -> None:
        """Something else under our name is said clearly, and left as it is."""
        broker = await self.make_broker()
        self.server.command("SET", "imd:{0}:pushes", "foreign")
        with self.assertRaisesRegex(BrokerUnavailable, "prefix"):
            await broker.publish([(0, contract.push(1, key="k"))])
        self.assertEqual(sorted(self.server.command("KEYS", "*")), [b"imd:partitions", b"imd:{0}:pushes"])

    async def counting(self, partitions: int, **changes: Any) -> BrokerRedis:
        """One that is not open, of another configuration."""
        link = changes.pop("link", None) or await self.make_link()
        prefix = changes.get("prefix", "imd")
        store = redis_store(link, partitions, prefix=prefix)
        return BrokerRedis(link=link, store=store, clock=reactor, metrics=Metrics(), **changes)

    async def test_another_number_of_partitions(self) -> None:
        """Pushes in partitions that nobody reads would be lost in silence: that process does not open, and says what to do."""
        await self.make_broker()
        for partitions in (contract.PARTITIONS - 1, contract.PARTITIONS + 1):
            other = await self.counting(partitions)
            with self.assertRaisesRegex(ConfigError, f"set {contract.PARTITIONS} everywhere, or .* key imd:partitions"):
                await other.open()
        same = await self.counting(contract.PARTITIONS)
        await same.open()
        elsewhere = await self.counting(9, prefix="green")
        await elsewhere.open()

    async def test_another_number_after_an_emptied_redis(self) -> None:
        """Who was first says it anew; the others are told that they must not go on, before they store or read anything."""
        refusals: list[ImdError] = []
        old = await self.counting(4, refused=refusals.append)
        await old.open()
        self.server.command("FLUSHALL")
        new = await self.counting(2)
        await new.open()
        with self.assertRaisesRegex(BrokerUnavailable, "broker.partitions = 4"):
            await old.publish([(3, contract.push(1))])
        self.assertEqual([type(refusal) for refusal in refusals], [ConfigError])
        self.assertEqual((await new.backlog()).entries, 0)

    async def test_calls_are_measured(self) -> None:
        """By role, call and result."""
        broker = await self.make_broker()
        await self.publish(broker, 0, 1)
        await self.ids(broker, 0)
        calls = {(role, call, result) for role, call, result in self.metrics.backend_seconds.values}
        self.assertLessEqual({("broker", "publish", "ok"), ("broker", "read", "ok")}, calls)


class BrokerFaultTests(RedisCase):
    """A Redis of each test's own, which dies, stops and comes back."""

    def setUp(self) -> None:
        self.own = RedisServer(appendonly=True).start()
        self.addCleanup(self.own.stop)

    async def make_broker(self, **changes: Any) -> BrokerRedis:
        self.link = await self.make_link(self.own, **changes)
        broker = BrokerRedis(link=self.link, store=redis_store(self.link, 4), clock=Clock(), metrics=Metrics())
        await broker.open()
        self.addCleanup(self.later, broker.close)
        return broker

    async def until_there(self) -> None:
        """Wait until the link is back."""
        for _ in range(500):
            if self.link.trouble() is None:
                return
            await self.pass_time(0.01)
        self.fail(self.link.trouble())

    async def test_another_number_of_partitions_seen_late(self) -> None:
        """Redis was away when the job was opened: it reads nothing, and is told that it must not go on."""
        self.own.kill()
        refusals: list[ImdError] = []
        self.link = await self.make_link(self.own)
        store = redis_store(self.link, 4)
        broker = BrokerRedis(link=self.link, store=store, clock=Clock(), metrics=Metrics(), refused=refusals.append)
        await broker.open()
        self.addCleanup(self.later, broker.close)
        self.own.start()
        self.own.command("SET", "imd:partitions", "8")
        await self.until_there()
        with self.assertRaisesRegex(BrokerUnavailable, "set 8 everywhere"):
            await broker.read(0, 10, 0)
        self.assertEqual([type(refusal) for refusal in refusals], [ConfigError])

    async def test_killed_and_started_again(self) -> None:
        """What was accepted is there, a publish meanwhile is refused at once, and afterwards all works as before."""
        broker = await self.make_broker()
        await broker.publish([(0, contract.push(1)), (0, contract.push(2))])
        entries = await broker.read(0, 1, 0)
        self.own.kill()
        await self.pass_time(0.05)
        started = time.monotonic()
        with self.assertRaises(BrokerUnavailable):
            await broker.publish([(0, contract.push(3))])
        self.assertLess(time.monotonic() - started, 0.5)
        self.own.start()
        await self.until_there()
        await broker.publish([(0, contract.push(4))])
        await broker.commit(0, [entries[0].token])
        self.assertEqual(contract.identities(await broker.read(0, 10, 1)), [2, 4])
        await broker.rewind(0)
        self.assertEqual(contract.identities(await broker.read(0, 10, 1)), [2, 4])

    async def test_killed_under_a_waiting_read(self) -> None:
        """The read fails at once; the next one goes on where it was."""
        broker = await self.make_broker()
        await broker.publish([(0, contract.push(1))])
        self.assertEqual(contract.identities(await broker.read(0, 10, 0)), [1])
        reading = Deferred.fromCoroutine(broker.read(0, 10, 30))
        await self.pass_time(0.1)
        self.own.kill()
        with self.assertRaises(BrokerUnavailable):
            await reading
        with self.assertRaises(BrokerUnavailable):
            await broker.read(0, 10, 30)
        self.own.start()
        await self.until_there()
        await broker.publish([(0, contract.push(2))])
        self.assertEqual(contract.identities(await broker.read(0, 10, 1)), [2])

    async def test_stopped(self) -> None:
        """A Redis that stands still costs a call its deadline, the next ones nothing; and it comes back."""
        broker = await self.make_broker(timeout_seconds=0.3)
        await broker.publish([(0, contract.push(1))])
        self.own.pause()
        self.addCleanup(self.own.resume)
        started = time.monotonic()
        with self.assertRaises(BrokerUnavailable):
            await broker.publish([(0, contract.push(2))])
        with self.assertRaises(BrokerUnavailable):
            await broker.read(0, 10, 0)
        self.assertLess(time.monotonic() - started, 2)
        self.own.resume()
        await self.until_there()
        await broker.publish([(0, contract.push(3))])
        found = contract.identities(await broker.read(0, 10, 1))
        self.assertEqual([found[0], found[-1]], [1, 3])
