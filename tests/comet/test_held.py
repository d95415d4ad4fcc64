"""The queue of a slow client."""

from twisted.trial.unittest import SynchronousTestCase

from imd.comet.held import ENTRY_BYTES, Held
from imd.comet.policy import SlowPolicy

DISCONNECT, OLDEST, LATEST = SlowPolicy


class HeldTests(SynchronousTestCase):
    """Order, sizes and eviction."""

    def test_take_joins_whole_wires(self) -> None:
        """As many as fit, never a part of one; at least one."""
        held = Held()
        for data in (b"aaa", b"bbb", b"ccccc", b"d"):
            held.reply(data, 0)
        self.assertEqual([held.take(6), held.take(4), held.take(4)], [b"aaabbb", b"ccccc", b"d"])
        self.assertFalse(held)

    def test_sizes(self) -> None:
        """What is held and what may be dropped, with the bookkeeping; nothing is left over in the end."""
        held = Held()
        held.reply(b"r", 1)
        held.push(b"pp", 3, OLDEST, "", 2)
        held.push(b"qqq", 2, DISCONNECT, "", 3)
        self.assertEqual((held.size_bytes, held.droppable_bytes), (6 + 3 * ENTRY_BYTES, 2 + ENTRY_BYTES))
        self.assertEqual((held.packets, held.oldest_at), (5, 1))
        self.assertEqual((held.evict(), held.evict()), (3, 0))
        held.take(100)
        self.assertEqual((held.size_bytes, held.droppable_bytes, held.packets), (0, 0, 0))

    def test_supersede(self) -> None:
        """Only the room's own wire, and only while it is held."""
        held = Held()
        held.push(b"a", 1, LATEST, "a", 0)
        held.push(b"b", 4, LATEST, "b", 0)
        self.assertEqual((held.supersede("b"), held.supersede("b"), held.supersede("c")), (4, 0, 0))
        self.assertEqual(held.take(100), b"a")
        self.assertEqual(held.supersede("a"), 0)

    def test_evict_oldest_first(self) -> None:
        """In the order in which they came, past what must stay."""
        held = Held()
        for number, policy in enumerate((DISCONNECT, OLDEST, LATEST, OLDEST)):
            held.push(b"%d" % number, number + 1, policy, "room", 0)
        self.assertEqual([held.evict() for _ in range(4)], [2, 3, 4, 0])
        self.assertEqual(held.take(100), b"0")
