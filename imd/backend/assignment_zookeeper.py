"""The broker's partitions shared among jobs by ZooKeeper."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import cast
from urllib.parse import quote

from kazoo.exceptions import NodeExistsError, NoNodeError
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from imd.backend.ephemeral_node import EphemeralNode
from imd.backend.partition_share import share
from imd.backend.watched_folder import WatchedFolder
from imd.backend.zookeeper_session import Link, ZookeeperSession
from imd.errors import RegistryUnavailable
from imd.interfaces import Reactor

RETRY_SECONDS = 0.5  # after a call that failed though the session is connected

_log = Logger()


class AssignmentZookeeper:
    """Jobs are nodes ``{prefix}/assignment/jobs/{id}``, what they own ``{prefix}/assignment/locks/{partition}``; all ephemeral.

    Every job computes its share from the list of jobs, gives up what is not in it (``changed`` first, then the lock), and
    takes what is, as soon as its lock is free. So a partition has one owner while sessions are what they say; the
    partitions of a job that died move when its session ends. A lost session gives up everything at once.

    While ZooKeeper is away a job keeps what it has: deliveries go on, and nobody else can take anything then. The price:
    a job that alone is cut off, for longer than its session lasts, shares its partitions with their new owners until it
    is back and hears of it; pushes may come twice or out of order then.

    kazoo's SetPartitioner was tried and refused. Each job that came made all the others release everything until the
    list had been calm for its ``time_boundary``; a server that restarted within a second stopped all jobs for three, for
    every lost connection is a release; a lost session ends it for good; and it blocks a thread.
    """

    __slots__ = (
        "_changed",
        "_id",
        "_jobs",
        "_lapsed",
        "_locked",
        "_locks",
        "_locks_path",
        "_member",
        "_owned",
        "_partitions",
        "_reactor",
        "_session",
        "_stale",
        "_turn",
        "_unlisten",
    )

    def __init__(
        self,
        *,
        session: ZookeeperSession,
        reactor: Reactor,
        id: str,
        partitions: int,
        prefix: str = "/imd",
        patience_seconds: float = 15.0,
    ) -> None:
        root = f"{prefix.rstrip('/')}/assignment"
        self._session = session
        self._reactor = reactor
        self._id = quote(id, safe="")  # as the folder of jobs spells it
        self._partitions = partitions
        self._locks_path = f"{root}/locks"
        self._member = EphemeralNode(
            session=session,
            reactor=reactor,
            path=f"{root}/jobs/{self._id}",
            data=b"",
            patience_seconds=patience_seconds,
            taken=self._be_taken,
        )
        self._jobs = WatchedFolder(
            session=session, reactor=reactor, path=f"{root}/jobs", changed=self._look, names_only=True
        )
        self._locks = WatchedFolder(
            session=session, reactor=reactor, path=self._locks_path, changed=self._look, names_only=True
        )
        self._changed: Callable[[frozenset[int]], Awaitable[None]] | None = None  # from start to stop
        self._owned: frozenset[int] = frozenset()  # what ``changed`` was told last
        self._locked: set[int] = set()  # whose locks are ours, or may be
        self._lapsed = False  # the session ended, and what was owned is not given up yet
        self._stale = False  # something happened that the turn has not looked at
        self._turn: Deferred[None] | None = None  # while it brings about what should be
        self._unlisten: Callable[[], None] | None = None  # from start to stop

    async def start(self, changed: Callable[[frozenset[int]], Awaitable[None]]) -> None:
        """See :class:`imd.interfaces.Assignment`. Does not wait until something is owned."""
        assert self._unlisten is None, "it has started"
        self._changed = changed
        self._unlisten = self._session.listen(self._link_changed)
        self._jobs.begin()
        self._locks.begin()
        entering = Deferred.fromCoroutine(self._member.enter())
        entering.addCallbacks(self._look, self._failed)

    async def stop(self) -> None:
        """See :class:`imd.interfaces.Assignment`. Everything is given up before it returns."""
        if self._unlisten is None:
            return
        self._unlisten()
        self._unlisten = None
        self._jobs.end()
        self._locks.end()
        if self._turn is not None:
            self._stale = False
            await self._turn
        await self._keep_only(frozenset())
        await self._member.leave()
        self._changed = None

    def trouble(self) -> str | None:
        """None while connected."""
        return self._session.trouble()

    def _be_taken(self) -> None:
        _log.error("zookeeper: another living job has the id {id}: give each its own", id=self._id)

    def _link_changed(self, link: Link) -> None:
        if link is Link.LOST:
            self._lapsed = True
            self._locked.clear()
        self._look()

    def _look(self, _: object = None) -> None:
        """Something changed: bring about what should be, one turn at a time."""
        self._stale = True
        if self._turn is None and self._unlisten is not None:
            turn = self._turn = Deferred.fromCoroutine(self._settle())
            turn.addErrback(self._failed)
            turn.addBoth(self._settled)

    def _failed(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            _log.failure("zookeeper: assigning partitions failed", failure)

    def _settled(self, _: object) -> None:
        self._turn = None

    async def _settle(self) -> None:
        while self._stale and self._unlisten is not None:
            self._stale = False
            if self._lapsed:
                self._lapsed = False
                await self._tell(frozenset())
            if not self._session.connected:
                continue
            try:
                wanted = share(self._jobs.nodes, self._id, self._partitions)
                await self._keep_only(wanted)
                await self._take(wanted - self._owned)
            except RegistryUnavailable:
                self._stale = True
                await deferLater(cast(IReactorTime, self._reactor), RETRY_SECONDS)

    async def _tell(self, owned: frozenset[int]) -> None:
        if owned == self._owned or self._changed is None:
            return
        self._owned = owned
        try:
            await self._changed(owned)
        except CancelledError:
            raise
        except Exception:  # whatever job's fault it is, the partitions must go on moving
            _log.failure("job failed to take on {owned}", owned=sorted(owned))

    async def _keep_only(self, wanted: frozenset[int]) -> None:
        """Give up the rest: job first lets go, then the locks do."""
        await self._tell(self._owned & wanted)
        rest = sorted(self._locked - wanted)
        await gatherResults([Deferred.fromCoroutine(self._unlock(each)) for each in rest], consumeErrors=True)

    async def _unlock(self, partition: int) -> None:
        with suppress(RegistryUnavailable):  # the session's end removes it, or the next turn
            await self._session.remove_own(f"{self._locks_path}/{partition}")
            self._locked.discard(partition)
            return
        self._stale = True

    async def _take(self, partitions: frozenset[int]) -> None:
        """Those of ``partitions`` whose locks are free are ours now."""
        tries = [Deferred.fromCoroutine(self._lock(partition)) for partition in sorted(partitions)]
        locked = await gatherResults(tries, consumeErrors=True)
        if self._lapsed:  # the locks went with the session
            return
        await self._tell(self._owned | {partition for partition in locked if partition is not None})

    async def _lock(self, partition: int) -> int | None:
        """The partition, when its lock is ours."""
        path, session = f"{self._locks_path}/{partition}", self._session
        self._locked.add(partition)  # whatever becomes of the call: it must be given back
        try:
            with suppress(NodeExistsError):
                await session.create(path, self._id.encode())
                return partition
            _, version, owner = await session.get(path)
            if owner == session.id:  # made by a call whose answer was lost
                return partition
            self._locked.discard(partition)
            if session.was_ours(owner):
                await session.delete(path, version)
                self._stale = True
        except (NoNodeError, RegistryUnavailable):  # it was given up this moment, or ZooKeeper goes away
            self._stale = True
        return None
