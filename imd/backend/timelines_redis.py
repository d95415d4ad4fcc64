"""Timelines in Redis: a list and a head each, in the partition where pushes to them are published."""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgspec
from twisted.internet.defer import Deferred

from imd.backend.redis import RedisLink
from imd.backend.redis_connection import Argument
from imd.backend.redis_partitions import RedisPartitions, gather
from imd.backend.redis_role import RedisRole
from imd.backend.redis_script import RedisScript, load_script
from imd.backend.timelines import DEVICES, PAGE_BYTES
from imd.errors import TimelineUnavailable, Unavailable
from imd.interfaces import Clock, Swept, Totals
from imd.metrics import Metrics
from imd.protocol.push import partition_of
from imd.protocol.rpc import Ack, Follow, Page
from imd.protocol.timeline import Message, Place, load, target_of

CHUNK = 500  # follows or acks a call: up to 3 ms, in which Redis does nothing else
MESSAGE_BYTES = 32  # beside its body


class TimelinesRedis:
    """See :class:`imd.interfaces.Timelines`; what is where is said in ``lua/timeline.lua``.

    The messages of a timeline are a list of what :func:`imd.protocol.timeline.dump` makes: seqs have no holes, so the place
    in the list says the seq. It has no expiry: sweeps let go of it, and count. Nothing piles up when nobody sweeps, for then no
    job takes pushes either, and the broker soon refuses new ones. A head is stored for ``head_seconds`` after it was touched
    last, or a tenth less, and at least as long as its messages are good. Positions are of at most ``DEVICES`` devices.

    Measured (Redis 7.0, one of 2 busy cores; ratios count): 5.6 µs of Redis for each of 1,000 heads read in a call, 13.5 with
    seven messages each; 7.5 an ack; 0.62 KB for an inbox with one message of 100 bytes, 1.7 with ten, 13.8 with a hundred, 0.16
    for the head of an empty one, 0.19 for the first device's position.

    Times are Redis' own. The link, and the partitions, are opened and closed by whoever made them.
    """

    __slots__ = ("_ack", "_metrics", "_positions", "_read", "_role", "_store", "_sweep")

    def __init__(self, *, link: RedisLink, store: RedisPartitions, clock: Clock, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics
        self._role = RedisRole(
            link=link, clock=clock, metrics=metrics, name="timelines", unavailable=TimelineUnavailable
        )
        self._read = _script("read")
        self._ack = _script("ack")
        self._positions = _script("positions")
        self._sweep = _script("sweep")

    async def read(self, follows: Sequence[Follow]) -> list[Page]:
        """See :class:`imd.interfaces.Timelines`. One script a partition, all under way together; none before the witness of
        the store has spoken."""
        try:
            await self._store.recalled()
        except Unavailable as error:
            raise TimelineUnavailable(str(error)) from error
        shares = self._shares([follow.timeline for follow in follows])
        work = [
            Deferred.fromCoroutine(self._read_share(partition, [follows[number] for number in share], len(follows)))
            for partition, share in shares
        ]
        answers = await gather(work)
        pages: list[Page | None] = [None] * len(follows)
        for (_, share), answer in zip(shares, answers, strict=True):
            for number, page in zip(share, answer, strict=True):
                pages[number] = page
        return _bounded([page for page in pages if page is not None])

    async def _read_share(self, partition: int, follows: Sequence[Follow], of: int) -> list[Page]:
        arguments: list[Argument] = [PAGE_BYTES * len(follows) // of]
        for follow in follows:
            arguments += follow.timeline, follow.after, follow.epoch, follow.limit, int(follow.witnessed)
        answer = await self._store.run(self._role, "read", self._read, partition, arguments)
        return [self._page(follow, found) for follow, found in zip(follows, answer, strict=True)]

    def _page(self, follow: Follow, found: list[Any]) -> Page:
        """A message that cannot be decoded is left out, and its page proves nothing: its neighbours come through."""
        seq, epoch, recovered, more, first, stored = found
        messages: list[Message] = []
        for number, data in enumerate(stored):
            with suppress(msgspec.DecodeError):
                messages.append(load(first + number, data))
        if undecodable := len(stored) - len(messages):
            self._metrics.drops.add(undecodable, "timeline", "undecodable")
        whole = bool(recovered) and not undecodable
        return Page(follow.timeline, Place(seq, epoch.decode()), whole, tuple(messages), bool(more))

    async def ack(self, acks: Sequence[Ack]) -> None:
        """See :class:`imd.interfaces.Timelines`."""
        work = []
        for partition, share in self._shares([ack.timeline for ack in acks]):
            arguments: list[Argument] = [DEVICES]
            for ack in (acks[number] for number in share):
                arguments += ack.timeline, ack.device, ack.seq, ack.epoch
            work.append(Deferred.fromCoroutine(self._store.run(self._role, "ack", self._ack, partition, arguments)))
        for counts in await gather(work):
            for count, outcome in zip(counts, ("moved", "repeated", "stale", "beyond"), strict=True):
                if count:
                    self._metrics.positions.add(count, outcome)

    async def positions(self, timeline: str) -> dict[str, int]:
        """See :class:`imd.interfaces.Timelines`."""
        partition = self._partition(timeline)
        (fields,) = await self._store.run(self._role, "positions", self._positions, partition, [timeline])
        found = [
            (device.decode("utf-8", "replace"), *map(int, value.split()))
            for device, value in zip(fields[::2], fields[1::2], strict=True)
            if device
        ]
        found.sort(key=lambda each: -each[2])  # by turn: the last one first
        return {device: seq for device, seq, _ in found[:DEVICES]}

    async def sweep(self, partition: int, limit: int) -> Swept:
        """See :class:`imd.interfaces.Timelines`. At most ``CHUNK`` timelines a call, whatever the limit."""
        answer = await self._store.run(self._role, "sweep", self._sweep, partition, [min(limit, CHUNK)])
        more, acked, expired = answer
        return Swept(acked, expired, bool(more))

    async def totals(self) -> Totals:
        """See :class:`imd.interfaces.Timelines`. Counted by the scripts that append and let go; ``held`` by the lengths of the
        lists, so that a message which vanished otherwise is missing there as soon as anybody comes to its timeline."""
        counts = await self._store.look(self._role, "totals")
        return Totals(*(sum(count[place] for count in counts) for place in range(1, 5)))

    def _partition(self, timeline: str) -> int:
        return partition_of(target_of(timeline), self._store.number)

    def _shares(self, timelines: Sequence[str]) -> list[tuple[int, list[int]]]:
        """(partition, places in ``timelines``), at most ``CHUNK`` each."""
        groups: defaultdict[int, list[int]] = defaultdict(list)
        for number, timeline in enumerate(timelines):
            groups[self._partition(timeline)].append(number)
        return [
            (partition, group[start : start + CHUNK])
            for partition, group in groups.items()
            for start in range(0, len(group), CHUNK)
        ]


def _script(name: str) -> RedisScript:
    return load_script("era", "timeline", name)


def _bounded(pages: list[Page]) -> list[Page]:
    """Each partition answered some messages at least: what is too much of them all together is left for the next call."""
    left = PAGE_BYTES
    for number, page in enumerate(pages):
        if left <= 0 and page.messages:
            pages[number] = msgspec.structs.replace(page, messages=(), more=True)
        else:
            left -= sum(len(message.body) + MESSAGE_BYTES for message in page.messages)
    return pages
