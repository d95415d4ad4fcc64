"""A Redis that lost something is found out, once; one that lost nothing is left alone."""

import shutil
from collections.abc import Awaitable, Callable

from twisted.internet import reactor
from twisted.internet.defer import Deferred

from imd.backend.broker_redis import BrokerRedis
from imd.backend.redis_partitions import RedisPartitions
from imd.backend.timelines_redis import TimelinesRedis
from imd.backend.witness_memory import WitnessMemory
from imd.errors import TimelineUnavailable, Unavailable
from imd.interfaces import Sighting
from imd.metrics import Metrics
from imd.protocol.push import Push, Target, partition_of
from imd.protocol.rpc import Follow, Page
from imd.protocol.timeline import Place, room_timeline
from tests.support.redis import RedisServer
from tests.support.redis_case import RedisCase, redis_store

ROOM = "chat://1"


class Member:
    """One process on the store: what it has seen is its own."""

    def __init__(self, case: "RedisPartitionsTests", store: RedisPartitions, metrics: Metrics) -> None:
        self.case = case
        self.store = store
        self.metrics = metrics
        self.link = link = store._link
        self.broker = BrokerRedis(link=link, store=store, clock=reactor, metrics=metrics)
        self.timelines = TimelinesRedis(link=link, store=store, clock=reactor, metrics=metrics)

    async def keep(self, *ids: int, room: str = ROOM, partition: int = 0) -> Place:
        """Messages in a room; answers the last one's place."""
        await self.case.until(lambda: self.link.trouble() is None)
        pushes = [Push(id, 1, Target.ROOM, 1000, b"hello", room=room, keep_count=100, keep_ms=2**42) for id in ids]
        receipts = await self.broker.publish([(partition, push) for push in pushes])
        return receipts[-1].places[0]

    async def page(self, place: Place, room: str = ROOM, *, witnessed: bool = False) -> Page:
        """What follows a place; ``witnessed`` by a comet."""
        await self.case.until(lambda: self.link.trouble() is None)
        follow = Follow(room_timeline(room), place.seq, place.epoch, 100, witnessed)
        (page,) = await self.timelines.read([follow])
        return page

    @property
    def losses(self) -> dict[tuple[str, ...], float]:
        """How often it gave a partition another epoch, by reason."""
        return dict(self.metrics.epochs.values)


class RedisPartitionsTests(RedisCase):
    """Several processes on a Redis with a log, of each test's own; one partition unless said."""

    def setUp(self) -> None:
        self.own = RedisServer(appendonly=True).start()
        self.addCleanup(self.own.stop)

    async def member(
        self, partitions: int = 1, witness: WitnessMemory | None = None, *, opened: bool = False
    ) -> Member:
        """Another process; ``opened``: its store looks by itself."""
        metrics = Metrics()
        store = redis_store(await self.make_link(self.own), partitions, metrics, witness=witness)
        if opened:
            await store.open()
            self.addCleanup(self.later, store.close)
        member = Member(self, store, metrics)
        await member.broker.open()
        self.addCleanup(self.later, member.broker.close)
        return member

    async def until(self, holds: Callable[[], bool]) -> None:
        for _ in range(500):
            if holds():
                return
            await self.pass_time(0.01)
        self.fail("it never came")

    async def restart(self) -> None:
        """Killed, and started again with all that was acknowledged."""
        self.own.kill()
        await self.pass_time(0.05)  # every process has seen it go
        self.own.start()

    def copy(self) -> str:
        """What the store has now, as a backup; it is killed for that."""
        self.own.kill()
        copy = f"{self.own.folder}.copy{len(self._cleanups)}"
        shutil.copytree(self.own.folder, copy)
        self.addCleanup(shutil.rmtree, copy)
        return copy

    async def restore(self, copy: str) -> None:
        """As it was then. The Redis that runs is killed."""
        self.own.kill()
        await self.pass_time(0.05)
        shutil.rmtree(self.own.folder)
        shutil.copytree(copy, self.own.folder)
        self.own.start()

    async def backup(self) -> str:
        copy = self.copy()
        await self.pass_time(0.05)
        self.own.start()
        return copy

    async def test_a_restart_without_loss(self) -> None:
        """Killed with -9 and started again, twice: nobody renews anything, whoever knows however much."""
        one, two = await self.member(opened=True), await self.member(opened=True)
        place = await one.keep(1, 2)
        for id in (3, 4):
            await two.keep(id)
            await self.restart()
            for each in (one, two):
                page = await each.page(place)
                self.assertEqual((page.recovered, page.head.epoch), (True, place.epoch))
        self.assertEqual((one.losses, two.losses), ({}, {}))

    async def test_a_backup_that_lacks_nothing(self) -> None:
        """Restored over restarts, with no push in between: nobody is told anything."""
        one = await self.member(opened=True)
        place = await one.keep(1)
        copy = await self.backup()
        for _ in range(2):
            self.assertTrue((await one.page(place)).recovered)
            await self.restart()
        await self.restore(copy)
        self.assertTrue((await one.page(place)).recovered)
        self.assertEqual(await one.keep(2), Place(2, place.epoch))
        self.assertEqual(one.losses, {})

    async def test_emptied_under_a_live_connection(self) -> None:
        """FLUSHALL: another epoch, told once; whoever comes later with an old memory changes nothing more."""
        one, two = await self.member(), await self.member()
        place = await one.keep(1, 2, 3)
        await two.page(place)
        self.own.command("FLUSHALL")
        self.assertFalse((await one.page(place)).recovered)
        fresh = await one.keep(1)
        self.assertEqual(fresh.seq, 1)
        self.assertFalse((await two.page(place)).recovered)
        self.assertTrue((await two.page(fresh)).recovered)
        self.assertEqual((one.losses, two.losses), ({("empty",): 1}, {}))

    async def test_emptied_and_a_stranger_comes_first(self) -> None:
        """Who knows nothing begins the new epoch; those who remember the old one leave it as it is."""
        one = await self.member()
        place = await one.keep(1, 2, 3)
        self.own.command("FLUSHALL")
        fresh = await (await self.member()).keep(1, 2, 3, 4)
        self.assertFalse((await one.page(place)).recovered)
        self.assertTrue((await one.page(fresh)).recovered)
        self.assertEqual(one.losses, {})

    async def test_an_older_state(self) -> None:
        """Whoever saw more proves it, and once: a second witness changes nothing more. What is held can be read."""
        one, two = await self.member(), await self.member()
        held = await one.keep(1, 2)
        copy = await self.backup()
        place = await one.keep(3, 4)
        await two.page(place)
        await self.restore(copy)
        page = await one.page(held)
        self.assertEqual((page.recovered, page.head.seq), (False, 2))
        self.assertEqual(await two.page(page.head), Page(room_timeline(ROOM), page.head))
        self.assertFalse((await two.page(place)).recovered)
        self.assertEqual((one.losses, two.losses), ({("lost",): 1}, {}))
        self.assertEqual(len((await two.page(Place(0, page.head.epoch))).messages), 2)

    async def test_grown_past_the_witness(self) -> None:
        """Others append more than the witness ever saw before it speaks: it is found out all the same."""
        one, two = await self.member(), await self.member()
        await one.keep(1, 2)
        copy = await self.backup()
        place = await one.keep(3, 4)
        await self.restore(copy)
        grown = await two.keep(5, 6, 7, 8)
        self.assertEqual((grown.seq, grown.epoch), (6, place.epoch))
        self.assertFalse((await one.page(place)).recovered)
        self.assertFalse((await two.page(grown)).recovered)
        self.assertEqual((one.losses, two.losses), ({("lost",): 1}, {}))

    async def test_older_than_an_earlier_restart(self) -> None:
        """The backup does not even know the run that the witness saw; restarts after it do not hide that."""
        one, two = await self.member(), await self.member()
        await one.keep(1)
        copy = await self.backup()
        place = await one.keep(2)
        await self.restart()
        await one.keep(3)
        await self.restore(copy)
        await two.keep(4, 5, 6, 7)
        await self.restart()
        await two.keep(8)
        self.assertFalse((await one.page(place)).recovered)
        self.assertEqual(one.losses, {("lost",): 1})

    async def test_older_than_a_renewal(self) -> None:
        """The backup has the epoch before the one that the witness knows: nobody may come to believe the old one again."""
        one, two = await self.member(), await self.member()
        old = await one.keep(1, 2)
        copy = await self.backup()
        await one.page(Place(9, old.epoch), witnessed=True)
        place = await one.keep(3)
        self.assertNotEqual(place.epoch, old.epoch)
        await self.restore(copy)
        await two.keep(4, 5, 6)
        self.assertFalse((await one.page(place)).recovered)
        self.assertFalse((await two.page(old)).recovered)
        newest = await two.keep(7)
        self.assertEqual(len({old.epoch, place.epoch, newest.epoch}), 3)

    async def test_only_what_lost_something(self) -> None:
        """Of a Redis that went back, a partition into which nothing came meanwhile keeps its epoch."""
        one = await self.member(partitions=8)
        rooms = {partition: room_in(partition, 8) for partition in range(8)}
        places = {p: await one.keep(1, room=room, partition=p) for p, room in rooms.items()}
        copy = await self.backup()
        await one.keep(2, room=rooms[3], partition=3)
        await self.restore(copy)
        recovered = {p: (await one.page(places[p], room)).recovered for p, room in rooms.items()}
        self.assertEqual(recovered, {p: p != 3 for p in rooms})

    async def test_all_are_looked_at_after_a_restart(self) -> None:
        """A process that nobody asks for anything speaks up by itself."""
        one, quiet = await self.member(partitions=4), await self.member(partitions=4, opened=True)
        place = await one.keep(1, room=room_in(2, 4), partition=2)
        copy = await self.backup()
        await one.keep(2, room=room_in(2, 4), partition=2)
        await quiet.page(place, room_in(2, 4))
        await self.restore(copy)
        await self.until(lambda: bool(quiet.losses))
        self.assertEqual(quiet.losses, {("lost",): 1})

    async def test_one_loss_makes_it_look_at_all(self) -> None:
        """FLUSHALL, found out in one partition: the others are looked at at once."""
        one = await self.member(partitions=4, opened=True)
        for partition in range(4):
            await one.keep(1, room=room_in(partition, 4), partition=partition)
        self.own.command("FLUSHALL")
        await one.page(Place(1, "x"), room_in(1, 4))
        await self.until(lambda: one.losses == {("empty",): 4})

    async def test_a_replica_that_knew_less(self) -> None:
        """Promoted, it takes pushes; what its old master had taken and it never got is found out, and only that."""
        replica = RedisServer(options=("--replicaof", "127.0.0.1", "1")).start()
        self.addCleanup(replica.stop)
        witness = WitnessMemory()
        one = await self.member(witness=witness, opened=True)
        held = await one.keep(1, 2)
        for lost in (False, True):
            await self.copy_to(replica)
            if lost:
                await one.keep(3)
            metrics = Metrics()
            store = redis_store(await self.make_link(replica), 1, metrics, witness=witness)
            await store.open()
            self.addCleanup(self.later, store.close)
            elsewhere = Member(self, store, metrics)
            await elsewhere.broker.open()
            self.addCleanup(self.later, elsewhere.broker.close)
            await self.until(lambda store=store: store._looking is None)  # type: ignore[misc]
            self.assertEqual((await elsewhere.page(held)).recovered, not lost)

    async def copy_to(self, replica: RedisServer) -> None:
        """The replica gets everything that is there now, and is promoted."""
        self.own.command("CONFIG", "SET", "save", "")
        self.own.command("SAVE")
        replica.kill()
        shutil.copy(f"{self.own.folder}/dump.rdb", f"{replica.folder}/dump.rdb")
        replica.start()
        replica.command("REPLICAOF", "NO", "ONE")

    async def test_all_processes_are_gone(self) -> None:
        """What a witness outside remembers proves the loss to processes that are new; without one nothing can."""
        for witness, recovered in ((WitnessMemory(), False), (None, True)):
            one = await self.member(witness=witness, opened=True)
            held = await one.keep(1)
            copy = await self.backup()
            await one.keep(2)
            await one.store.close()
            await self.restore(copy)
            after = await self.member(witness=witness, opened=True)
            await self.until(lambda after=after: after.losses or after.store._looking is None)  # type: ignore[misc]
            self.assertEqual((await after.page(held)).recovered, recovered)

    async def test_a_witness_that_is_away(self) -> None:
        """It is asked again until it answers."""
        witness = AwayWitness(2)
        witness.note(0, [Sighting("7ffffffffff0000", "abcd", 9)])
        one = await self.member(witness=witness, opened=True)
        await self.until(lambda: witness.away < 0 and not one.store._looking)
        self.assertEqual(witness.away, -1)
        self.assertGreater((await one.keep(1)).epoch, "7ffffffffff0000")

    async def test_a_witness_that_fails(self) -> None:
        """By a bug, which is told: it is asked again all the same, for nothing could be read without its word."""
        witness = AwayWitness(2, ValueError("a bug"))
        one = await self.member(witness=witness, opened=True)
        place = await one.keep(1)
        self.assertTrue((await one.page(place)).recovered)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)

    async def test_reads_wait_for_the_witness(self) -> None:
        """Nothing is claimed to be all there before whoever may know better has spoken; a push need not wait."""
        one = await self.member()
        place = await one.keep(1)
        slow = AwayWitness(1)
        slow.note(0, [Sighting("7ffffffffff0000", "abcd", 9)])
        two = await self.member(witness=slow, opened=True)
        reading = Deferred.fromCoroutine(two.page(place))
        self.assertEqual((await two.keep(2)).epoch, place.epoch)
        self.assertFalse(reading.called)
        self.assertFalse((await reading).recovered)
        self.assertEqual(two.losses, {("lost",): 1})

    async def test_reads_do_not_wait_for_long(self) -> None:
        """A witness that stays away makes them unavailable; so does an end."""
        one = await self.member(witness=AwayWitness(1000), opened=True)
        await one.keep(1)
        reading = [Deferred.fromCoroutine(one.page(Place(0, "e"))) for _ in range(2)]
        for each in reading:
            with self.assertRaisesRegex(TimelineUnavailable, "not known yet"):
                await each
        closing = Deferred.fromCoroutine(one.page(Place(0, "e")))
        await one.store.close()
        with self.assertRaisesRegex(TimelineUnavailable, "stopping"):
            await closing
        self.assertEqual(one.store._waiting, [])

    async def test_closing_ends_it(self) -> None:
        """Nothing goes on behind the caller's back."""
        one = await self.member(partitions=4, witness=AwayWitness(1000))
        await one.store.open()
        await one.store.close()
        await self.restart()
        await self.until(lambda: one.link.trouble() is None)
        self.assertIsNone(one.store._looking)

    async def test_scripts_of_two_runs_at_once(self) -> None:
        """Calls that are under way together while the run changes: one tenure begins, and nobody proves a loss."""
        one, two = await self.member(), await self.member()
        place = await one.keep(1)
        await self.restart()
        calls = [Deferred.fromCoroutine(each.keep(id)) for id, each in enumerate((one, two) * 10, 2)]
        epochs = {(await call).epoch for call in calls}
        self.assertEqual((epochs, one.losses, two.losses), ({place.epoch}, {}, {}))


class AwayWitness(WitnessMemory):
    """Cannot be asked so often."""

    def __init__(self, away: int, error: Exception = Unavailable("away")) -> None:  # noqa: B008  (a value)
        super().__init__()
        self.away = away
        self.error = error

    def recall(self) -> Awaitable[dict[int, tuple[Sighting, ...]]]:  # type: ignore[override]  # it counts at once
        self.away -= 1
        if self.away >= 0:
            raise self.error
        return super().recall()  # type: ignore[return-value]


def room_in(partition: int, partitions: int) -> str:
    """A room whose timeline is there."""
    return next(f"chat://{n}" for n in range(1000) if partition_of(f"chat://{n}", partitions) == partition)
