"""The registry inside one process, with the processes that a configuration names besides."""

from collections.abc import Callable, Sequence

from twisted.logger import Logger

from imd.errors import RegistryUnavailable, ServerIdTaken
from imd.interfaces import Instance

WORKER_IDS = 1024

_log = Logger()


class RegistryStatic:
    """For ``twistd imd``, where every part shares this object, and for fixed clusters.

    ``instances`` are always there, living or not, until one with the same (role, id) registers. Worker ids are handed out from
    ``worker_id`` upwards: processes of a fixed cluster must each be configured with their own.
    """

    __slots__ = ("_fixed", "_listeners", "_next_worker_id", "_registered")

    def __init__(self, *, instances: Sequence[Instance] = (), worker_id: int = 0) -> None:
        self._fixed = {(each.role, each.id): each for each in instances}
        self._registered: dict[tuple[str, str], Instance] = {}
        self._listeners: dict[object, tuple[str, Callable[[Sequence[Instance]], None]]] = {}
        self._next_worker_id = worker_id

    async def open(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to do."""

    def trouble(self) -> str | None:
        """None."""
        return None

    async def register(self, instance: Instance) -> None:
        """See :class:`imd.interfaces.Registry`."""
        held = self._registered.get((instance.role, instance.id))
        if held is not None and held.boot != instance.boot:
            raise ServerIdTaken(f"{instance.role} {instance.id} is registered already")
        self._registered[instance.role, instance.id] = instance
        self._tell(instance.role)

    async def update(self, instance: Instance) -> None:
        """See :class:`imd.interfaces.Registry`. What was never registered is ignored."""
        if (instance.role, instance.id) in self._registered:
            await self.register(instance)

    async def unregister(self, instance: Instance) -> None:
        """See :class:`imd.interfaces.Registry`."""
        held = self._registered.get((instance.role, instance.id))
        if held is not None and held.boot == instance.boot:
            del self._registered[instance.role, instance.id]
            self._tell(instance.role)

    def watch(self, role: str, listener: Callable[[Sequence[Instance]], None]) -> Callable[[], None]:
        """See :class:`imd.interfaces.Registry`."""
        token = object()
        self._listeners[token] = (role, listener)
        listener(self._living(role))

        def end() -> None:
            self._listeners.pop(token, None)

        return end

    async def lease_worker_id(self) -> int:
        """See :class:`imd.interfaces.Registry`."""
        if self._next_worker_id >= WORKER_IDS:
            raise RegistryUnavailable(f"all {WORKER_IDS} worker ids are in use")
        leased = self._next_worker_id
        self._next_worker_id += 1
        return leased

    def _living(self, role: str) -> list[Instance]:
        known = self._fixed | self._registered
        return [known[key] for key in sorted(known) if key[0] == role]

    def _tell(self, role: str) -> None:
        for wanted, listener in list(self._listeners.values()):
            if wanted == role:
                try:
                    listener(self._living(role))
                except Exception:  # a listener's fault must not fail who registers
                    _log.failure("a listener for {role} raised", role=role)
