"""What became of a traced item."""

from twisted.trial.unittest import SynchronousTestCase

from imd.comet.drop import Drop
from imd.comet.fate import Fate
from imd.comet.hops import MAX_HOPS, Hops
from imd.protocol.timeline import Place
from imd.protocol.trace import Hop, Step
from tests.support.version_2 import following


class HopsTests(SynchronousTestCase):
    """A line a channel."""

    def setUp(self) -> None:
        self.hops = Hops(now_ms=lambda: 7, process="comet/c")
        self.member = following(key="k", mid=3)

    def note(self, fate: Fate | Drop, held: bool = False) -> Hop:
        self.hops.note(self.member, fate, held=held)
        return self.hops.noted[-1]

    def test_each_fate(self) -> None:
        """Has its step, and its reason unless all is well."""
        expected: dict[Fate | Drop, tuple[Step, str]] = {
            Fate.DELIVERED: (Step.WRITTEN, ""),
            Fate.DUPLICATE: (Step.WRITTEN, "duplicate"),
            Fate.DEFERRED: (Step.KEPT, "deferred"),
            Fate.FILTERED: (Step.DROPPED, "filtered"),
            Fate.LEFT: (Step.DROPPED, "left"),
            Drop.FULL: (Step.DROPPED, "full"),
        }
        for fate, (step, reason) in expected.items():
            self.assertEqual(self.note(fate), Hop(step, 7, "comet/c", "", 0, 3, "k", reason))
        self.assertEqual({*expected} - {Drop.FULL}, set(Fate))

    def test_held(self) -> None:
        """Waits in the outbox."""
        self.assertEqual(self.note(Fate.DELIVERED, held=True).step, Step.QUEUED)

    def test_places(self) -> None:
        """In the inbox, or the room."""
        self.hops = Hops(now_ms=lambda: 7, process="comet/c", inboxes={"k": Place(5, "e")})
        inbox = self.note(Fate.DELIVERED)
        self.assertEqual((inbox.timeline, inbox.seq), ("m:3", 5))
        self.hops = Hops(now_ms=lambda: 7, process="comet/c", room="t://r", place=Place(6, "e"))
        room = self.note(Fate.DELIVERED)
        self.assertEqual((room.timeline, room.seq), ("r:t://r", 6))

    def test_bounded(self) -> None:
        """A push to a large room does not make a large answer."""
        for _ in range(MAX_HOPS + 5):
            self.note(Fate.DELIVERED)
        self.assertEqual(len(self.hops.noted), MAX_HOPS)
