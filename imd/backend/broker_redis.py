"""The broker in Redis: a stream a partition, which holds what was published and not committed."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from imd.backend.publication import count_refused
from imd.backend.redis import RedisLink
from imd.backend.redis_appender import CHUNK, RedisAppender, places_of
from imd.backend.redis_connection import Argument
from imd.backend.redis_cursor import RedisCursor
from imd.backend.redis_partitions import RedisPartitions, gather
from imd.backend.redis_role import RedisRole
from imd.backend.redis_script import load_script
from imd.errors import BrokerUnavailable, ConfigError, Fenced, ImdError, Overloaded
from imd.interfaces import Backlog, Clock, Entry, Receipt
from imd.metrics import Metrics
from imd.protocol.push import Push, load

COUNTED_SECONDS = 0.25  # how long a partition's length is believed that was not seen by publishing there


class BrokerRedis:
    """``<prefix>:{<partition>}:pushes`` is a stream of one push an entry; ``<prefix>:{<partition>}:idem:<key>`` remembers
    the first use of an idempotency key. All keys of a partition share their hash tag: one script can change them together.

    *What "accepted" means* is Redis' own promise. With ``appendonly yes`` an answer says that the push is in the log of the
    operating system: it outlives a crash of Redis. ``appendfsync everysec`` loses up to two seconds of accepted pushes when
    the machine dies, ``always`` none. Without the log all since the last snapshot is lost with Redis. Replicas follow behind:
    a failover may lose what they had not got; ``min-replicas-to-write`` narrows that.

    A publish that ends in BrokerUnavailable may have been stored. Whoever repeats it, as an HTTP client does after a
    timeout, publishes it twice unless it has an idempotency key.

    A partition has one owner, so its reader holds its own place (:class:`RedisCursor`) and committing deletes: the first
    entry of a stream is the first that was not committed, the length is the backlog, and memory comes back. With a consumer
    group an owner that is gone, and still blocked in a read, takes entries with it (docs/decisions/0001).

    ``<prefix>:partitions`` keeps their number, as the first process said it. A push in a partition that nobody reads would
    be lost in silence: so a process with another number cannot open. When Redis was away then, the first call that
    reaches it fails, and ``refused`` is told. To change the number, empty the broker, stop every process, delete the key.

    Measured, µs of Redis' CPU for each push of 100 bytes, live and kept: 45 and 87 one by one, 4.4 and 15 a hundred a call (to
    one room 2.9 and 8.2), 6.2 for each member of a kept push to 500. So what comes while a call is under way goes together in
    the next (:class:`imd.backend.redis_appender.RedisAppender`, docs/decisions/0023). Committing a hundred
    costs 1.4 each, one alone 31: the fence, the counts and the witness, where XDEL alone would cost 1.0 and 11.

    ``max_backlog_entries`` counts over all partitions, and is held within what others publish in a quarter of a second;
    a publish that would pass it is refused whole. An idempotency key is remembered for ``idempotency_seconds`` from its
    first use. The link is opened and closed by whoever made it.
    """

    __slots__ = (
        "_agreed",
        "_appenders",
        "_at_door",
        "_clock",
        "_commit",
        "_counted_at",
        "_counting",
        "_cursors",
        "_fences",
        "_kept",
        "_lengths",
        "_link",
        "_log",
        "_max_backlog_entries",
        "_metrics",
        "_open",
        "_prefix",
        "_refused",
        "_rewind",
        "_role",
        "_store",
        "_tried",
        "_under_way",
        "partitions",
    )

    def __init__(
        self,
        *,
        link: RedisLink,
        store: RedisPartitions,
        clock: Clock,
        metrics: Metrics,
        prefix: str = "imd",
        max_backlog_entries: int = 1_000_000,
        idempotency_seconds: float = 86_400.0,
        refused: Callable[[ImdError], None] = lambda error: None,
    ) -> None:
        self.partitions = partitions = store.number
        self._store = store
        self._refused = refused  # told that this process must not go on
        self._agreed = False  # Redis has said that our number is everybody's
        self._link = link
        self._clock = clock
        self._metrics = metrics
        self._role = RedisRole(link=link, clock=clock, metrics=metrics, name="broker", unavailable=BrokerUnavailable)
        self._prefix = prefix
        self._max_backlog_entries = max_backlog_entries
        self._lengths = [0] * partitions  # of the streams, as seen last
        self._counted_at = float("-inf")  # when all of them were seen last, on the clock
        self._counting: list[Deferred[None]] = []  # who waits for that; not empty while it is found out
        self._under_way = 0  # pushes of ours that may be in the streams or not
        self._at_door = 0  # pushes that wait to hear whether there is room for them
        self._cursors = [RedisCursor(link=link, stream=self._stream(number)) for number in range(partitions)]
        publish = load_script("era", "timeline", "publish")
        self._appenders = [
            RedisAppender(
                store=store,
                role=self._role,
                script=publish,
                partition=number,
                idempotency_ms=max(1, int(idempotency_seconds * 1000)),
                metrics=metrics,
                length_seen=self._length_seen,
            )
            for number in range(partitions)
        ]
        metrics.offering.read = lambda: self._at_door + sum(each.pending for each in self._appenders)
        self._rewind = load_script("era", "rewind")
        self._commit = load_script("era", "commit")
        self._kept = load_script("partitions")
        self._tried: list[set[bytes]] = [set() for _ in range(partitions)]  # tokens whose deletion was not answered
        self._fences = [0] * partitions  # the last that each rewind here got: a Redis may come that knows of none
        self._open = False
        self._log = Logger()

    async def open(self) -> None:
        """Accept calls from now on. Streams come into being with their first push.

        Raises :class:`ConfigError` when the broker has another number of partitions.
        """
        with suppress(BrokerUnavailable):  # the first call that reaches Redis asks again
            await self._agree()
        self._open = True

    async def close(self) -> None:
        """Refuse calls from now on; a waiting ``read`` raises."""
        self._open = False
        for cursor in self._cursors:
            cursor.release("the broker is closed")

    def trouble(self) -> str | None:
        """The link's, while open."""
        return self._link.trouble() if self._open else "the broker is closed"

    async def publish(self, pushes: Sequence[tuple[int, Push]]) -> list[Receipt]:
        """See :class:`imd.interfaces.Broker`. Atomic for up to ``CHUNK`` pushes to one partition, and not beyond."""
        try:
            self._check()
            if not pushes:
                return []
            await self._make_room(len(pushes))
        except Exception as error:  # whatever it was, they are not stored, and that is counted
            count_refused(self._metrics, len(pushes), error)
            raise
        try:
            return await self._store_shares(pushes)
        finally:
            self._under_way -= len(pushes)

    async def _store_shares(self, pushes: Sequence[tuple[int, Push]]) -> list[Receipt]:
        shares: defaultdict[int, list[int]] = defaultdict(list)
        for place, (partition, _) in enumerate(pushes):
            shares[partition].append(place)
        work = [
            self._appenders[partition].append([pushes[place][1] for place in places])
            for partition, places in shares.items()
        ]
        receipts: dict[int, Receipt] = {}
        for places, answer in zip(shares.values(), await gather(work), strict=True):
            receipts.update(zip(places, answer, strict=True))
        return [receipts[place] for place in range(len(pushes))]

    def _length_seen(self, partition: int, length: int) -> None:
        self._lengths[partition] = length

    async def rewind(self, partition: int) -> int:
        """See :class:`imd.interfaces.Broker`. The fence is Redis' time in ms, or one more than the last."""
        self._check()
        (fence,) = await self._store.run(self._role, "rewind", self._rewind, partition, [self._fences[partition]])
        self._fences[partition] = int(fence)
        self._cursors[partition].rewind()
        self._tried[partition].clear()
        return int(fence)

    async def read(self, partition: int, limit: int, wait_seconds: float) -> list[Entry]:
        """See :class:`imd.interfaces.Broker`. After a failed or cancelled call the next one goes on where it began."""
        self._check()
        if not self._agreed:
            await self._confirm()
        deadline = self._clock.seconds() + wait_seconds
        while True:
            left = max(0.0, deadline - self._clock.seconds())
            page = await self._role.told("read", self._cursors[partition].read(limit, left))
            entries, undecodable = _decode(page)
            if undecodable:
                self._log.warn(
                    "{count} entries of {stream} are no pushes", count=len(undecodable), stream=self._stream(partition)
                )
                await self.commit(partition, undecodable)
                self._metrics.drops.add(len(undecodable), "broker", "undecodable")
            if entries or not page:
                return entries

    async def commit(self, partition: int, tokens: Sequence[bytes], fence: int = 0) -> None:
        """See :class:`imd.interfaces.Broker`. Tokens that are unknown, or committed already, are ignored."""
        self._check()
        for start in range(0, len(tokens), CHUNK):
            page = tokens[start : start + CHUNK]
            await self._delete(partition, page, fence)
            self._cursors[partition].forget(page)

    async def _delete(self, partition: int, tokens: Sequence[bytes], fence: int) -> None:
        """Count what was there. When the answer to a first try was lost, the second cannot tell what that one deleted."""
        tried = self._tried[partition]
        known = not tried.intersection(tokens)
        tried.update(tokens)
        (deleted,) = await self._store.run(self._role, "commit", self._commit, partition, [fence, *tokens])
        tried.difference_update(tokens)
        if deleted < 0:
            raise Fenced(f"partition {partition} of the broker has a newer owner than {fence}")
        self._metrics.committed.add(deleted if known else len(tokens))

    async def backlog(self) -> Backlog:
        """See :class:`imd.interfaces.Broker`. An entry's age counts from its push's ``at_ms``."""
        self._check()
        await self._counted()
        counts = await self._store.look(self._role, "backlog")
        firsts = await self._each("backlog", *(("XRANGE", stream, "-", "+", "COUNT", 1) for stream in self._streams()))
        ages = [_at_ms(entries[0]) for entries in firsts if entries]
        committed = sum(count[0] for count in counts)
        return Backlog(sum(self._lengths), min(ages, default=0), self._store.appended(), committed)

    def _check(self) -> None:
        if not self._open:
            raise BrokerUnavailable("the broker is closed")

    async def _agree(self) -> None:
        """Raises ConfigError when another number is kept."""
        key = f"{self._prefix}:partitions"
        kept = (await self._role.run("agree", self._kept, [self.partitions], [key])).decode("utf-8", "replace")
        self._agreed = kept == str(self.partitions)
        if not self._agreed:
            raise ConfigError(
                f"broker.partitions = {self.partitions}, but the broker in Redis was begun with {kept}: set {kept} everywhere, "
                f"or empty the broker, stop every process of imd and delete the key {key} in Redis"
            )

    async def _confirm(self) -> None:
        try:
            await self._agree()
        except ConfigError as error:
            self._refused(error)
            raise BrokerUnavailable(str(error)) from None

    def _stream(self, partition: int) -> str:
        return f"{self._store.base(partition)}:pushes"

    def _streams(self) -> list[str]:
        return [self._stream(number) for number in range(self.partitions)]

    async def _make_room(self, coming: int) -> None:
        """Refuse before anything is stored anywhere, or count ``coming`` as under way."""
        stale = self._clock.seconds() - self._counted_at >= COUNTED_SECONDS
        if stale or self._waiting() + coming > self._max_backlog_entries:
            self._at_door += coming
            try:
                await self._counted()
            finally:
                self._at_door -= coming
            if self._waiting() + coming > self._max_backlog_entries:
                raise Overloaded(
                    f"{self._waiting()} pushes wait in the broker, its limit is {self._max_backlog_entries}"
                )
        self._under_way += coming

    def _waiting(self) -> int:
        return sum(self._lengths) + self._under_way

    async def _counted(self) -> None:
        """Know the length of every stream as of now.

        Calls that come while it is found out wait for the same answer, and go on in the order in which they came.
        """
        waiter: Deferred[None] = Deferred()
        self._counting.append(waiter)
        if len(self._counting) == 1:
            Deferred.fromCoroutine(self._count()).addBoth(self._tell_counted)
        await waiter

    async def _count(self) -> None:
        await self._confirm()  # Redis may be another one by now, or emptied
        self._lengths = await self._each("count", *(("XLEN", stream) for stream in self._streams()))
        self._counted_at = self._clock.seconds()

    def _tell_counted(self, outcome: Failure | None) -> None:
        waiters, self._counting = self._counting, []
        for waiter in waiters:
            if outcome is None:
                waiter.callback(None)
            else:
                waiter.errback(outcome)

    async def _each(self, call: str, *commands: tuple[Argument, ...]) -> list[Any]:
        """The answers to commands that are under way together."""
        return await gather([Deferred.fromCoroutine(self._role.command(call, *command)) for command in commands])


def _decode(page: list[Any]) -> tuple[list[Entry], list[bytes]]:
    """(entries, tokens of what is no push)."""
    entries: list[Entry] = []
    undecodable: list[bytes] = []
    for token, fields in page:
        try:
            entries.append(Entry(token, load(fields[1]), places_of(fields[3]) if len(fields) > 3 else ()))
        except msgspec.DecodeError:
            undecodable.append(token)
    return entries, undecodable


def _at_ms(entry: Any) -> int:
    """When its push was accepted; when it is no push, when Redis appended it (what a stream's ids begin with)."""
    token, fields = entry
    try:
        return load(fields[1]).at_ms
    except msgspec.DecodeError:
        return int(token.partition(b"-")[0])
