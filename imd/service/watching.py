"""Listeners to the registry's view of one role, for as long as the process serves."""

from collections.abc import Callable, Sequence

from imd.interfaces import Instance, Registry


class Watching:
    """Tells each listener every living instance of the role, now and at each change."""

    def __init__(self, registry: Registry, role: str, *listeners: Callable[[Sequence[Instance]], None]) -> None:
        self._registry = registry
        self._role = role
        self._listeners = listeners
        self._ends: list[Callable[[], None]] = []  # what ends each watch, while open

    async def open(self) -> None:
        """Begin."""
        self._ends = [self._registry.watch(self._role, listener) for listener in self._listeners]

    async def close(self) -> None:
        """End."""
        for end in self._ends:
            end()

    def trouble(self) -> str | None:
        """None: the registry speaks for itself."""
        return None
