"""The client on a link in memory: requests and answers, pushes and back-pressure, heartbeats, every end."""

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from imd.client.client import ANSWER_SECONDS, CLOSE_SECONDS, MAX_QUEUED_PUSHES, Client
from imd.client.core import Pushed
from imd.errors import AuthRefused, CloseReason, DeadlineExceeded, PeerUnavailable, ProtocolError
from imd.protocol.packet import Packet, PacketDecoder, encode

T = TypeVar("T")


class FakeLink:
    """Notes what the client asks for."""

    def __init__(self) -> None:
        self.sent: list[Packet] = []
        self.asked: list[str] = []
        self._decoder = PacketDecoder()

    def send(self, packet: bytes) -> None:
        self.sent += self._decoder.feed(packet)

    def close(self) -> None:
        self.asked.append("close")

    def abort(self) -> None:
        self.asked.append("abort")

    def pause_reading(self) -> None:
        self.asked.append("pause")

    def resume_reading(self) -> None:
        self.asked.append("resume")


def start(work: Coroutine[Deferred[Any], Any, T]) -> Deferred[T]:
    return Deferred.fromCoroutine(work)


class ClientTests(SynchronousTestCase):
    """One client, over TCP."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.link = FakeLink()
        self.client = Client(link=self.link, clock=self.clock, framed=False)

    def tearDown(self) -> None:
        self.client.lost()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def answer(self, operation: int, body: bytes = b"") -> None:
        self.client.received(encode(Packet(operation, body, self.link.sent[-1].sequence)))

    def push(self, count: int = 1) -> None:
        self.client.received(encode(Packet(1000, b"hi")) * count)

    def authenticate(self, heartbeat_seconds: float = 30) -> None:
        work = start(self.client.authenticate(heartbeat_seconds=heartbeat_seconds))
        self.answer(8)
        self.successResultOf(work)

    def test_authenticate(self) -> None:
        """The body is goim's; the call returns with the answer."""
        work = start(self.client.authenticate(mid=5, key="k", room="live://1", platform="web", accepts=[1000]))
        self.assertNoResult(work)
        sent = self.link.sent[0]
        self.assertEqual(sent.operation, 7)
        self.assertEqual(sent.body, b'{"mid":5,"key":"k","room_id":"live://1","platform":"web","accepts":[1000]}')
        self.answer(8)
        self.assertIsNone(self.successResultOf(work))

    def test_token_travels(self) -> None:
        """A token is part of the body when there is one."""
        start(self.client.authenticate(token="jwt")).addErrback(lambda failure: None)
        self.assertIn(b'"token":"jwt"', self.link.sent[0].body)

    def test_requests(self) -> None:
        """Each call sends its operation and body, and returns with its answer."""
        cases: list[tuple[Coroutine[Deferred[Any], Any, Any], int, bytes, int, bytes, object]] = [
            (self.client.heartbeat(), 2, b"", 3, b"\0\0\0\5", 5),
            (self.client.change_room("live://2"), 12, b"live://2", 13, b"live://2", None),
            (self.client.subscribe([1, -2]), 14, b"1,-2", 15, b"1,-2", None),
            (self.client.unsubscribe([1]), 16, b"1", 17, b"1", None),
            (self.client.send(b"x"), 4, b"x", 4, b"", None),
            (self.client.send(b"x", 1234), 1234, b"x", 1234, b"", None),
        ]
        for call, operation, body, reply, reply_body, result in cases:
            work = start(call)
            self.assertEqual((self.link.sent[-1].operation, self.link.sent[-1].body), (operation, body))
            self.answer(reply, reply_body)
            self.assertEqual(self.successResultOf(work), result)

    def test_answers_out_of_order(self) -> None:
        """Requests may overlap."""
        first, second = start(self.client.change_room("a")), start(self.client.heartbeat())
        self.answer(3, b"\0\0\0\1")
        self.assertNoResult(first)
        self.assertEqual(self.successResultOf(second), 1)
        self.client.received(encode(Packet(13, b"a", self.link.sent[0].sequence)))
        self.successResultOf(first)

    def test_no_answer(self) -> None:
        """A request without an answer ends at its deadline, and the late answer is dropped."""
        work = start(self.client.heartbeat())
        self.clock.advance(ANSWER_SECONDS)
        self.failureResultOf(work, DeadlineExceeded)
        self.answer(3, b"\0\0\0\1")
        self.assertIsNone(self.client.trouble)

    def test_cancelled(self) -> None:
        """A cancelled request leaves nothing behind."""
        work = start(self.client.heartbeat())
        work.cancel()
        self.failureResultOf(work, CancelledError)
        self.answer(3, b"\0\0\0\1")

    def test_loss_ends_requests(self) -> None:
        """What is awaited ends with the connection, and what is asked later fails at once."""
        work = start(self.client.heartbeat())
        self.client.lost(0, "reset")
        self.assertIn("reset", str(self.failureResultOf(work, PeerUnavailable).value))
        self.failureResultOf(start(self.client.heartbeat()), PeerUnavailable)
        self.successResultOf(start(self.client.closed()))

    def test_refusal_has_its_own_name(self) -> None:
        """A close code for bad credentials is AuthRefused."""
        work = start(self.client.authenticate())
        self.client.lost(CloseReason.AUTH_REFUSED.code, "auth_refused")
        self.failureResultOf(work, AuthRefused)

    def test_lying_server(self) -> None:
        """A server against the protocol is hung up on."""
        work = start(self.client.heartbeat())
        self.client.received(b"\xff" * 16)
        self.failureResultOf(work, ProtocolError)
        self.assertEqual(self.link.asked, ["close"])

    def test_heartbeats(self) -> None:
        """Heartbeats go out by themselves once authenticated, one at a time; without an answer we hang up."""
        self.authenticate(30)
        self.clock.advance(30)
        self.assertEqual([packet.operation for packet in self.link.sent], [7, 2])
        self.answer(3, b"\0\0\0\0")
        self.clock.advance(30)
        self.assertEqual(len(self.link.sent), 3)
        self.clock.advance(ANSWER_SECONDS)
        self.assertEqual(self.link.asked, ["close"])
        self.clock.advance(CLOSE_SECONDS)
        self.assertEqual(self.link.asked, ["close", "abort"])

    def test_heartbeat_while_nobody_reads(self) -> None:
        """A missing answer is no fault of the server's while we do not read it, and one again when we do."""
        self.authenticate(30)
        self.push(MAX_QUEUED_PUSHES)
        self.clock.advance(30)
        self.clock.advance(ANSWER_SECONDS)
        self.assertEqual(self.link.asked, ["pause"])

        async def take(count: int) -> None:
            pushes = self.client.pushes()
            for _ in range(count):
                await anext(pushes)

        self.successResultOf(start(take(MAX_QUEUED_PUSHES)))
        self.clock.advance(30 - ANSWER_SECONDS)
        self.clock.advance(ANSWER_SECONDS)
        self.assertEqual(self.link.asked, ["pause", "resume", "close"])

    def test_nothing_after_the_end(self) -> None:
        """What still comes after we hung up reaches nobody and cannot change why; a heartbeat under way is no failure."""
        got: list[Pushed] = []
        self.client = Client(link=self.link, clock=self.clock, framed=False, on_push=got.append)
        self.authenticate(30)
        self.clock.advance(30)
        with capturedLogs() as logged:
            closing = start(self.client.close())
        self.push()
        self.client.received(b"\xff" * 16)
        self.assertEqual((got, logged), ([], []))
        self.assertIsInstance(self.client.trouble, PeerUnavailable)
        self.client.lost()
        self.successResultOf(closing)

    def test_close(self) -> None:
        """Close returns when the connection is gone; a server that does not let go is cut."""
        self.authenticate()
        work = start(self.client.close())
        self.assertNoResult(work)
        self.assertEqual(self.link.asked, ["close"])
        self.client.lost()
        self.successResultOf(work)
        self.successResultOf(start(self.client.close()))

    def test_pushes_to_a_callback(self) -> None:
        """With a callback nothing is queued."""
        got: list[Pushed] = []
        self.client = Client(link=self.link, clock=self.clock, framed=False, on_push=got.append)
        self.push(2)
        self.assertEqual(got, [Pushed(1000, b"hi")] * 2)

    def test_pushes_to_a_reader(self) -> None:
        """A reader gets what came before and after it began; our own close ends it in peace."""

        async def read() -> int:
            return len([push async for push in self.client.pushes()])

        self.push(2)
        work = start(read())
        self.push(3)
        self.assertNoResult(work)
        closing = start(self.client.close())
        self.assertEqual(self.successResultOf(work), 5)
        self.client.lost()
        self.successResultOf(closing)

    def test_reader_hears_of_a_loss(self) -> None:
        """A loss raises, after the last push."""

        async def read() -> None:
            async for push in self.client.pushes():
                got.append(push)  # noqa: PERF401  # what came before the error counts

        got: list[Pushed] = []
        self.push()
        self.client.lost()
        self.failureResultOf(start(read()), PeerUnavailable)
        self.assertEqual(len(got), 1)

    def test_back_pressure(self) -> None:
        """While nobody takes pushes reading stops, and goes on when half of them were taken."""
        self.push(MAX_QUEUED_PUSHES - 1)
        self.assertEqual(self.link.asked, [])
        self.push()
        self.push()
        self.assertEqual(self.link.asked, ["pause"])

        async def take(count: int) -> None:
            pushes = self.client.pushes()
            for _ in range(count):
                await anext(pushes)

        self.successResultOf(start(take(MAX_QUEUED_PUSHES // 2)))
        self.assertEqual(self.link.asked, ["pause"])
        self.successResultOf(start(take(1)))
        self.assertEqual(self.link.asked, ["pause", "resume"])
