"""Filling holes: what happens to the connection, tested with a client in tests/client/test_steady_client.py."""

from collections.abc import Iterable

from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from imd.client.client_v2 import ClientV2
from imd.client.core import Pushed
from imd.client.filler import SYNC_RETRIES, Filler
from imd.client.timeline import Missed, Timeline
from imd.errors import Overloaded, PeerUnavailable
from imd.protocol.error_body import ErrorBody
from imd.protocol.packet import Packet, encode
from imd.protocol.sync import SyncReply
from imd.protocol.timeline import Place
from tests.client.test_client import FakeLink
from tests.client.test_timeline import push


class FillerTests(SynchronousTestCase):
    """One hole."""

    def setUp(self) -> None:
        self.clock, self.link = Clock(), FakeLink()
        self.client = ClientV2(link=self.link, clock=self.clock, framed=False)
        self.filler = Filler(clock=self.clock, jitter=lambda: 0.5, filled=self.filled)
        self.timeline = Timeline("a://1", Place(5, "e"))
        list(self.timeline.take(push(7)))

    def tearDown(self) -> None:
        self.client.lost()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def filled(self, items: Iterable[Pushed | Missed]) -> None:
        list(items)
        list(self.timeline.take(push(6)))

    def answer(self) -> None:
        reply = SyncReply("a://1", 5, True, "e", True)
        self.client.received(encode(Packet(39, reply.encode(), self.link.sent[-1].sequence, 2)))

    def test_one_question_at_a_time(self) -> None:
        """While one is open no other is asked; when the hole is filled a later one is asked for anew."""
        for _ in range(2):
            self.filler.fill(self.client, "a://1", self.timeline)
        self.assertEqual((len(self.link.sent), self.filler.gaps), (1, 1))
        self.answer()
        list(self.timeline.take(push(9)))
        self.filler.fill(self.client, "a://1", self.timeline)
        self.assertEqual((len(self.link.sent), self.filler.gaps), (2, 2))

    def test_a_long_hole(self) -> None:
        """Being sent away now and then, as whoever reads many pages is, ends nothing: only failing too often in a row does."""
        self.filler = Filler(clock=self.clock, jitter=lambda: 0.5, filled=lambda items: list(items).clear())
        self.filler.fill(self.client, "a://1", self.timeline)
        for _ in range(2 * SYNC_RETRIES):
            self.refuse()
            self.timeline = Timeline("a://1", Place(5, "e"))
            self.answer()
        self.assertIsNone(self.client.trouble)
        for _ in range(SYNC_RETRIES + 1):
            self.refuse()
        self.assertIsInstance(self.client.trouble, Overloaded)

    def refuse(self) -> None:
        """And let the time pass that the client waits."""
        error = ErrorBody.of(Overloaded("too many"), 38)
        self.client.received(encode(Packet(48, error.encode(), self.link.sent[-1].sequence, 2)))
        self.clock.advance(60)

    def test_stop(self) -> None:
        """The question is forgotten, its answer too."""
        self.filler.fill(self.client, "a://1", self.timeline)
        self.filler.stop()
        self.answer()
        self.assertTrue(self.timeline.lacks)

    def test_a_bug_ends_the_connection(self) -> None:
        """An application that raises leaves no hole behind that nobody fills; the traceback is logged."""

        def broken(items: Iterable[Pushed | Missed]) -> None:
            raise ValueError("broken")

        self.filler = Filler(clock=self.clock, jitter=lambda: 0.5, filled=broken)
        with capturedLogs() as logged:
            self.filler.fill(self.client, "a://1", self.timeline)
            self.answer()
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(len(logged), 1)
        self.assertIsInstance(self.client.trouble, PeerUnavailable)
