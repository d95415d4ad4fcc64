"""Letters: items for one key each, which is what members are pushed mostly. Many of them wait, and go, together."""

from collections import deque

from imd.comet.answer import Answer
from imd.protocol.rpc import Item, Kind

_KEYS = Kind.KEYS  # looking it up in its enum costs as much as all else that is asked here


def is_letter(item: Item) -> bool:
    """One packet for one key, and nobody wants to know its way."""
    return item.kind is _KEYS and len(item.keys) == 1 and item.count == 1 and not item.traced


class Letters:
    """Wait with their answers; once begun they take no more with them."""

    __slots__ = ("begun", "items", "size_bytes")

    def __init__(self) -> None:
        self.items: deque[tuple[Item, Answer, int]] = deque()  # with where each outcome goes: (item, answer, place)
        self.size_bytes = 0  # of all that there were
        self.begun = False  # some were delivered

    def add(self, item: Item, answer: Answer, place: int, size_bytes: int) -> None:
        """Precondition: not begun."""
        self.items.append((item, answer, place))
        self.size_bytes += size_bytes
