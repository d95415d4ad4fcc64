"""A timeline as a client follows it: any order of arrival ends as each message once, in order."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imd.client.core import Pushed
from imd.client.timeline import MAX_HELD, Missed, Timeline
from imd.errors import ProtocolError
from imd.protocol.push_header import PushHeader
from imd.protocol.timeline import NOWHERE, Place


def push(seq: int, id: int = 0) -> Pushed:
    return Pushed(1000, str(seq).encode(), PushHeader(id or 100 + seq, seq, 0, "a://1"))


def seqs(items: list[Pushed | Missed]) -> list[int]:
    return [item.header.seq for item in items if isinstance(item, Pushed) and item.header is not None]


class TakeTests(SynchronousTestCase):
    """Pushes that come."""

    def setUp(self) -> None:
        self.timeline = Timeline("a://1", Place(5, "e"))

    def take(self, *numbers: int) -> list[int]:
        return [seq for number in numbers for seq in seqs(list(self.timeline.take(push(number))))]

    def test_in_order(self) -> None:
        """The next one is handed on at once; it counts as handled only then."""
        taking = self.timeline.take(push(6))
        next(taking)
        self.assertEqual(self.timeline.place, Place(5, "e"))
        self.assertEqual(list(taking), [])
        self.assertEqual(self.timeline.place, Place(6, "e"))

    def test_duplicates(self) -> None:
        """What was handled, or is held, is counted and not handed on."""
        self.assertEqual(self.take(6, 6, 3, 8, 8), [6])
        self.assertEqual(self.timeline.duplicates, 3)

    def test_hole(self) -> None:
        """What comes behind a hole is held until it is filled."""
        self.assertEqual(self.take(8, 7), [])
        self.assertTrue(self.timeline.lacks)
        self.assertEqual(self.timeline.question(), Place(5, "e"))
        self.assertEqual(self.take(6), [6, 7, 8])
        self.assertFalse(self.timeline.lacks)
        self.assertEqual(list(self.timeline.filled(6, recovered=True, more=False)), [])

    def test_held_is_bounded(self) -> None:
        """The furthest are let go, and still known to be missing."""
        last = 8 + MAX_HELD + 10
        self.take(*range(7, last + 1))
        self.assertEqual(self.take(6), list(range(6, 7 + MAX_HELD)))
        self.assertTrue(self.timeline.lacks)

    def test_another_push_in_the_same_place(self) -> None:
        """One place, two pushes: the server is wrong."""
        self.take(6, 9)
        for wrong in (push(6, 1), push(9, 1)):
            with self.assertRaises(ProtocolError):
                list(self.timeline.take(wrong))

    def test_live_timeline_keeps_nothing(self) -> None:
        """A place in a timeline that has no epoch is wrong."""
        with self.assertRaises(ProtocolError):
            list(Timeline("a://1", NOWHERE).take(push(1)))


class ResumedTests(SynchronousTestCase):
    """A connection begins."""

    def test_new_to_it(self) -> None:
        """Who has no place begins at the end."""
        timeline = Timeline("a://1", NOWHERE)
        self.assertIsNone(timeline.resumed(Place(7, "e"), recovered=True))
        self.assertEqual(timeline.place, Place(7, "e"))

    def test_recovered(self) -> None:
        """The place stays, what was held is asked for no more: it comes."""
        timeline = Timeline("a://1", Place(5, "e"))
        list(timeline.take(push(8)))
        self.assertIsNone(timeline.resumed(Place(9, "e"), recovered=True))
        self.assertEqual((timeline.place, timeline.lacks), (Place(5, "e"), False))
        self.assertEqual(seqs([ready for n in (6, 7, 8, 9) for ready in timeline.take(push(n))]), [6, 7, 8, 9])

    def test_not_recovered(self) -> None:
        """What is lost is said, and it goes on from the end."""
        timeline = Timeline("a://1", Place(5, "e"))
        self.assertEqual(
            timeline.resumed(Place(2, "f"), recovered=False), Missed("a://1", Place(5, "e"), Place(2, "f"))
        )
        self.assertEqual(timeline.place, Place(2, "f"))

    def test_contradictions(self) -> None:
        """Recovered under another epoch, or from beyond the end."""
        for head in (Place(9, "f"), Place(4, "e")):
            with self.assertRaises(ProtocolError):
                Timeline("a://1", Place(5, "e")).resumed(head, recovered=True)


class FilledTests(SynchronousTestCase):
    """Answers to op 38."""

    def setUp(self) -> None:
        self.timeline = Timeline("a://1", Place(5, "e"))
        list(self.timeline.take(push(9)))
        self.timeline.question()

    def test_window_has_slid(self) -> None:
        """What has left the timeline is said to be lost; then comes what is left."""
        list(self.timeline.take(push(8)))
        items = list(self.timeline.filled(9, recovered=False, more=False))
        self.assertEqual(items[0], Missed("a://1", Place(5, "e"), Place(7, "e")))
        self.assertEqual((seqs(items), self.timeline.lacks), ([8, 9], False))

    def test_nothing_is_left(self) -> None:
        """With nothing held either, it goes on from where the server says."""
        timeline = Timeline("a://1", Place(5, "e"))
        items = list(timeline.filled(12, recovered=False, more=False))
        self.assertEqual((items, timeline.place), ([Missed("a://1", Place(5, "e"), Place(12, "e"))], Place(12, "e")))

    def test_broken_promises(self) -> None:
        """Messages that were said to have come; an end before what had come; a loss of nothing."""
        for last, recovered, more in ((6, True, True), (5, True, False)):
            with self.assertRaises(ProtocolError):
                list(self.timeline.filled(last, recovered, more))
        with self.assertRaises(ProtocolError):
            list(Timeline("a://1", Place(5, "e")).filled(5, recovered=False, more=False))


class AnyOrderTests(SynchronousTestCase):
    """Against a server that drops, repeats and reorders, and answers op 38 from a window."""

    @given(st.data(), st.integers(1, 30), st.integers(1, 40))
    def test_each_once_in_order(self, data: st.DataObject, head: int, window: int) -> None:
        """Handled and missed together are every message, once, in order."""
        timeline, handled = Timeline("a://1", Place(0, "e")), 0
        for seq in [*data.draw(st.lists(st.integers(1, head), max_size=60)), head]:
            came: list[Pushed | Missed] = list(timeline.take(push(seq)))
            while timeline.lacks:
                place = timeline.question()
                first = max(place.seq, head - window) + 1
                page = range(first, min(first + 5, head + 1))
                came += [ready for number in page for ready in timeline.take(push(number))]
                last = page[-1] if page else head
                came += timeline.filled(last, recovered=first == place.seq + 1, more=last < head)
            for item in came:
                if isinstance(item, Missed):
                    self.assertEqual(item.before.seq, handled)
                    self.assertLess(handled, item.now.seq)
                    handled = item.now.seq
                else:
                    handled += 1
                    self.assertEqual(seqs([item]), [handled])
        self.assertEqual((handled, timeline.place.seq), (head, head))
