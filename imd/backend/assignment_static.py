"""A job's partitions as they are configured: for ``twistd imd``, and for fixed clusters."""

from collections.abc import Awaitable, Callable, Collection


class AssignmentStatic:
    """Every partition in ``owned``, from start to stop. That no two jobs have the same is the configuration's duty."""

    __slots__ = ("_changed", "_owned")

    def __init__(self, *, owned: Collection[int]) -> None:
        self._owned = frozenset(owned)
        self._changed: Callable[[frozenset[int]], Awaitable[None]] | None = None  # from start to stop

    async def start(self, changed: Callable[[frozenset[int]], Awaitable[None]]) -> None:
        """See :class:`imd.interfaces.Assignment`. Returns when ``changed`` has."""
        self._changed = changed
        await changed(self._owned)

    async def stop(self) -> None:
        """See :class:`imd.interfaces.Assignment`. Everything is given up before it returns."""
        changed, self._changed = self._changed, None
        if changed is not None:
            await changed(frozenset())
