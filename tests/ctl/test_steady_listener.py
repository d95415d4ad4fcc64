"""A listener that resumes: what it shows, what it says, how it ends, what it stores."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.client.client_v2 import ClientV2
from imd.client.core import Pushed
from imd.client.timeline import Missed
from imd.ctl.place_file import PlaceFile
from imd.ctl.steady_listener import SAVE_SECONDS, SteadyListener
from imd.errors import CloseReason, ConfigError, ImdError, NotAllowed, PeerUnavailable
from imd.protocol.auth_reply import Allowance, AuthReply, Standing
from imd.protocol.body import Auth
from imd.protocol.goodbye import Goodbye
from imd.protocol.packet import Packet, encode
from imd.protocol.presence_event import PresenceEvent
from imd.protocol.push_header import encode_push
from imd.protocol.timeline import Place
from tests.client.test_client import FakeLink, start

ROOM = "chat://1"


class SteadyListenerTests(SynchronousTestCase):
    """On a clock, against a server of the test's own."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.link = FakeLink()
        self.clients: list[ClientV2] = []
        self.refusals: list[ImdError] = []
        self.shown: list[Pushed] = []
        self.said: list[str] = []
        folder = Path(self.mktemp())
        folder.mkdir()
        self.path = folder / "places.json"

    async def connect(self, on_push: Callable[[Pushed], None]) -> ClientV2:
        if self.refusals:
            raise self.refusals.pop(0)
        self.clients.append(ClientV2(link=self.link, clock=self.clock, framed=False, on_push=on_push))
        return self.clients[-1]

    def start(self, **changes: Any) -> Deferred[None]:
        self.listener = SteadyListener(
            clock=self.clock,
            connect=self.connect,
            url="tcp://there",
            auth=Auth(),
            rooms=[ROOM],
            show=self.shown.append,
            say=self.said.append,
            jitter=lambda: 0.5,
            **({"file": PlaceFile(self.path)} | changes),
        )
        return start(self.listener.run())

    def let_in(self, standing: Standing | None = None) -> None:
        reply = AuthReply("k", 0, "c1", 30, {ROOM: standing or Standing(5, "e", True)}, Allowance(100, 4096, 50))
        self.clients[-1].received(encode(Packet(8, reply.encode(), self.link.sent[-1].sequence, 2)))

    def push(self, *seqs: int) -> None:
        for seq in seqs:
            self.clients[-1].received(encode_push(1000, b"hi", id=seq, seq=seq, at_ms=1, timeline=ROOM))

    def end(self, run: Deferred[None]) -> None:
        gone = self.listener.stop()
        self.clock.advance(0)
        self.clients[-1].lost()
        self.successResultOf(gone)
        self.successResultOf(run)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_shows_and_stores(self) -> None:
        """Pushes are shown, counted, and their place is in the file soon, and at the end."""
        run = self.start()
        self.let_in()
        self.push(6, 7)
        self.assertEqual((len(self.shown), self.listener.received), (2, 2))
        self.clock.advance(SAVE_SECONDS)
        self.assertEqual(PlaceFile(self.path).load(), {ROOM: Place(7, "e")})
        self.push(8)
        self.end(run)
        self.assertEqual(PlaceFile(self.path).load(), {ROOM: Place(8, "e")})
        self.assertEqual((self.said, self.listener.losses), (["connected to tcp://there, in chat://1"], 0))

    def test_goes_on_where_it_stopped(self) -> None:
        """What the file says is resumed."""
        PlaceFile(self.path).save({ROOM: Place(3, "e")})
        run = self.start()
        self.assertIn(b'"resume":{"chat://1":{"seq":3,"epoch":"e"}}', self.link.sent[-1].body)
        self.let_in()
        self.push(4, 5)
        self.assertEqual(len(self.shown), 2)
        self.end(run)

    def test_count_ends_it(self) -> None:
        """After exactly as many; the others are not handled."""
        run = self.start(count=2)
        self.let_in()
        self.push(6, 7, 8)
        self.assertTrue(self.listener.complete)
        self.end(run)
        self.assertEqual((len(self.shown), PlaceFile(self.path).load()), (2, {ROOM: Place(7, "e")}))

    def test_losses_are_said(self) -> None:
        """With the wait; then it comes back."""
        run = self.start(file=None)
        self.let_in()
        self.clients[-1].lost(0, "reset")
        self.assertEqual(self.said[-1], "the connection ended: reset; again in 0.5 s")
        self.clock.advance(0.5)
        self.let_in()
        self.assertEqual((len(self.clients), self.listener.losses), (2, 1))
        self.end(run)

    def test_what_is_lost_is_said(self) -> None:
        """In plain words: from which to which, or that nobody knows."""
        run = self.start(file=None)
        for before, now, words in (
            (Place(3, "e"), Place(9, "e"), "chat://1: messages 4 to 9 are no longer there: we were away for too long"),
            (Place(3, "e"), Place(4, "e"), "chat://1: message 4 is no longer there: we were away for too long"),
            (Place(3, "e"), Place(9, "f"), "chat://1: the server numbers its messages anew; what was sent while we were away"
             " may be lost"),
        ):  # fmt: skip
            self.listener.missed(Missed(ROOM, before, now))
            self.assertEqual(self.said[-1], words)
        self.listener.missed(Missed("", Place(3, "e"), Place(9, "f")))
        self.assertTrue(self.said[-1].startswith("the inbox: "))
        self.let_in()
        self.end(run)

    def test_attendance_is_said(self) -> None:
        """Who came and who left."""
        run = self.start(file=None)
        self.listener.attended(PresenceEvent(ROOM, 7, joined=True))
        self.listener.attended(PresenceEvent(ROOM, 7, joined=False))
        self.assertEqual(self.said, ["member 7 is in chat://1", "member 7 has left chat://1"])
        self.let_in()
        self.end(run)

    def test_first_refusal_is_the_end(self) -> None:
        """Nobody there, or a slip in the address; and a goodbye for good, always."""
        self.refusals = [PeerUnavailable("refused")]
        run = self.start()
        self.clock.advance(0)
        self.failureResultOf(run, PeerUnavailable)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        run = self.start()
        self.let_in()
        self.clients[-1].received(encode(Packet(6, Goodbye.of(CloseReason.REPLACED).encode(), version=2)))
        self.clients[-1].lost()
        self.failureResultOf(run, NotAllowed)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_file_that_cannot_be_written(self) -> None:
        """Ends it, for it would not go on where it stopped."""
        run = self.start()
        self.let_in()
        self.path.mkdir()
        self.push(6)
        self.clock.advance(SAVE_SECONDS)
        self.clock.advance(0)
        self.clients[-1].lost()
        self.failureResultOf(run, ConfigError)
        self.assertEqual(self.clock.getDelayedCalls(), [])
