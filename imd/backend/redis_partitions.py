"""The partitions of the store in Redis. A script of one goes through here, and brings along what this process has seen."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.defer import TimeoutError as TimedOut
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from imd.backend.redis import RedisLink
from imd.backend.redis_connection import Argument
from imd.backend.redis_role import RedisRole
from imd.backend.redis_script import RedisScript, load_script
from imd.backend.sightings import Sightings
from imd.backend.timelines import HEAD_SECONDS
from imd.errors import Unavailable
from imd.interfaces import Clock, Sighting, Witness
from imd.metrics import Metrics

RECALL_SECONDS = 0.5  # between two tries to reach the witness
WAIT_SECONDS = 2.0  # of a call that must know what the witness says


class RedisPartitions:
    """One a process and store, shared by :class:`imd.backend.broker_redis.BrokerRedis` and
    :class:`imd.backend.timelines_redis.TimelinesRedis`.

    Each script begins with ``lua/era.lua``, which compares what its caller has seen of the partition with what is there. When
    something is missing the store was emptied or went back, and all timelines of the partition get another epoch: once a loss,
    whoever comes first. A Redis that was restarted, or a replica that took its place, and has everything, changes nothing.

    So each process tells what it has seen with every call; besides, whenever it reaches another run of Redis, and whenever a
    loss was found, it looks at all partitions at once, so that also what nobody asks for just now is found out soon. Each
    partition is judged by itself: one of which nothing is missing keeps its epoch, though another of the same Redis lost some.
    ``witness`` remembers what was seen for a time when no process runs; None = only while one does.

    Keys of a partition begin with :meth:`base`; they share its hash tag. See docs/decisions/0013.
    """

    __slots__ = (
        "_clock",
        "_head_ms",
        "_link",
        "_log",
        "_look",
        "_looking",
        "_make_token",
        "_metrics",
        "_open",
        "_prefix",
        "_recalled",
        "_recalling",
        "_role",
        "_seen",
        "_unlisten",
        "_waiting",
        "_wanted_again",
        "_witness",
        "number",
    )

    def __init__(
        self,
        *,
        link: RedisLink,
        clock: Clock,
        metrics: Metrics,
        partitions: int,
        make_token: Callable[[], str],
        prefix: str = "imd",
        head_seconds: float = HEAD_SECONDS,
        witness: Witness | None = None,
    ) -> None:
        self.number = partitions
        self._link = link
        self._clock = clock
        self._metrics = metrics
        self._role = RedisRole(link=link, clock=clock, metrics=metrics, name="partitions", unavailable=Unavailable)
        self._make_token = make_token  # 12 random hex digits, others each time
        self._prefix = prefix
        self._head_ms = max(1, round(head_seconds * 1000))  # how long the head of an empty timeline is kept
        self._witness = witness
        self._seen = [Sightings() for _ in range(partitions)]
        self._look = load_script("era", "look")
        self._open = False
        self._recalling: Deferred[None] | None = None  # None without a witness
        self._recalled = False  # before that, a note would wipe out what is to be recalled
        self._waiting: list[Deferred[None]] = []  # calls that wait for it
        self._looking: Deferred[None] | None = None  # while all partitions are being looked at
        self._wanted_again = False  # something new has happened meanwhile
        self._unlisten: Callable[[], None] = lambda: None
        self._log = Logger()

    # a Resource

    async def open(self) -> None:
        """Begin to recall what was seen before, and to look. What is away is asked again until it answers."""
        self._open = True
        self._unlisten = self._link.listen(self.look_soon)
        if self._witness is not None:
            self._recalling = Deferred.fromCoroutine(self._recall(self._witness))
            self._recalling.addErrback(self._failed, "recalling what was seen of the store failed")
        if self._link.trouble() is None:
            self.look_soon()

    async def close(self) -> None:
        """End what is under way."""
        self._open = False
        self._unlisten()
        for work in (self._recalling, self._looking):
            if work is not None:
                work.cancel()
        for waiting in tuple(self._waiting):
            waiting.errback(Unavailable("this process is stopping"))

    def trouble(self) -> str | None:
        """None: that Redis is away is said by its link."""
        return None

    # calls

    def base(self, partition: int) -> str:
        """What all keys of the partition begin with."""
        return f"{self._prefix}:{{{partition}}}"

    async def run(
        self,
        role: RedisRole,
        call: str,
        script: RedisScript,
        partition: int,
        arguments: Sequence[Argument] = (),
        *,
        in_order: bool = False,
    ) -> list[Any]:
        """What a script that begins with ``era`` returns. With ``in_order``, a partition's calls come one after the other."""
        seen = self._seen[partition]
        told = seen.told()
        ours = (self.base(partition), self._make_token(), self._head_ms, told, *arguments)
        lane = partition if in_order else None
        news, *answer = await role.run(call, script, ours, lane=lane, tell_run=True)
        self._learn(partition, told, news)
        return list(answer)

    async def recalled(self) -> None:
        """When it returns, every script tells also what was seen before this process began: only then is it proven that nothing
        is missing. Raises :class:`Unavailable` when the witness does not say so soon."""
        if self._recalling is None or self._recalled:
            return
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        waiting.addTimeout(WAIT_SECONDS, cast(IReactorTime, self._clock))
        try:
            await waiting
        except TimedOut:
            raise Unavailable("what was seen of the store before is not known yet") from None
        finally:
            self._waiting.remove(waiting)

    async def look(self, role: RedisRole, call: str) -> list[list[int]]:
        """[committed, kept, held, acked, expired] of each partition since it began, and what it has seen."""
        work = [Deferred.fromCoroutine(self.run(role, call, self._look, number)) for number in range(self.number)]
        return await gather(work)

    def appended(self) -> int:
        """Pushes appended to all partitions since they began, as seen last."""
        return sum(seen.appended for seen in self._seen)

    def look_soon(self) -> None:
        """Compare every partition with what was seen, after whatever is under way."""
        if self._looking is not None:
            self._wanted_again = True
        elif self._open:
            self._wanted_again = False
            self._looking = Deferred.fromCoroutine(self._look_at_all())
            self._looking.addErrback(self._failed, "looking at the partitions of the store failed")
            if self._looking.called:
                self._looking = None

    async def _look_at_all(self) -> None:
        try:
            with suppress(Unavailable):  # it is looked at again when it is back
                await self.look(self._role, "look")
        finally:
            self._looking = None
        if self._wanted_again:
            self.look_soon()

    async def _recall(self, witness: Witness) -> None:
        while True:
            try:
                recalled = await witness.recall()
                break
            except Unavailable:
                pass
            except CancelledError:
                raise
            except Exception:  # a bug there must not keep timelines from being read for ever
                self._log.failure("recalling what was seen of the store failed")
            await deferLater(cast(IReactorTime, self._clock), RECALL_SECONDS)
        for partition, sightings in recalled.items():
            if 0 <= partition < self.number:
                self._seen[partition].recall(sightings)
        self._recalled = True
        for waiting in tuple(self._waiting):
            waiting.callback(None)
        for partition, seen in enumerate(self._seen):
            witness.note(partition, seen.all())
        self.look_soon()

    def _failed(self, failure: Failure, what: str) -> None:
        if not failure.check(CancelledError):
            self._log.failure("{what}", failure, what=what)

    def _learn(self, partition: int, told: str, news: list[Any]) -> None:
        epoch, tenure, appended, why, kept, acked, expired = news
        seen = self._seen[partition]
        changed = seen.learn(told, Sighting(epoch.decode(), tenure.decode(), appended))
        metrics = self._metrics
        for count, counter, labels in (
            (kept, metrics.messages_kept, ()),
            (acked, metrics.messages_gone, ("acked",)),
            (expired, metrics.messages_gone, ("expired",)),
        ):
            if count:
                counter.add(count, *labels)
        if why and (told or why != b"empty"):
            self._tell_loss(partition, why.decode())
        if changed and self._recalled and self._witness is not None:
            self._witness.note(partition, seen.all())

    def _tell_loss(self, partition: int, why: str) -> None:
        self._metrics.epochs.add(1, why)
        self._log.warn(
            "partition {partition} of the store has lost something ({why}): its timelines have a new epoch",
            partition=partition,
            why=why,
        )
        self.look_soon()


async def gather(work: list[Deferred[Any]]) -> list[Any]:
    """The answers in order, or the first failure: once all are over, so that nothing goes on behind the caller's back."""
    answers: list[Any] = []
    for done, outcome in await DeferredList(work, consumeErrors=True):
        if not done:
            outcome.raiseException()
        answers.append(outcome)
    return answers
