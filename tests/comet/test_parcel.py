"""Items on their way."""

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from imd.comet.answer import Answer
from imd.comet.fate import Fate
from imd.comet.load import Load
from imd.comet.parcel import ITEM_BYTES, Parcel, size_of, trouble_of
from imd.comet.policy import SlowPolicy
from imd.protocol.push_header import PushHeader, decode_push_header
from imd.protocol.rpc import Item, Kind, Outcome
from imd.protocol.timeline import Place
from tests.support.comet_fakes import pushed, to_keys, to_room
from tests.support.version_2 import kept_for_keys, kept_in_room, newer_packets


class ParcelTests(SynchronousTestCase):
    """Alone or joined."""

    def test_alone(self) -> None:
        """Its packets are the item's own, not a copy."""
        item = to_room(b"a")
        parcel = Parcel(item)
        parcel.add(item, Answer(1), 0, size_of(item))
        self.assertIs(parcel.packets, item.packets)
        self.assertEqual((parcel.count, parcel.size_bytes), (1, size_of(item)))

    def test_joined(self) -> None:
        """Packets back to back, counts and sizes summed."""
        items = (to_room(b"a"), Item(Kind.ROOM, b"bb", count=2, room="live://1"))
        parcel = Parcel(items[0])
        for item in items:
            parcel.add(item, Answer(1), 0, size_of(item))
        self.assertEqual((parcel.packets, parcel.count), (items[0].packets + b"bb", 3))
        self.assertEqual(parcel.size_bytes, sum(map(size_of, items)))

    def test_size_counts_keys(self) -> None:
        """A small body for many keys is no small item."""
        self.assertEqual(size_of(to_keys(b"", "abc", "de")), ITEM_BYTES + 16 + 5 + 128)

    def test_size_counts_places(self) -> None:
        """They are held with their item."""
        item = kept_in_room(1, b"a")
        self.assertEqual(size_of(item), ITEM_BYTES + 17 + 128)


class JoinTests(SynchronousTestCase):
    """What may be one load."""

    def test_of_one_kind(self) -> None:
        """Kept or live ones of one room; nothing that is traced, or that only some can read."""
        live, kept = to_room(b"a", "r"), kept_in_room(1, b"a", room="r")
        traced = kept_in_room(2, b"a", room="r", traced=True)
        presence = Item(Kind.ROOM, pushed(b"a", 46), operation=46, room="r")
        other = to_room(b"a", "s")
        items = (live, kept, traced, presence, other, to_keys(b"a", "k"))
        joined = [(one, two) for one in items for two in items if Parcel(one).may_take(two)]
        self.assertEqual(joined, [(live, live), (kept, kept), (other, other)])

    def test_edition(self) -> None:
        """Marks and places stay with their packets; a mark that is missing is zero."""
        parcel = Parcel(kept_in_room(4, b"a", b"b"))
        for item in (kept_in_room(4, b"a", b"b"), kept_in_room(6, b"c")):
            parcel.add(item, Answer(1), 0, size_of(item))
        edition = parcel.edition(SlowPolicy.DISCONNECT)
        headers = self.headers(edition.kept(edition.runs[0]))
        self.assertEqual(
            [(header.id, header.seq, header.timeline) for header in headers],
            [(104, 4, "kept://1"), (105, 5, "kept://1"), (106, 6, "kept://1")],
        )
        live = Parcel(to_room(b"a"))
        live.add(live.first, Answer(1), 0, size_of(live.first))
        self.assertEqual(self.headers(live.edition(SlowPolicy.DISCONNECT).live()), [PushHeader(0, 0, 0, "live://1")])

    def test_edition_for_keys(self) -> None:
        """Each key has its place."""
        item = kept_for_keys(b"a", {"k": 3, "l": 8})
        parcel = Parcel(item)
        parcel.add(item, Answer(1), 0, size_of(item))
        edition = parcel.edition(SlowPolicy.DISCONNECT)
        self.assertEqual((edition.inbox("k"), edition.inbox("l")), (Place(3, "e"), Place(8, "e")))

    def test_outcomes(self) -> None:
        """Each item hears of its own packets."""
        parcel = Parcel(kept_in_room(4, b"a", b"b"))
        for item in (kept_in_room(4, b"a", b"b"), kept_in_room(6, b"c")):
            parcel.add(item, Answer(1), 0, size_of(item))
        parcel.tally.add(Fate.DELIVERED)
        parcel.tally.add_part(Fate.DUPLICATE, 0, 1)
        parcel.tally.add_part(Fate.DELIVERED, 1, 3)
        self.assertEqual(parcel.outcomes(), [Outcome(delivered=3, duplicate=1), Outcome(delivered=2)])

    def headers(self, load: Load) -> list[PushHeader]:
        return [decode_push_header(packet.extension) for packet in newer_packets(load.wire.packets)]


class TroubleTests(SynchronousTestCase):
    """Items that do not fit together."""

    def test_good(self) -> None:
        """As job makes them."""
        items = (to_room(b"a"), to_keys(b"a", "k"), kept_in_room(1, b"a", b"b"), kept_for_keys(b"a", {"k": 1, "l": 2}))
        self.assertEqual([trouble_of(item) for item in items], [None] * 4)

    def test_bad(self) -> None:
        """Too few marks, or places; several packets for inboxes, or traced."""
        room, keys = kept_in_room(1, b"a", b"b"), kept_for_keys(b"a", {"k": 1, "l": 2})
        replace = msgspec.structs.replace
        for item in (
            replace(room, marks=((1, 1),)),
            replace(room, places=room.places[:1]),
            replace(keys, places=keys.places[:1]),
            replace(keys, count=2, marks=()),
            replace(room, traced=True),
        ):
            self.assertIsNotNone(trouble_of(item))
