"""Parcel: an item of a batch on its way, alone or joined with later ones for the same room."""

from collections.abc import Iterator

from imd.comet.answer import Answer
from imd.comet.channel import Channel
from imd.comet.edition import Edition
from imd.comet.load import Load
from imd.comet.policy import SlowPolicy
from imd.comet.squad import Squad
from imd.comet.tally import Tally
from imd.protocol.operation import Operation
from imd.protocol.rpc import Item, Kind, Outcome
from imd.protocol.timeline import Place

ITEM_BYTES = 512  # what an item costs besides its packets and keys

_ROOM = Kind.ROOM  # looking it up in its enum costs as much as all else that is asked of an item


class Parcel:
    """Waits with its items; once begun, has a load and those who have still to get it, and takes no more items."""

    __slots__ = ("channels", "count", "first", "items", "load", "size_bytes", "squads", "tally")

    def __init__(self, item: Item) -> None:
        self.first = item  # says for whom
        self.items: list[tuple[Item, Answer, int]] = []  # with where each outcome goes: (item, answer, place)
        self.count = 0  # packets of all items
        self.size_bytes = 0  # likewise
        self.tally = Tally()
        self.load: Load | None = None  # None = not begun
        self.channels: Iterator[Channel] = iter(())  # who has still to get it, unless it is for a room
        self.squads: list[Squad] = []  # which of the room have still to get it, the next one last

    def add(self, item: Item, answer: Answer, place: int, size_bytes: int) -> None:
        """Take an item with it, of that :func:`size_of`. Precondition: not begun."""
        self.items.append((item, answer, place))
        self.count += item.count
        self.size_bytes += size_bytes

    def may_take(self, item: Item) -> bool:
        """Whether it is for the same room and of the same kind, so that all can be one load. Kept and live ones are not mixed;
        a traced one stays alone, and so does what only some can read."""
        first = self.first
        return (
            item.kind is first.kind is _ROOM
            and item.room == first.room
            and bool(item.places) is bool(first.places)
            and not (item.traced or first.traced)
            and Operation.PRESENCE not in (item.operation, first.operation)
        )

    def edition(self, policy: SlowPolicy) -> Edition:
        """Of all items, for version-2 channels. Raises :class:`imd.errors.ProtocolError` for what are no packets."""
        marks: list[tuple[int, int]] = []
        places: list[Place] = []
        for item, _, _ in self.items:
            marks += item.marks or ((0, 0),) * item.count
            places += item.places
        first = self.first
        if first.kind is _ROOM:
            return Edition(self.packets, marks=marks, policy=policy, room=first.room, places=places)
        inboxes = dict(zip(first.keys, places, strict=True)) if places else None
        return Edition(self.packets, marks=marks, policy=policy, inboxes=inboxes)

    def outcomes(self) -> list[Outcome]:
        """What became of each item, in their order, when all receivers had their turn."""
        outcomes: list[Outcome] = []
        start = 0
        for item, _, _ in self.items:
            outcomes.append(self.tally.outcome(item.count, start))
            start += item.count
        return outcomes

    @property
    def packets(self) -> bytes:
        """Of all items, in order."""
        if len(self.items) == 1:
            return self.first.packets
        return b"".join([item.packets for item, _, _ in self.items])


def size_of(item: Item) -> int:
    """What an item costs while it waits, in bytes."""
    keys = item.keys
    named = len(keys[0]) if len(keys) == 1 else sum(map(len, keys))  # nearly all have one
    return ITEM_BYTES + len(item.packets) + named + 64 * len(keys) + 128 * len(item.places) + 16 * len(item.mids)


def trouble_of(item: Item) -> str | None:
    """What is wrong with an item whose parts do not fit together; None = nothing."""
    if item.marks and len(item.marks) != item.count:
        return f"{len(item.marks)} marks for {item.count} packets"
    if item.places:
        if item.kind is _ROOM:
            if len(item.places) != item.count:
                return f"{len(item.places)} places for {item.count} packets"
        elif len(item.places) != len(item.keys) or item.count != 1:
            return f"{len(item.places)} places for {item.count} packets to {len(item.keys)} keys"
    if item.traced and item.count != 1:
        return f"{item.count} packets that are traced"
    if item.mids and len(item.mids) != len(item.keys):
        return f"{len(item.mids)} members for {len(item.keys)} keys"
    return None
