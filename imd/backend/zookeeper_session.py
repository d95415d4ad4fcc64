"""One session with ZooKeeper: kazoo's threads on one side, the reactor on the other."""

import logging
from collections.abc import Callable
from enum import Enum, unique
from functools import partial
from threading import Thread
from typing import Any, cast

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import (
    AuthFailedError,
    ConnectionClosedError,
    ConnectionLoss,
    NoAuthError,
    NoNodeError,
    OperationTimeoutError,
    SessionExpiredError,
    SessionMovedError,
)
from kazoo.retry import KazooRetry
from kazoo.security import make_digest_acl
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from imd.backend.zookeeper_settings import ZookeeperSettings
from imd.errors import RegistryUnavailable
from imd.interfaces import Reactor, Timer

AWAY = (
    AuthFailedError,
    ConnectionClosedError,
    ConnectionLoss,
    OperationTimeoutError,
    SessionExpiredError,
    SessionMovedError,
)
REFUSED_SECONDS = 10.0  # how long something that was refused is trouble: longer than the pause before another try
STOP_SECONDS = 5.0  # what close waits for kazoo's threads at most

_log = Logger()


@unique
class Link(Enum):
    """What is known of the session."""

    CLOSED = 1  # not open
    AWAY = 2  # no server answers; whether the session still lives is unknown
    LOST = 3  # it ended, and its ephemeral nodes with it; the next one is being made
    CONNECTED = 4


class ZookeeperSession:
    """Opens in the background, comes back for ever, and tells its listeners in the reactor's thread.

    A session outlives lost connections for ``session_seconds``; only when a server says so has it ended. While ZooKeeper is
    away nobody can know, so ``AWAY`` keeps what it had: the last known servers go on serving. Calls are made only while
    connected, have a deadline, and raise :class:`RegistryUnavailable`, or kazoo's own ``NoNodeError``, ``NodeExistsError``
    and the like. What ZooKeeper does not allow us, or has no folder for, counts as away too: an operator has to see to it, and
    calls are repeated.
    """

    __slots__ = (
        "_client",
        "_first",
        "_link",
        "_listeners",
        "_past",
        "_reactor",
        "_refused",
        "_refused_at",
        "_settings",
        "_time",
        "id",
    )

    def __init__(self, *, settings: ZookeeperSettings, reactor: Reactor) -> None:
        self._settings = settings
        self._reactor = reactor
        self._time = cast(IReactorTime, reactor)  # the same, as Twisted's deadlines want it
        self._first: Timer | None = None  # until the first connection, or until it was said that it takes long
        self._client: Any = None  # kazoo's, made in open: it holds sockets, which must not cross a fork
        self._link = Link.CLOSED
        self._listeners: dict[object, Callable[[Link], None]] = {}
        self._refused = ""  # what was refused last, in words
        self._refused_at = float("-inf")  # when that was, on the reactor's clock
        self._past: set[int] = set()  # the ids of every session that this object had
        self.id = 0  # of the session now, as ``ephemeralOwner`` names it; 0 = none yet

    @property
    def connected(self) -> bool:
        """Whether calls can be made."""
        return self._link is Link.CONNECTED

    async def open(self) -> None:
        """Begin. Never waits and never fails because ZooKeeper is away; raises ValueError for hosts that make no sense."""
        assert self._client is None, "a session opens once"
        self._client = client = self._make_client()
        client.add_listener(partial(_hear, client, self._reactor, self._changed))
        self._link = Link.AWAY
        client.start_async()
        self._first = self._reactor.callLater(self._settings.call_seconds, self._say, Link.AWAY)

    async def close(self) -> None:
        """End the session: every ephemeral node of ours goes now. Returns after ``STOP_SECONDS`` at the latest."""
        client, self._client = self._client, None
        if client is None:
            return
        self._change(Link.CLOSED)
        stopped: Deferred[None] = Deferred()
        Thread(target=_stop, args=(client, self._reactor, stopped), name="zookeeper-stop", daemon=True).start()
        stopped.addTimeout(STOP_SECONDS, self._time)
        try:
            await stopped
        except TimeoutError:
            _log.warn(
                "zookeeper: {hosts} did not take our leave; the session ends by itself", hosts=self._settings.hosts
            )

    def trouble(self) -> str | None:
        """None while connected, unless something was refused within the last ``REFUSED_SECONDS``."""
        if self.connected:
            return self._refused if self._reactor.seconds() - self._refused_at < REFUSED_SECONDS else None
        return f"ZooKeeper at {self._settings.hosts} is away" if self._client is not None else "ZooKeeper is not open"

    def listen(self, listener: Callable[[Link], None]) -> Callable[[], None]:
        """Call ``listener`` at each change from now on. Answers a function that ends it."""
        token = object()
        self._listeners[token] = listener
        return lambda: self._listeners.pop(token, None) and None

    def was_ours(self, owner: int) -> bool:
        """Whether an ``ephemeralOwner`` is a session of this object, the one of now or an earlier one."""
        return owner in self._past

    # calls

    async def create(self, path: str, data: bytes) -> None:
        """Make an ephemeral node, and the folders above it."""
        await self._make("create_async", path, data, ephemeral=True, makepath=True)

    async def make_folder(self, path: str) -> None:
        """Make a folder that stays, and those above it."""
        await self._make("ensure_path_async", path)

    async def get(self, path: str, watch: Callable[[], None] | None = None) -> tuple[bytes, int, int]:
        """(data, version, ``ephemeralOwner``). ``watch`` is called once, in the reactor's thread, when it changes or goes,
        and when the connection does."""
        data, stat = await self._call("get_async", path, watch=self._watcher(watch))
        return data, stat.version, stat.ephemeralOwner

    async def children(self, path: str, watch: Callable[[], None] | None = None) -> list[str]:
        """Their names. ``watch`` as in :meth:`get`, when one comes or goes."""
        names: list[str] = await self._call("get_children_async", path, watch=self._watcher(watch))
        return names

    async def set(self, path: str, data: bytes, version: int = -1) -> None:
        """Replace a node's data; only if it still has this version, unless that is -1: kazoo's ``BadVersionError`` else."""
        await self._call("set_async", path, data, version)

    async def delete(self, path: str, version: int) -> None:
        """Remove a node that still has this version."""
        await self._call("delete_async", path, version)

    async def remove_own(self, path: str) -> bool:
        """Remove a node if a session of ours made it. False when it is another's; True also when there is none."""
        try:
            _, version, owner = await self.get(path)
            if not self.was_ours(owner):
                return False
            await self.delete(path, version)
        except NoNodeError:
            pass
        return True

    async def _make(self, name: str, path: str, *args: Any, **kwargs: Any) -> None:
        """Make it with the folders above it. Another may remove one meanwhile, and none is made above a path in ``hosts``."""
        try:
            await self._call(name, path, *args, **kwargs)
        except NoNodeError:
            raise RegistryUnavailable(self._refuse(f"has no folder to make {path} in")) from None

    async def _call(self, name: str, path: str, *args: Any, **kwargs: Any) -> Any:
        if not self.connected:
            raise RegistryUnavailable(self.trouble())
        answered: Deferred[Any] = Deferred()
        answered.addTimeout(self._settings.call_seconds, self._time)
        getattr(self._client, name)(path, *args, **kwargs).rawlink(partial(_answer, self._reactor, answered))
        try:
            return await answered
        except NoAuthError:
            raise RegistryUnavailable(self._refuse(f"does not allow us {path}: another digest made it")) from None
        except AWAY as error:
            raise RegistryUnavailable(f"ZooKeeper went away: {type(error).__name__}") from None
        except TimeoutError:
            raise RegistryUnavailable(f"ZooKeeper did not answer for {self._settings.call_seconds:g} s") from None

    def _refuse(self, what: str) -> str:
        """Trouble for a while; logged once, however often it is tried again. Answers it in words."""
        said = self.trouble() is not None
        self._refused = f"ZooKeeper at {self._settings.hosts} {what}"
        self._refused_at = self._reactor.seconds()
        if not said:
            _log.warn("zookeeper: {trouble}", trouble=self._refused)
        return self._refused

    def _watcher(self, watch: Callable[[], None] | None) -> Callable[[object], None] | None:
        if watch is None:
            return None
        return lambda _: self._reactor.callFromThread(watch)

    # its life

    def _make_client(self) -> Any:
        settings = self._settings
        acl = None
        if settings.digest:
            acl = [make_digest_acl(*settings.digest.split(":", 1), all=True)]
        # quick to come back: with kazoo's 60 s between tries a session would end while it sleeps
        retry = KazooRetry(max_tries=-1, delay=0.1, max_delay=min(2.0, settings.session_seconds / 5))
        return KazooClient(
            hosts=settings.hosts,
            timeout=settings.session_seconds,
            connection_retry=retry,
            auth_data=[("digest", settings.digest)] if settings.digest else None,
            default_acl=acl,
            use_ssl=settings.tls,
            ca=settings.ca_file or None,
            certfile=settings.cert_file or None,
            keyfile=settings.key_file or None,
            verify_certs=True,
            check_hostname=settings.tls,
            logger=_silent(),
        )

    def _changed(self, client: object, link: Link, session: int) -> None:
        if client is not self._client:  # closed meanwhile
            return
        if link is Link.CONNECTED:
            self.id = session
            self._past.add(session)
        if link is not self._link:
            self._say(link)
            self._change(link)

    def _change(self, link: Link) -> None:
        self._link = link
        if self._first is not None and self._first.active():
            self._first.cancel()
        for listener in list(self._listeners.values()):
            listener(link)

    def _say(self, link: Link) -> None:
        if link is Link.CONNECTED:
            _log.info("zookeeper: connected to {hosts}", hosts=self._settings.hosts)
        elif link is Link.LOST:
            _log.warn("zookeeper: the session with {hosts} was lost", hosts=self._settings.hosts)
        else:
            _log.warn("zookeeper: {hosts} is away", hosts=self._settings.hosts)


_LINKS = {KazooState.CONNECTED: Link.CONNECTED, KazooState.SUSPENDED: Link.AWAY, KazooState.LOST: Link.LOST}


def _silent() -> logging.Logger:
    """kazoo logs each attempt, with tracebacks; we say one line at each change instead."""
    logger = logging.Logger("imd.zookeeper")
    logger.addHandler(logging.NullHandler())
    return logger


# in kazoo's threads


def _hear(client: Any, reactor: Reactor, changed: Callable[[object, Link, int], None], state: str) -> None:
    session = client.client_id[0] if client.client_id else 0
    reactor.callFromThread(changed, client, _LINKS[state], session)


def _answer(reactor: Reactor, answered: "Deferred[Any]", result: Any) -> None:
    def fire() -> None:
        if answered.called:  # the deadline has passed, or the caller gave up
            return
        if result.exception is not None:
            answered.errback(result.exception)
        else:
            answered.callback(result.value)

    reactor.callFromThread(fire)


def _stop(client: Any, reactor: Reactor, stopped: "Deferred[None]") -> None:
    try:
        client.stop()
        client.close()
    except Exception as error:  # kazoo raises what its threads meet; the session ends by itself then
        _log.debug("zookeeper: {error} while stopping", error=error)
    reactor.callFromThread(_fire, stopped)


def _fire(stopped: "Deferred[None]") -> None:
    if not stopped.called:
        stopped.callback(None)
