"""IdleList: deadlines of very many, without a timer for each."""

from collections.abc import Iterator
from itertools import islice, takewhile
from typing import Generic, TypeVar

Member = TypeVar("Member")


class IdleList(Generic[Member]):
    """Who was not touched for ``idle_seconds``. One timeout for all, so the order of touches is the order of deadlines.

    Costs about 66 bytes a member; a look at what is due costs what is due, not what there is.
    """

    __slots__ = ("_deadlines", "idle_seconds")

    def __init__(self, *, idle_seconds: float) -> None:
        self.idle_seconds = idle_seconds
        self._deadlines: dict[Member, float] = {}  # clock seconds; the earliest first

    def __len__(self) -> int:
        return len(self._deadlines)

    def __iter__(self) -> Iterator[Member]:
        """The members now, the longest untouched first; a copy, so they may go meanwhile."""
        return iter(list(self._deadlines))

    def touch(self, member: Member, now: float) -> None:
        """Enter it, or begin its time anew. ``now`` never runs backwards."""
        self._deadlines.pop(member, None)
        self._deadlines[member] = now + self.idle_seconds

    def forget(self, member: Member) -> None:
        """Take it out, if it is in."""
        self._deadlines.pop(member, None)

    def due(self, now: float, limit: int) -> list[Member]:
        """Take out those whose deadline has come, the longest overdue first, at most ``limit``."""
        first = islice(self._deadlines.items(), limit)
        due = [member for member, _ in takewhile(lambda entry: entry[1] <= now, first)]
        for member in due:
            del self._deadlines[member]
        return due
