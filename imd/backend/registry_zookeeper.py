"""The registry in ZooKeeper: one ephemeral node a process, watched by all the others."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from urllib.parse import quote

import msgspec
from twisted.logger import Logger

from imd.backend.ephemeral_node import EphemeralNode, Hold
from imd.backend.watched_folder import WatchedFolder
from imd.backend.worker_id_lease import WorkerIdLease
from imd.backend.zookeeper_session import ZookeeperSession
from imd.errors import ServerIdTaken
from imd.interfaces import Instance, Reactor

_log = Logger()
_decode = msgspec.json.Decoder(Instance).decode


class RegistryZookeeper:
    """Instances are nodes ``{prefix}/instances/{role}/{id}`` (JSON), worker ids ``{prefix}/workers/{n}``.

    ``patience_seconds`` is how long :meth:`register` waits for a name that another session holds, before it raises
    :class:`ServerIdTaken`: more than a session's time, for a crashed predecessor's node stays that long. A process that
    registered while ZooKeeper was away, or comes back from a lost session, may find its name taken only later: then
    ``on_conflict`` is called with its instance, in the reactor's thread; it is not in the registry, and should stop.

    When our session was lost, instances that are missing then are told for another ``linger_seconds``: a fault that took many
    sessions at once would else empty the lists, and with them every link, until all have registered again.

    ``on_worker_id`` is called with the new worker id when the leased one is another process's after a lost session.
    """

    __slots__ = (
        "_bad",
        "_folders",
        "_linger_seconds",
        "_nodes",
        "_on_conflict",
        "_patience_seconds",
        "_prefix",
        "_reactor",
        "_session",
        "_worker",
    )

    def __init__(
        self,
        *,
        session: ZookeeperSession,
        reactor: Reactor,
        prefix: str = "/imd",
        patience_seconds: float = 15.0,
        linger_seconds: float = 10.0,
        on_conflict: Callable[[Instance], None],
        on_worker_id: Callable[[int], None],
    ) -> None:
        self._session = session
        self._reactor = reactor
        self._prefix = prefix.rstrip("/")
        self._patience_seconds = patience_seconds
        self._linger_seconds = linger_seconds
        self._on_conflict = on_conflict
        self._nodes: dict[tuple[str, str], EphemeralNode] = {}  # what is registered from here
        self._worker = WorkerIdLease(
            session=session, reactor=reactor, folder=f"{self._prefix}/workers", changed=on_worker_id
        )
        self._folders: set[WatchedFolder] = set()  # being watched
        self._bad: dict[str, bytes] = {}  # path -> data that could not be decoded and was logged

    async def open(self) -> None:
        """Nothing to do: the session opens by itself."""

    async def close(self) -> None:
        """Take out everything that is registered and leased from here, and watch no longer."""
        for folder in self._folders:
            folder.end()
        self._folders.clear()
        nodes = list(self._nodes.values())
        self._nodes.clear()
        for node in nodes:
            await node.leave()
        await self._worker.release()

    def trouble(self) -> str | None:
        """None while ZooKeeper is there and everything registered from here is in it."""
        if self._session.trouble() is not None:
            return self._session.trouble()
        missing = [node.path for node in self._nodes.values() if node.hold is not Hold.HELD]
        return f"{', '.join(missing)} is not registered yet" if missing else None

    async def register(self, instance: Instance) -> None:
        """See :class:`imd.interfaces.Registry`. Registering again replaces what this process had registered."""
        name = (instance.role, instance.id)
        if name in self._nodes:
            await self.update(instance)
            return
        node = self._nodes[name] = EphemeralNode(
            session=self._session,
            reactor=self._reactor,
            path=self._path(instance),
            data=msgspec.json.encode(instance),
            patience_seconds=self._patience_seconds,
            taken=partial(self._on_conflict, instance),
        )
        if await node.enter() is Hold.TAKEN:
            del self._nodes[name]
            await node.leave()
            raise ServerIdTaken(f"{instance.role} {instance.id} is another living process's: give each its own id")

    async def update(self, instance: Instance) -> None:
        """See :class:`imd.interfaces.Registry`. It is written in the background; what was never registered is ignored."""
        node = self._nodes.get((instance.role, instance.id))
        if node is not None:
            node.update(msgspec.json.encode(instance))

    async def unregister(self, instance: Instance) -> None:
        """See :class:`imd.interfaces.Registry`."""
        node = self._nodes.pop((instance.role, instance.id), None)
        if node is not None:
            await node.leave()

    def watch(self, role: str, listener: Callable[[Sequence[Instance]], None]) -> Callable[[], None]:
        """See :class:`imd.interfaces.Registry`. The first call comes when the list is known, and not before."""
        path = self._folder(role)
        last: list[Instance] = []  # what it was told
        told = False

        def tell(nodes: Mapping[str, bytes]) -> None:
            nonlocal last, told
            found = sorted(self._instances(path, nodes), key=lambda each: each.id)
            if told and found == last:
                return
            last, told = found, True
            try:
                listener(found)
            except Exception:  # a listener's fault must not end the watch
                _log.failure("a listener for {role} raised", role=role)

        folder = WatchedFolder(
            session=self._session,
            reactor=self._reactor,
            path=path,
            changed=tell,
            linger_seconds=self._linger_seconds,
        )
        self._folders.add(folder)
        folder.begin()

        def end() -> None:
            self._folders.discard(folder)
            folder.end()

        return end

    async def lease_worker_id(self) -> int:
        """See :class:`imd.interfaces.Registry`. Waits for ZooKeeper, without end: the caller has the deadline."""
        return await self._worker.lease()

    def _folder(self, role: str) -> str:
        return f"{self._prefix}/instances/{quote(role, safe='')}"

    def _path(self, instance: Instance) -> str:
        return f"{self._folder(instance.role)}/{quote(instance.id, safe='')}"

    def _instances(self, folder: str, nodes: Mapping[str, bytes]) -> list[Instance]:
        """Those that can be decoded; each that cannot is logged once."""
        found = []
        for name, data in nodes.items():
            path = f"{folder}/{name}"
            try:
                found.append(_decode(data))
            except msgspec.DecodeError as error:
                if self._bad.get(path) != data:
                    self._bad[path] = data
                    _log.warn("zookeeper: {path} is no instance: {error}", path=path, error=error)
        return found
