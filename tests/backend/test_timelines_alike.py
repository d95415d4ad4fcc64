"""Memory, SQLite and Redis say the same of the same pushes, reads, acks and sweeps, whatever their order."""

from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from random import Random
from time import time
from typing import TypeVar

from twisted.internet import reactor

from imd.backend.broker_memory import BrokerMemory
from imd.backend.broker_redis import BrokerRedis
from imd.backend.timelines_memory import TimelinesMemory
from imd.backend.timelines_redis import TimelinesRedis
from imd.interfaces import Receipt
from imd.metrics import Metrics
from imd.protocol.push import Push, Target
from imd.protocol.rpc import Ack, Follow, Page
from imd.protocol.timeline import inbox_timeline, room_timeline
from tests.contract.broker import PARTITIONS
from tests.contract.timelines import MINUTE_MS, Store, neighbours, partition
from tests.support.redis_case import RedisCase, redis_store
from tests.support.sqlite_store import SqliteStore

HOUR_MS = 60 * MINUTE_MS
DAYS = 1_000_000.0  # seconds: longer than anything here
SEEDS = range(8)
STEPS = 100

Epochs = tuple[str, ...]  # one a store: what each calls the same numbering
UNKNOWN: Epochs = ("", "", "")
A = TypeVar("A")


class TimelinesAlikeTests(RedisCase):
    """Of one partition, for what is lost is lost to the others of it. Times are hours ago: none is due while a test runs."""

    async def test_they_agree(self) -> None:
        """On places, pages, positions and totals; and on which numberings are one."""
        for seed in SEEDS:
            self.server.command("FLUSHALL")
            await self.begin(seed)
            for self.step in range(STEPS):
                await self.random.choices((self.publish, self.read, self.ack, self.sweep), weights=(45, 30, 17, 8))[0]()
                totals = await self.each(lambda store, _: store.timelines.totals())
                self.agree(totals)
                counted = [
                    (metrics.messages_kept.value(), *map(metrics.messages_gone.value, ("acked", "expired")))
                    for metrics in self.metrics
                ]
                self.agree([*counted, (totals[0].kept, totals[0].acked, totals[0].expired)])
                self.agree([dict(metrics.positions.values) for metrics in self.metrics])

    async def begin(self, seed: int) -> None:
        """Three empty stores."""
        self.seed, self.random = seed, Random(seed)
        self.metrics = [Metrics() for _ in range(3)]
        self.stores = [self.memory(), await self.sqlite(), await self.redis()]
        for store in self.stores:
            await store.broker.open()
        self.mids = neighbours(4)
        all_rooms = (f"chat://{number}" for number in range(1000))
        self.rooms = [room for room in all_rooms if partition(room_timeline(room)) == 1][:3]
        self.names = [*map(room_timeline, self.rooms), *map(inbox_timeline, self.mids)]
        self.epochs: dict[str, list[Epochs]] = {name: [UNKNOWN] for name in self.names}  # as seen, the latest last
        self.timelines: dict[int, tuple[str, ...]] = {}  # push id -> where it is kept
        self.at_ms = _now_ms() - 10 * HOUR_MS

    def memory(self) -> Store:
        names = map(str, range(1000))
        timelines = TimelinesMemory(
            metrics=self.metrics[0], now_ms=_now_ms, make_epoch=lambda: next(names), head_seconds=DAYS
        )
        return Store(
            BrokerMemory(
                partitions=PARTITIONS,
                clock=reactor,
                metrics=self.metrics[0],
                timelines=timelines,
                now_ms=_now_ms,
            ),
            timelines,
        )

    async def sqlite(self) -> Store:
        path = Path(self.mktemp())
        path.mkdir(parents=True)
        store = SqliteStore(
            str(path / "imd.sqlite"),
            partitions=PARTITIONS,
            metrics=self.metrics[1],
            head_seconds=DAYS,
            idempotency_seconds=DAYS,
        )
        await store.open()
        self.addCleanup(self.later, store.close)
        return Store(store.broker, store.timelines)

    async def redis(self) -> Store:
        link, metrics = await self.make_link(), self.metrics[2]
        store = redis_store(link, PARTITIONS, metrics, head_seconds=DAYS)
        broker = BrokerRedis(link=link, store=store, clock=reactor, metrics=metrics)
        self.addCleanup(self.later, broker.close)
        return Store(broker, TimelinesRedis(link=link, store=store, clock=reactor, metrics=metrics))

    # what is done to all

    async def publish(self) -> None:
        """A few pushes in one call: their places."""
        pushes = [(1, self.push()) for _ in range(self.random.choice((1, 1, 1, 3, 8)))]
        self.timelines |= {push.id: push.timelines for _, push in pushes}
        receipts: list[list[Receipt]] = await self.each(lambda store, _: store.broker.publish(pushes))
        for alike in zip(*receipts, strict=True):
            self.agree([receipt._replace(places=()) for receipt in alike])
            for name, places in zip(
                self.timelines[alike[0].id], zip(*(one.places for one in alike), strict=True), strict=False
            ):
                self.agree([place.seq for place in places])
                self.same_epoch(name, (place.epoch for place in places))

    def push(self) -> Push:
        choice = self.random.choice
        self.at_ms += choice((0, 1, 1, 2)) * MINUTE_MS
        room = choice((*self.rooms, "", "", ""))
        return Push(
            1 + max(self.timelines, default=0) + self.random.randrange(1, 1000),
            self.at_ms,
            Target.ROOM if room else Target.MEMBERS,
            1000,
            bytes(choice((3, 100, 1000))),
            mids=() if room else tuple(self.random.sample(self.mids, choice((1, 2, 4)))),
            room=room,
            idempotency_key=choice(("", "", "", *"abcde")),
            keep_count=choice((0, 1, 3, 10, 100)),
            keep_ms=choice((1440, 1440, 570, 585)) * MINUTE_MS + MINUTE_MS // 2,  # due between two minutes
        )

    async def read(self) -> None:
        """Some timelines, from any place, a comet's word among them."""
        choice = self.random.choice
        asked = [
            (
                choice(self.names),
                choice((-1, 0, 0, 1, 3, 10, 30)),
                choice((0, 1, 5, 100)),
                choice((False,) * 9 + (True,)),
            )
            for _ in range(choice((1, 2, 4)))
        ]
        epochs = [choice(self.epochs[name][-3:]) for name, *_ in asked]
        pages: list[list[Page]] = await self.each(
            lambda store, number: store.timelines.read(
                [
                    Follow(name, after, epoch[number], limit, witnessed)
                    for (name, after, limit, witnessed), epoch in zip(asked, epochs, strict=True)
                ]
            )
        )
        for alike in zip(*pages, strict=True):
            self.agree([(page.head.seq, page.recovered, page.messages, page.more) for page in alike])
            self.same_epoch(alike[0].timeline, (page.head.epoch for page in alike))

    async def ack(self) -> None:
        """Of several devices, some of another numbering and some beyond the head."""
        name, choice = self.random.choice(self.names), self.random.choice
        acks = [
            (f"1:{choice('abc')}", self.random.randrange(1, 30), choice(self.epochs[name][-3:]))
            for _ in range(choice((1, 3)))
        ]
        await self.each(
            lambda store, number: store.timelines.ack(
                [Ack(name, device, seq, epochs[number]) for device, seq, epochs in acks]
            )
        )
        self.agree(await self.each(lambda store, _: store.timelines.positions(name)))

    async def sweep(self) -> None:
        """Until nothing is left to do."""

        async def swept(store: Store, _: int) -> None:
            for number in range(PARTITIONS):
                while (await store.timelines.sweep(number, 2)).more:
                    pass

        await self.each(swept)

    async def each(self, ask: Callable[[Store, int], Awaitable[A]]) -> list[A]:
        """What each store answers."""
        return [await ask(store, number) for number, store in enumerate(self.stores)]

    # what must hold

    def agree(self, answers: Iterable[object]) -> None:
        first, *others = answers
        for other in others:
            self.assertEqual(first, other, f"seed {self.seed}, step {self.step}")

    def same_epoch(self, name: str, epochs: Iterable[str]) -> None:
        """One store's epoch of a timeline changes when the others' do."""
        found = tuple(epochs)
        for known in self.epochs[name]:
            self.assertIn(sum(map(str.__eq__, known, found)), (0, 3), f"seed {self.seed}, step {self.step}: {found}")
        if found in self.epochs[name]:
            self.epochs[name].remove(found)
        self.epochs[name].append(found)


def _now_ms() -> int:
    return int(time() * 1000)
