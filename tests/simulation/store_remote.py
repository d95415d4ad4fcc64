"""Broker, timelines and traces, as one process sees them."""

from collections import defaultdict
from collections.abc import Sequence
from struct import pack, unpack
from typing import Any, cast

from twisted.internet.defer import Deferred

from imd.backend.redis_appender import RedisAppender
from imd.backend.redis_partitions import gather
from imd.errors import BrokerUnavailable, TimelineUnavailable
from imd.interfaces import Backlog, Entry, Receipt, Swept, Totals
from imd.metrics import Metrics
from imd.protocol.push import Push
from imd.protocol.rpc import Ack, Follow, Page
from imd.protocol.trace import Hop
from tests.simulation.append_store import AppendStore
from tests.simulation.store import Store, Stored, StoreLink
from tests.simulation.world import Process


class RemoteBroker:
    """:class:`imd.interfaces.Broker` of one process."""

    def __init__(self, link: StoreLink, metrics: Metrics) -> None:
        self._metrics = metrics
        self.partitions = link.store.broker.partitions
        self._link = link
        self._store: Store = link.store
        self._process: Process = link.process
        self._handed_out: dict[int, set[int]] = {}  # partition -> numbers that were read and are not committed
        unused = cast(Any, None)
        self._appenders = [
            RedisAppender(
                store=cast(Any, AppendStore(link)),
                role=unused,
                script=unused,
                partition=number,
                idempotency_ms=1,
                metrics=metrics,
                length_seen=lambda partition, length: None,
            )
            for number in range(self.partitions)
        ]
        metrics.offering.read = lambda: sum(each.pending for each in self._appenders)

    async def publish(self, pushes: Sequence[tuple[int, Push]]) -> list[Receipt]:
        """As imd's broker in Redis shares them out."""
        places: defaultdict[int, list[int]] = defaultdict(list)
        for place, (partition, _) in enumerate(pushes):
            places[partition].append(place)
        answers = await gather(
            [self._appenders[number].append([pushes[each][1] for each in some]) for number, some in places.items()]
        )
        receipts: dict[int, Receipt] = {}
        for some, answer in zip(places.values(), answers, strict=True):
            receipts.update(zip(some, answer, strict=True))
        return [receipts[place] for place in range(len(pushes))]

    async def rewind(self, partition: int) -> int:
        fence = await self._link.call(f"rewind {partition}", lambda: self._store.rewind(partition), BrokerUnavailable)
        self._handed_out[partition] = set()
        return fence

    async def commit(self, partition: int, tokens: Sequence[bytes], fence: int = 0) -> None:
        numbers = [unpack(">Q", token)[0] for token in tokens]
        words = f"commit {partition}: {numbers}"
        await self._link.call(words, lambda: self._store.commit(partition, tokens, fence), BrokerUnavailable)
        self._metrics.committed.add(len(tokens))
        self._handed_out[partition].difference_update(numbers)

    async def backlog(self) -> Backlog:
        return await self._link.call("backlog", self._store.broker.backlog, BrokerUnavailable)

    async def read(self, partition: int, limit: int, wait_seconds: float) -> list[Entry]:
        entries: list[Stored] = []
        ends = self._process.seconds() + wait_seconds
        while True:
            # a reader's connection is its own, and tells nobody what was seen
            entries = await self._store.product.call(
                self._process, "read", lambda: self._after(partition, limit), BrokerUnavailable
            )
            left = ends - self._process.seconds()
            if entries or left <= 0:
                break
            await self._arrival(partition, left)
        for entry in entries:
            entry.handed_out.append(self._process.name)
            self._handed_out[partition].add(entry.number)
        return [Entry(pack(">Q", entry.number), entry.push, entry.places) for entry in entries]

    async def _after(self, partition: int, limit: int) -> list[Stored]:
        return self._store.after(partition, self._handed_out[partition], limit)

    async def _arrival(self, partition: int, seconds: float) -> None:
        if self._store.after(partition, self._handed_out[partition], 1):
            return
        arrived: Deferred[None] = Deferred()

        def wake() -> None:
            if not arrived.called:
                arrived.callback(None)

        timer = self._process.callLater(seconds, wake)
        self._store.wait(partition, lambda: self._process.post(wake))
        try:
            await arrived
        finally:
            if timer.active():
                timer.cancel()


class RemoteTimelines:
    """:class:`imd.interfaces.Timelines` of one process."""

    def __init__(self, link: StoreLink) -> None:
        self._link = link
        self._store = link.store

    async def read(self, follows: Sequence[Follow]) -> list[Page]:
        asked = " ".join(f"{each.timeline}>{each.after}" for each in follows)
        return await self._link.call(f"pages {asked}", lambda: self._store.timelines.read(follows), TimelineUnavailable)

    async def ack(self, acks: Sequence[Ack]) -> None:
        words = f"ack {' '.join(f'{each.timeline}/{each.device}:{each.seq}' for each in acks)}"
        await self._link.call(words, lambda: self._store.timelines.ack(acks), TimelineUnavailable)

    async def positions(self, timeline: str) -> dict[str, int]:
        return await self._link.call(
            "positions", lambda: self._store.timelines.positions(timeline), TimelineUnavailable
        )

    async def sweep(self, partition: int, limit: int) -> Swept:
        swept = await self._link.call("sweep", lambda: self._store.sweep(partition, limit), TimelineUnavailable)
        assert isinstance(swept, Swept)
        return swept

    async def totals(self) -> Totals:
        return await self._link.call("totals", self._store.timelines.totals, TimelineUnavailable)


class RemoteTraces:
    """:class:`imd.interfaces.Traces` of one process."""

    def __init__(self, link: StoreLink) -> None:
        self._link = link
        self._store = link.store

    async def note(self, hops: Sequence[tuple[int, Hop]]) -> None:
        await self._link.call("trace", lambda: self._store.traces.note(hops))

    async def acked(self, acks: Sequence[Ack], at_ms: int, process: str) -> None:
        await self._link.call("trace", lambda: self._store.traces.acked(acks, at_ms, process))

    async def read(self, id: int) -> list[Hop]:
        return await self._link.call("trace", lambda: self._store.traces.read(id))
