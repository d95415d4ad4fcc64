"""A node in ZooKeeper that says "this process has this name", for as long as the process lives."""

from collections.abc import Callable
from contextlib import suppress
from enum import Enum, unique
from typing import cast

from kazoo.exceptions import NodeExistsError, NoNodeError
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from imd.backend.zookeeper_session import Link, ZookeeperSession
from imd.errors import RegistryUnavailable
from imd.interfaces import Reactor, Timer

RETRY_SECONDS = 0.25  # between looks at a name that another has, and after a call that failed

_log = Logger()


@unique
class Hold(Enum):
    """Whether the name is ours."""

    UNKNOWN = 1  # not entered: ZooKeeper is away, or it is being entered
    HELD = 2
    TAKEN = 3  # another living session had it for longer than our patience


class EphemeralNode:
    """Enters itself, and again after each lost session, until it leaves.

    Who has the name is decided by ``ephemeralOwner``: a node of an earlier session of ours is replaced, one of another is
    waited for. ``patience_seconds`` is how long: a crashed predecessor's node stays until its session ends, so a restart
    needs more than a session's time. Then ``taken`` is called (in the reactor's thread, once for each loss of the
    name), and the name is entered if it becomes free after all.
    """

    __slots__ = (
        "_claim",
        "_data",
        "_patience_seconds",
        "_reactor",
        "_report",
        "_session",
        "_settled",
        "_taken",
        "_unlisten",
        "hold",
        "path",
    )

    def __init__(
        self,
        *,
        session: ZookeeperSession,
        reactor: Reactor,
        path: str,
        data: bytes,
        patience_seconds: float,
        taken: Callable[[], None],
    ) -> None:
        self._session = session
        self._reactor = reactor
        self.path = path
        self._data = data
        self._patience_seconds = patience_seconds
        self._taken = taken
        self.hold = Hold.UNKNOWN
        self._claim: Deferred[None] | None = None  # while it is being entered
        self._settled: Deferred[None] | None = None  # while ``enter`` waits
        self._report: Timer | None = None  # due when the name was found taken
        self._unlisten: Callable[[], None] | None = None  # from enter to leave

    async def enter(self) -> Hold:
        """Begin. Answers HELD, TAKEN (without a call of ``taken``), or UNKNOWN: ZooKeeper is away, it goes on by itself."""
        assert self._unlisten is None, "it is entered already"
        self._unlisten = self._session.listen(self._changed)
        if self._session.connected:
            self._settled = Deferred()
            self._begin()
            try:
                await self._settled
            finally:
                self._settled = None
        return self.hold

    async def leave(self) -> None:
        """Take the node out, if it is ours. Raises nothing when ZooKeeper is away: the session's end removes it."""
        if self._unlisten is None:
            return
        self._unlisten()
        self._unlisten = None
        self.hold = Hold.UNKNOWN
        if self._report is not None and self._report.active():
            self._report.cancel()
        if self._claim is not None:
            self._claim.cancel()
        with suppress(RegistryUnavailable):
            await self._session.remove_own(self.path)

    def update(self, data: bytes) -> None:
        """The node says ``data`` from now on; written in the background."""
        if data == self._data:
            return
        self._data = data
        if self._unlisten is not None and self._session.connected:
            self._begin()

    def _changed(self, link: Link) -> None:
        if link is Link.LOST:
            self.hold = Hold.UNKNOWN
        elif link is Link.CONNECTED:
            self._begin()

    def _begin(self) -> None:
        if self._claim is not None:  # it reads what has changed when it goes on
            return
        claim = self._claim = Deferred.fromCoroutine(self._enter())
        claim.addBoth(self._ended)

    def _ended(self, result: object) -> None:
        self._claim = None
        if isinstance(result, Failure) and not result.check(CancelledError):
            _log.failure("zookeeper: entering {path} failed", result, path=self.path)
        self._settle()

    def _settle(self) -> None:
        if self._settled is not None and not self._settled.called:
            self._settled.callback(None)

    async def _enter(self) -> None:
        """Until the node is ours and says the newest data, or ZooKeeper is away."""
        began = self._reactor.seconds()
        while self._session.connected:
            try:
                written = await self._write()
            except RegistryUnavailable:
                written = None
                self._settle()  # whoever waits need not: it goes on by itself
            else:
                if written is None:
                    self._be_taken(self._reactor.seconds() - began)
                else:
                    self.hold = Hold.HELD
            if written == self._data:
                return
            if written is None:
                await deferLater(cast(IReactorTime, self._reactor), RETRY_SECONDS)

    async def _write(self) -> bytes | None:
        """One try. What the node says now, if it is ours; None when it is another's."""
        data, session = self._data, self._session
        try:
            await session.create(self.path, data)
            return data
        except NodeExistsError:
            pass
        try:
            found, version, owner = await session.get(self.path)
            if owner == session.id:
                if found != data:
                    await session.set(self.path, data)
                return data
            if not session.was_ours(owner):
                return None
            await session.delete(self.path, version)  # of a session of ours that ended
        except NoNodeError:
            pass
        return await self._write()

    def _be_taken(self, waited_seconds: float) -> None:
        if waited_seconds < self._patience_seconds or self.hold is Hold.TAKEN:
            return
        self.hold = Hold.TAKEN
        # not from within the claim: whoever hears of it may leave at once, which cancels the claim
        self._report = self._reactor.callLater(0, self._report_taken)

    def _report_taken(self) -> None:
        if self.hold is not Hold.TAKEN:
            return
        if self._settled is not None:
            self._settle()
        else:
            self._taken()
