"""Items on their way."""

from twisted.trial.unittest import SynchronousTestCase

from imd.comet.answer import Answer
from imd.comet.parcel import ITEM_BYTES, Parcel, size_of
from imd.protocol.rpc import Item, Kind
from tests.support.comet_fakes import to_keys, to_room


class ParcelTests(SynchronousTestCase):
    """Alone or joined."""

    def test_alone(self) -> None:
        """Its packets are the item's own, not a copy."""
        item = to_room(b"a")
        parcel = Parcel(item)
        parcel.add(item, Answer(1), 0)
        self.assertIs(parcel.packets, item.packets)
        self.assertEqual((parcel.count, parcel.size_bytes), (1, size_of(item)))

    def test_joined(self) -> None:
        """Packets back to back, counts and sizes summed."""
        items = (to_room(b"a"), Item(Kind.ROOM, b"bb", count=2, room="live://1"))
        parcel = Parcel(items[0])
        for item in items:
            parcel.add(item, Answer(1), 0)
        self.assertEqual((parcel.packets, parcel.count), (items[0].packets + b"bb", 3))
        self.assertEqual(parcel.size_bytes, sum(map(size_of, items)))

    def test_size_counts_keys(self) -> None:
        """A small body for many keys is no small item."""
        self.assertEqual(size_of(to_keys(b"", "abc", "de")), ITEM_BYTES + 16 + 5 + 128)
