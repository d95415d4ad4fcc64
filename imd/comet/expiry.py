"""Expiry: when sessions' tokens run out, without a timer for each."""

from heapq import heapify, heappop, heappush
from itertools import count
from typing import Generic, TypeVar

Member = TypeVar("Member")

SPARE = 64  # entries that do not count any more and are kept all the same


class ExpiryList(Generic[Member]):
    """Each member has a date of its own, so they do not come in order: a heap.

    One that is given another date, or leaves, leaves an entry behind. It is thrown away when its date comes, or when more than
    half of all are such.
    """

    __slots__ = ("_dates", "_heap", "_numbers")

    def __init__(self) -> None:
        self._dates: dict[Member, int] = {}  # ms since the epoch
        self._heap: list[tuple[int, int, Member]] = []  # (date, a number so that members are never compared, member)
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._dates)

    def set(self, member: Member, at_ms: int) -> None:
        """Enter it, or give it another date; 0 = never."""
        self.forget(member)
        if at_ms:
            self._dates[member] = at_ms
            heappush(self._heap, (at_ms, next(self._numbers), member))

    def forget(self, member: Member) -> None:
        """Take it out, if it is in."""
        if self._dates.pop(member, None) is not None and len(self._heap) > 2 * len(self._dates) + SPARE:
            self._heap = [entry for entry in self._heap if self._dates.get(entry[2]) == entry[0]]
            heapify(self._heap)

    def due(self, now_ms: int, limit: int) -> list[Member]:
        """Take out those whose date has come, the longest overdue first, at most ``limit``."""
        due: list[Member] = []
        while self._heap and self._heap[0][0] <= now_ms and len(due) < limit:
            at_ms, _, member = heappop(self._heap)
            if self._dates.get(member) == at_ms:
                del self._dates[member]
                due.append(member)
        return due
