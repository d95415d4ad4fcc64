"""What delivery sees of a connection."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from imd.comet.channel import Channel
from imd.comet.drop import Drop
from imd.comet.load import Load
from imd.comet.policy import SlowPolicy
from imd.errors import CloseReason
from imd.metrics import Metrics
from imd.protocol.rpc import Page
from imd.protocol.timeline import Message, Place
from imd.protocol.wire import Wire
from tests.support.comet_fakes import FakeConnection, channel
from tests.support.version_2 import following, seqs


class ChannelTests(SynchronousTestCase):
    """It hands on."""

    def test_offer_and_close(self) -> None:
        """A load goes to the connection, a close to the session."""
        connection = FakeConnection()
        member = channel(connection=connection)
        self.assertIsNone(member.outbox.offer(Load(Wire(b"x"), packets=1, policy=SlowPolicy.DISCONNECT)))
        member.close(CloseReason.REPLACED)
        session: Any = member.session
        self.assertEqual((connection.written, session.closes), (b"x", [CloseReason.REPLACED]))
        self.assertFalse(hasattr(member, "__dict__"))  # there are 100,000 of them

    def test_version_2(self) -> None:
        """It follows timelines, and is known by its device."""
        self.assertIsNone(channel().positions)
        member = following(key="k")
        self.assertEqual((member.positions, member.device), ({}, "k"))
        named = Channel(
            session=member.session, outbox=member.outbox, key="k", mid=1, accepts=frozenset(), version=2, device="phone"
        )
        self.assertEqual(named.device, "phone")

    def test_replay(self) -> None:
        """Messages out of a timeline, written or held; none is no write."""
        metrics = Metrics()
        connection = FakeConnection()
        member = following(connection=connection, metrics=metrics)
        page = Page("m:1", Place(2, "e"), messages=(Message(1, 5, 6, 7, b"a"), Message(2, 5, 6, 7, b"b")))
        self.assertIsNone(member.replay(Page("m:1", Place(2, "e"))))
        self.assertEqual(connection.writes, [])
        self.assertIsNone(member.replay(page))
        self.assertEqual(seqs(connection.written), [("", 1), ("", 2)])
        member.outbox.pause()
        member.replay(page)
        member.outbox.end(flush=False)
        self.assertIs(member.replay(page), Drop.CLOSING)
        self.assertEqual(dict(metrics.replayed.values), {("written",): 2, ("held",): 2, ("closing",): 2})
        self.assertEqual((metrics.outbox_held.value(), metrics.drops.value("comet", "outbox_lost")), (2, 2))
