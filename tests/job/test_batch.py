"""Promises of merging and batching."""

from collections import deque

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from imd.interfaces import Location
from imd.job.batch import MAX_BATCH_BYTES, MAX_BATCH_ITEMS, MAX_ITEM_KEYS, MAX_MERGED_BYTES, merge, pages, take
from imd.job.delivery import Delivery
from imd.job.flight import Flight
from imd.job.parcel import Parcel
from imd.protocol.push import Push, Target
from imd.protocol.rpc import Item, Kind
from imd.protocol.timeline import Place

HERE = Location("a", 1)


def delivery(number: int, room: str = "", size: int = 20) -> Delivery:
    """A push to a room, or to a key when ``room`` is empty, encoded."""
    push = Push(number, 0, Target.ROOM if room else Target.KEYS, room=room, keys=() if room else ("k",))
    made = Delivery(push, Flight([b"t"], 1))
    made.packet = bytes(size)
    return made


def parcel(size: int) -> Parcel:
    """With packets of ``size`` bytes."""
    return Parcel(location=HERE, item=Item(Kind.KEYS, bytes(size), keys=("k",)), deliveries=[delivery(1)])


class MergeTests(SynchronousTestCase):
    """Pushes that leave together."""

    @given(st.lists(st.sampled_from(["", "live://1", "live://2", "chat://1"]), max_size=50))
    def test_every_push_once_and_in_order(self, rooms: list[str]) -> None:
        """Whatever the mix: nothing lost, nothing twice, each target's order kept, one group a room."""
        deliveries = [delivery(number, room) for number, room in enumerate(rooms)]
        groups = merge(deliveries)
        self.assertEqual(sorted(d.push.id for group in groups for d in group), list(range(len(rooms))))
        for room in set(rooms):
            ids = [d.push.id for group in groups for d in group if d.push.room == room]
            self.assertEqual(ids, sorted(ids))
            if room:
                self.assertEqual(sum(group[0].push.room == room for group in groups), 1)
        self.assertTrue(all(len({d.push.room for d in group}) == 1 for group in groups))

    def test_an_item_has_its_limit(self) -> None:
        """What would pass it begins another group; a push over the limit goes alone."""
        half = MAX_MERGED_BYTES // 2
        sizes = [half, half, 1, MAX_MERGED_BYTES + 1, 5]
        groups = merge([delivery(number, "live://1", size) for number, size in enumerate(sizes)])
        self.assertEqual([[d.push.id for d in group] for group in groups], [[0, 1], [2], [3], [4]])

    def test_kept_and_live_ones_leave_apart(self) -> None:
        """They are different to a comet; neither passes the other. So for a traced one, and for a presence event."""
        made = [delivery(number, "chat://1") for number in range(8)]
        for number in (2, 3):
            made[number].places = (Place(number, "e"),)
        made[5].push = replace(made[5].push, trace="00-")
        made[6].push = replace(made[6].push, operation=46)
        ids = [[each.push.id for each in group] for group in merge(made)]
        self.assertEqual(ids, [[0, 1], [2, 3], [4], [5], [6], [7]])


class TakeTests(SynchronousTestCase):
    """What one request carries."""

    def test_items_have_a_limit(self) -> None:
        """The rest stays queued, in order."""
        queue = deque(parcel(10) for _ in range(MAX_BATCH_ITEMS + 3))
        whole = list(queue)
        self.assertEqual(take(queue), whole[:MAX_BATCH_ITEMS])
        self.assertEqual(list(queue), whole[MAX_BATCH_ITEMS:])

    def test_bytes_have_a_limit(self) -> None:
        """A request stays below it, but one large parcel goes alone."""
        queue = deque(parcel(size) for size in (2 * MAX_BATCH_BYTES, 10, MAX_BATCH_BYTES - 200, 100))
        self.assertEqual([len(take(queue)) for _ in range(3)], [1, 2, 1])

    def test_keys_come_in_pages(self) -> None:
        """No item names more than its limit."""
        keys = [str(number) for number in range(2 * MAX_ITEM_KEYS + 1)]
        shares = list(pages(keys))
        self.assertEqual([len(share) for share in shares], [MAX_ITEM_KEYS, MAX_ITEM_KEYS, 1])
        self.assertEqual([key for share in shares for key in share], keys)
