"""Pushes as version-2 clients read them."""

from twisted.trial.unittest import SynchronousTestCase

from imd.comet.edition import Edition, Run, replay
from imd.comet.policy import SlowPolicy
from imd.errors import ProtocolError
from imd.protocol.push_header import PushHeader, decode_push_header, encode_push
from imd.protocol.rpc import Page
from imd.protocol.timeline import Message, Place
from tests.support.comet_fakes import pushed
from tests.support.version_2 import newer_packets

LATEST = SlowPolicy.LATEST_ONLY


def headers(data: bytes) -> list[PushHeader]:
    return [decode_push_header(packet.extension) for packet in newer_packets(data)]


class EditionTests(SynchronousTestCase):
    """Three pushes to a room."""

    def edition(self, *places: Place) -> Edition:
        packets = pushed(b"a") + pushed(b"b", 7) + pushed(b"c")
        return Edition(packets, marks=[(1, 10), (2, 20), (3, 30)], policy=LATEST, room="t://r", places=places)

    def test_live(self) -> None:
        """In no timeline; built once, and held as the room's policy says."""
        edition = self.edition()
        load = edition.live()
        expected = encode_push(7, b"b", id=2, seq=0, at_ms=20, timeline="t://r")
        self.assertIn(expected, load.wire.packets)
        self.assertEqual([header.seq for header in headers(load.wire.packets)], [0, 0, 0])
        self.assertIs(edition.live(), load)
        self.assertEqual((load.packets, load.policy, load.room), (3, LATEST, "t://r"))
        self.assertEqual((edition.runs, edition.timeline), ((), ""))

    def test_kept(self) -> None:
        """In one run: whole, and without those that somebody has."""
        edition = self.edition(Place(5, "e"), Place(6, "e"), Place(7, "e"))
        self.assertEqual((edition.runs, edition.timeline), ((Run(0, 3, 5, "e"),), "r:t://r"))
        (run,) = edition.runs
        self.assertEqual([header.seq for header in headers(edition.kept(run).wire.packets)], [5, 6, 7])
        part = edition.kept(run, 2)
        self.assertEqual(headers(part.wire.packets), [PushHeader(3, 7, 30, "t://r")])
        self.assertIs(edition.kept(run, 2), part)

    def test_runs(self) -> None:
        """Another begins where a seq is not the next, or the epoch is another."""
        edition = self.edition(Place(5, "e"), Place(5, "e"), Place(6, "f"))
        self.assertEqual(edition.runs, (Run(0, 1, 5, "e"), Run(1, 1, 5, "e"), Run(2, 1, 6, "f")))
        self.assertEqual(headers(edition.kept(edition.runs[2]).wire.packets), [PushHeader(3, 6, 30, "t://r")])

    def test_inboxes(self) -> None:
        """By key."""
        edition = Edition(pushed(b"a"), marks=[(1, 2)], policy=LATEST, inboxes={"k": Place(4, "e")})
        self.assertEqual((edition.inbox("k"), edition.inbox("other")), (Place(4, "e"), None))
        self.assertEqual(headers(edition.kept(Run(0, 1, 4, "e")).wire.packets), [PushHeader(1, 4, 2, "")])

    def test_inboxes_are_not_remembered(self) -> None:
        """A push to 10,000 members does not hold as many copies of its body."""
        edition = Edition(pushed(b"a"), marks=[(1, 2)], policy=LATEST, inboxes={"k": Place(4, "e")})
        run = Run(0, 1, 4, "e")
        self.assertIsNot(edition.kept(run), edition.kept(run))

    def test_no_packets(self) -> None:
        """Are refused, and so are more or fewer than there are marks."""
        self.assertRaises(ProtocolError, Edition, b"x", marks=[], policy=LATEST)
        self.assertRaises(ProtocolError, Edition, pushed(b"a"), marks=[], policy=LATEST)
        self.assertRaises(ProtocolError, Edition, b"", marks=[(1, 2)], policy=LATEST)

    def test_replay(self) -> None:
        """A page's messages, under the name that clients know."""
        messages = (Message(3, 100, 5, 1000, b"a"), Message(4, 101, 6, 7, b"b"))
        for timeline, name in (("r:t://r", "t://r"), ("m:5", "")):
            load = replay(Page(timeline, Place(4, "e"), messages=messages))
            expected = [(PushHeader(100, 3, 5, name), 1000, b"a"), (PushHeader(101, 4, 6, name), 7, b"b")]
            packets = list(newer_packets(load.wire.packets))
            found = [(decode_push_header(packet.extension), packet.operation, packet.body) for packet in packets]
            self.assertEqual((found, load.packets), (expected, 2))
