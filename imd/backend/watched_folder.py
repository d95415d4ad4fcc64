"""What is in a folder of ZooKeeper, kept up to date."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

from kazoo.exceptions import NoNodeError
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from imd.backend.zookeeper_session import Link, ZookeeperSession
from imd.errors import RegistryUnavailable
from imd.interfaces import Reactor, Timer

RETRY_SECONDS = 1.0  # after a call that failed though the session is connected

_log = Logger()


class WatchedFolder:
    """Tells ``changed`` the nodes of a folder, name -> data, when they are first known and at each change.

    While ZooKeeper is away the last known nodes stay; all are read again when it is back. When our session was lost,
    others' may have been, too: what is missing then is told for another ``linger_seconds``, in which they can come back.
    With ``names_only`` no data are read: every value is empty. ``changed`` is called in the reactor's thread and must not
    raise.
    """

    __slots__ = (
        "_changed",
        "_linger_seconds",
        "_lingering",
        "_lingers",
        "_list_is_old",
        "_names_only",
        "_old",
        "_path",
        "_reactor",
        "_refresh",
        "_session",
        "_told",
        "_unlisten",
        "nodes",
    )

    def __init__(
        self,
        *,
        session: ZookeeperSession,
        reactor: Reactor,
        path: str,
        changed: Callable[[Mapping[str, bytes]], None],
        names_only: bool = False,
        linger_seconds: float = 0.0,
    ) -> None:
        self._session = session
        self._reactor = reactor
        self._path = path
        self._changed = changed
        self._names_only = names_only
        self._linger_seconds = linger_seconds
        self.nodes: dict[str, bytes] = {}  # as last read
        self._lingering: dict[str, bytes] = {}  # known when the session was lost, and not seen since
        self._lingers: Timer | None = None  # due when they go; None unless connected again
        self._told: dict[str, bytes] | None = None  # what ``changed`` got last; None = nothing yet
        self._list_is_old = True  # the names must be read
        self._old: set[str] = set()  # the names whose data must be read
        self._refresh: Deferred[None] | None = None  # while it reads
        self._unlisten: Callable[[], None] | None = None  # while it watches

    def begin(self) -> None:
        """Watch from now on."""
        self._unlisten = self._session.listen(self._link_changed)
        self._link_changed(Link.CONNECTED if self._session.connected else Link.AWAY)

    def end(self) -> None:
        """Watch no longer; ``changed`` is not called again."""
        if self._unlisten is not None:
            self._unlisten()
            self._unlisten = None
        self._hold_lingering()
        if self._refresh is not None:
            self._refresh.cancel()

    def _link_changed(self, link: Link) -> None:
        self._hold_lingering()
        if link is Link.LOST and self._linger_seconds > 0:
            self._lingering.update(self.nodes)
        elif link is Link.CONNECTED:  # the watches went with the connection, and changes may have been missed
            self._list_is_old = True
            self._old.update(self.nodes)
            if self._lingering:
                self._lingers = self._reactor.callLater(self._linger_seconds, self._end_lingering)
            self._begin_refresh()

    def _hold_lingering(self) -> None:
        """Their time runs only while connected."""
        if self._lingers is not None and self._lingers.active():
            self._lingers.cancel()
        self._lingers = None

    def _end_lingering(self) -> None:
        self._lingering.clear()
        self._tell()

    def _list_changed(self) -> None:
        self._list_is_old = True
        self._begin_refresh()

    def _node_changed(self, name: str) -> None:
        self._old.add(name)
        self._begin_refresh()

    def _begin_refresh(self) -> None:
        if self._refresh is not None or self._unlisten is None:
            return
        refresh = self._refresh = Deferred.fromCoroutine(self._read())
        refresh.addBoth(self._refreshed)

    def _refreshed(self, result: object) -> None:
        self._refresh = None
        if isinstance(result, Failure) and not result.check(CancelledError):
            _log.failure("zookeeper: reading {path} failed", result, path=self._path)

    async def _read(self) -> None:
        """Until nothing is old, or ZooKeeper is away."""
        while self._session.connected and (self._list_is_old or self._old):
            try:
                nodes = await self._read_once()
            except RegistryUnavailable:
                self._list_is_old = True
                self._old.update(self.nodes)
                await deferLater(cast(IReactorTime, self._reactor), RETRY_SECONDS)
                continue
            self.nodes = nodes
            for name in nodes:
                self._lingering.pop(name, None)
            self._tell()

    def _tell(self) -> None:
        known = self._lingering | self.nodes
        if known != self._told:
            self._told = known
            self._changed(known)

    async def _read_once(self) -> dict[str, bytes]:
        names = await self._read_names() if self._list_is_old else list(self.nodes)
        if self._names_only:
            self._old.clear()
            return dict.fromkeys(names, b"")
        self._old.intersection_update(names)
        wanted = [name for name in names if name in self._old or name not in self.nodes]
        self._old.difference_update(wanted)
        nodes = {name: self.nodes[name] for name in names if name in self.nodes}
        for name in wanted:
            data = await self._read_node(name)
            if data is None:
                nodes.pop(name, None)
            else:
                nodes[name] = data
        return nodes

    async def _read_names(self) -> list[str]:
        self._list_is_old = False
        while True:
            try:
                return await self._session.children(self._path, self._list_changed)
            except NoNodeError:
                await self._session.make_folder(self._path)

    async def _read_node(self, name: str) -> bytes | None:
        try:
            return (await self._session.get(f"{self._path}/{name}", partial(self._node_changed, name)))[0]
        except NoNodeError:  # it went since its name was read
            return None
