"""Parcel: an item of a batch on its way, alone or joined with later ones for the same room."""

from collections.abc import Iterator

from imd.comet.answer import Answer
from imd.comet.channel import Channel
from imd.comet.load import Load
from imd.comet.tally import Tally
from imd.protocol.rpc import Item

ITEM_BYTES = 512  # what an item costs besides its packets and keys


class Parcel:
    """Waits with its items; once begun, has a load and an iterator over its receivers, and takes no more items."""

    __slots__ = ("channels", "first", "items", "load", "size_bytes", "tally")

    def __init__(self, item: Item) -> None:
        self.first = item  # says for whom
        self.items: list[tuple[Item, Answer, int]] = []  # with where each outcome goes: (item, answer, place)
        self.size_bytes = 0  # of all items
        self.tally = Tally()
        self.load: Load | None = None  # None = not begun
        self.channels: Iterator[Channel] = iter(())  # who has still to get it

    def add(self, item: Item, answer: Answer, place: int) -> None:
        """Take an item with it. Precondition: not begun."""
        self.items.append((item, answer, place))
        self.size_bytes += size_of(item)

    @property
    def packets(self) -> bytes:
        """Of all items, in order."""
        if len(self.items) == 1:
            return self.first.packets
        return b"".join([item.packets for item, _, _ in self.items])

    @property
    def count(self) -> int:
        """How many packets."""
        return sum(item.count for item, _, _ in self.items)


def size_of(item: Item) -> int:
    """What an item costs while it waits, in bytes."""
    return ITEM_BYTES + len(item.packets) + sum(len(key) + 64 for key in item.keys)
