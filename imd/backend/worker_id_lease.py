"""A number from 0 to 1023 that no other living process has, held by a node in ZooKeeper."""

from collections.abc import Callable
from typing import cast

from kazoo.exceptions import NoNodeError
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from imd.backend.ephemeral_node import EphemeralNode, Hold
from imd.backend.zookeeper_session import ZookeeperSession
from imd.errors import RegistryUnavailable
from imd.interfaces import Reactor

WORKER_IDS = 1024
RETRY_SECONDS = 0.5  # between tries

_log = Logger()


class WorkerIdLease:
    """Nodes ``{folder}/{n}``. After a lost session the same number is leased again, if it is still free.

    If another process has it by then, another number is leased and ``changed`` gets it. From the session's end until then
    ids may be made with a number that is another's; so the search begins at a place that depends on the session, and a
    number that was given up is not soon found again.
    """

    __slots__ = ("_changed", "_folder", "_node", "_numbers", "_reactor", "_search", "_session")

    def __init__(
        self,
        *,
        session: ZookeeperSession,
        reactor: Reactor,
        folder: str,
        changed: Callable[[int], None],
        numbers: int = WORKER_IDS,
    ) -> None:
        self._session = session
        self._reactor = reactor
        self._folder = folder
        self._changed = changed
        self._numbers = numbers  # how many there are, from 0
        self._node: EphemeralNode | None = None  # of the leased number
        self._search: Deferred[int] | None = None  # for another number, after a loss

    async def lease(self) -> int:
        """Waits for ZooKeeper, without end: the caller has the deadline."""
        assert self._node is None, "a process has one worker id"
        while True:
            try:
                return await self._lease_free()
            except RegistryUnavailable as error:
                _log.debug("zookeeper: no worker id yet: {error}", error=error)
            await deferLater(cast(IReactorTime, self._reactor), RETRY_SECONDS)

    async def release(self) -> None:
        """Give it back."""
        if self._search is not None:
            self._search.cancel()
        await self._let_go()

    async def _let_go(self) -> None:
        node, self._node = self._node, None
        if node is not None:
            await node.leave()

    async def _lease_free(self) -> int:
        """One try over all numbers."""
        try:
            used = set(await self._session.children(self._folder))
        except NoNodeError:
            used = set()
        for at in range(self._numbers):
            number = (self._session.id + at) % self._numbers
            if str(number) not in used and await self._lease_one(number):
                return number
        raise RegistryUnavailable(f"all {self._numbers} worker ids are in use")

    async def _lease_one(self, number: int) -> bool:
        node = EphemeralNode(
            session=self._session,
            reactor=self._reactor,
            path=f"{self._folder}/{number}",
            data=b"",
            patience_seconds=0.0,
            taken=self._lost,
        )
        try:
            hold = await node.enter()
        except CancelledError:
            await node.leave()
            raise
        if hold is Hold.HELD:
            self._node = node
            return True
        await node.leave()
        if hold is Hold.UNKNOWN:
            raise RegistryUnavailable(str(self._session.trouble()))
        return False

    def _lost(self) -> None:
        """After a lost session another process has our number."""
        self._search = Deferred.fromCoroutine(self._lease_another())
        self._search.addCallbacks(self._changed, self._failed)

    async def _lease_another(self) -> int:
        await self._let_go()
        return await self.lease()

    def _failed(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            _log.failure("zookeeper: leasing another worker id failed", failure)
