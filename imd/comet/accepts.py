"""AcceptSets: equal accept sets are one object."""

from collections.abc import Iterable

MAX_SETS = 1000  # remembered; an application has a few
MAX_OPERATIONS = 16  # of a remembered set: so all of them are 1 MB at most, whatever clients send


class AcceptSets:
    """Clients of one application ask for the same few operations. Shared, a set costs a connection 8 bytes, not 300."""

    __slots__ = ("_sets",)

    def __init__(self) -> None:
        self._sets: dict[frozenset[int], frozenset[int]] = {}

    def share(self, operations: Iterable[int]) -> frozenset[int]:
        """The set of these; the same object as for others, if it is remembered."""
        accepts = frozenset(operations)
        if len(accepts) > MAX_OPERATIONS:
            return accepts
        if len(self._sets) >= MAX_SETS and accepts not in self._sets:
            self._sets.clear()
        return self._sets.setdefault(accepts, accepts)
