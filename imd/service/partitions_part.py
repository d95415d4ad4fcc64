"""A job's share of the broker's partitions as a part of its process."""

from collections.abc import Awaitable, Callable

from imd.interfaces import Assignment


class PartitionsPart:
    """This job's share of the broker, from open to close."""

    def __init__(self, assignment: Assignment, assigned: Callable[[frozenset[int]], Awaitable[None]]) -> None:
        self._assignment = assignment
        self._assigned = assigned  # told all that is owned, at each change

    async def open(self) -> None:
        """Take part in the sharing."""
        await self._assignment.start(self._assigned)

    async def close(self) -> None:
        """Leave, what is under way settled."""
        await self._assignment.stop()

    def trouble(self) -> str | None:
        """None: without a share a job is a spare."""
        return None
