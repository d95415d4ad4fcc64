"""The version-2 client on a link in memory: its requests, refusals, goodbyes, and servers that break the protocol."""

import json
from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.client.client_v2 import ClientV2
from imd.client.core import Pushed
from imd.errors import AuthRefused, CloseReason, ImdError, NotAllowed, Overloaded, PeerUnavailable, ProtocolError
from imd.protocol.auth_reply import Allowance, AuthReply, Standing
from imd.protocol.body import Auth
from imd.protocol.error_body import ErrorBody
from imd.protocol.goodbye import Goodbye
from imd.protocol.membership import JoinReply
from imd.protocol.packet import Packet, encode
from imd.protocol.push_header import PushHeader, encode_push
from imd.protocol.refresh import RefreshReply
from imd.protocol.send import SendMessage, SendReply
from imd.protocol.sync import SyncReply
from imd.protocol.timeline import Place
from tests.client.test_client import FakeLink, start

REPLY = AuthReply("k", 7, "c1", 30, {"": Standing(3, "e", True)}, Allowance(100, 4096, 50))


class ClientV2Tests(SynchronousTestCase):
    """One connection, over TCP."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.link = FakeLink()
        self.pushes: list[Pushed] = []
        self.client = ClientV2(link=self.link, clock=self.clock, framed=False, on_push=self.pushes.append)

    def tearDown(self) -> None:
        self.client.lost()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def answer(self, operation: int, body: bytes) -> None:
        self.client.received(encode(Packet(operation, body, self.link.sent[-1].sequence, 2)))

    def enter(self) -> AuthReply:
        work = start(self.client.enter(Auth(mid=7)))
        self.answer(8, REPLY.encode())
        return self.successResultOf(work)

    def ask(self, call: Coroutine[Deferred[Any], Any, Any], operation: int, said: object) -> Deferred[Any]:
        work = start(call)
        sent = self.link.sent[-1]
        self.assertEqual((sent.operation, sent.version, json.loads(sent.body)), (operation, 2, said))
        return work

    def test_enter(self) -> None:
        """It says who we are and where we stand; then heartbeats go out as often as the server wants."""
        auth = Auth(mid=7, rooms=("a://1",), resume={"a://1": Place(5, "e")}, device="phone")
        said = {"mid": "7", "rooms": ["a://1"], "resume": {"a://1": {"seq": 5, "epoch": "e"}}, "device": "phone"}
        work = self.ask(self.client.enter(auth), 7, said)
        self.answer(8, REPLY.encode())
        self.assertEqual(self.successResultOf(work), REPLY)
        self.clock.advance(30)
        self.assertEqual((self.link.sent[-1].operation, self.link.sent[-1].version), (2, 2))

    def test_requests(self) -> None:
        """Each call sends its operation and body, and returns what the answer says."""
        joined, synced = JoinReply("a://1", 3, "e", True, 2), SyncReply("", 9, False, "e", True)
        message, sent = SendMessage(op=1000, body=b"hi", mid=8), SendReply(2**60, 4, 5)
        cases: list[tuple[Coroutine[Deferred[Any], Any, Any], int, object, bytes, object]] = [
            (self.client.join("a://1"), 32, {"room": "a://1"}, joined.encode(), joined),
            (self.client.join("a", Place(1, "e")), 32, {"room": "a", "after": 1, "epoch": "e"}, joined.encode(), joined),
            (self.client.leave("a://1"), 34, {"room": "a://1"}, b'{"room": "a://1"}', None),
            (self.client.sync("", Place(1, "e"), 9), 38, {"timeline": "", "after": 1, "limit": 9, "epoch": "e"},
             synced.encode(), synced),
            (self.client.send_message(message), 4, {"to": {"mid": "8"}, "op": 1000, "body": "hi"}, sent.encode(), sent),
            (self.client.refresh("jwt"), 44, {"token": "jwt"}, b"{}", RefreshReply()),
        ]  # fmt: skip
        for call, operation, said, reply, result in cases:
            work = self.ask(call, operation, said)
            self.answer(operation + 1, reply)
            self.assertEqual(self.successResultOf(work), result)

    def test_ack(self) -> None:
        """It has no answer, and is no error after the end."""
        self.client.ack({"": 7})
        self.assertEqual((self.link.sent[-1].operation, self.link.sent[-1].body), (36, b'{"":7}'))
        self.client.lost()
        self.client.ack({"": 8})
        self.assertEqual(len(self.link.sent), 1)

    def test_pushes_have_a_header(self) -> None:
        """Also in one read with what they follow."""
        header = PushHeader(id=9, seq=4, at_ms=5, timeline="")
        self.client.received(encode_push(1000, b"hi", **header._asdict()) * 2)
        self.assertEqual(self.pushes, [Pushed(1000, b"hi", header)] * 2)

    def test_refusals(self) -> None:
        """A request that is not done raises what the server names; the connection stays."""
        for error in (NotAllowed("no"), Overloaded("full", 3)):
            work = start(self.client.join("a://1"))
            self.answer(48, ErrorBody.of(error, 32).encode())
            raised = self.failureResultOf(work, type(error)).value
            self.assertEqual(str(raised), str(error))
            self.assertEqual(getattr(raised, "retry_after_seconds", 0), getattr(error, "retry_after_seconds", 0))
        self.answer(48, ErrorBody.of(NotAllowed("late"), 32).encode())
        self.assertIsNone(self.client.trouble)

    def test_goodbyes(self) -> None:
        """What the server says at the end is what whoever waits is told."""
        cases: list[tuple[CloseReason, type[ImdError]]] = [
            (CloseReason.AUTH_REFUSED, AuthRefused),
            (CloseReason.TOKEN_EXPIRED, AuthRefused),
            (CloseReason.ROOM_REFUSED, NotAllowed),
            (CloseReason.REPLACED, NotAllowed),
            (CloseReason.BAD_BODY, ProtocolError),
            (CloseReason.SERVER_STOPPING, PeerUnavailable),
        ]
        for reason, kind in cases:
            self.setUp()
            work = start(self.client.enter(Auth()))
            self.client.received(encode(Packet(6, Goodbye.of(reason, 250).encode(), version=2)))
            self.assertNoResult(work)
            self.client.lost()
            self.assertIn(reason.label, str(self.failureResultOf(work, kind).value))
            assert self.client.goodbye is not None
            self.assertEqual(self.client.goodbye.retry_after_ms, 250)

    def test_lying_server(self) -> None:
        """A push without its place, an answer to something else, an answer or a header that cannot be read."""
        for operation, body in ((1000, b""), (13, b""), (33, b"{}"), (33, b"x"), (48, b"x"), (6, b"x")):
            self.setUp()
            work = start(self.client.join("a://1"))
            sequence = 0 if operation in (1000, 6) else 1
            self.client.received(encode(Packet(operation, body, sequence, 2)))
            self.failureResultOf(work, ProtocolError)
            self.assertEqual(self.link.asked, ["close"])
            self.client.lost()

    def test_nothing_after_hanging_up(self) -> None:
        """What came in the same read as the reason to hang up reaches nobody."""
        self.client = ClientV2(
            link=self.link,
            clock=self.clock,
            framed=False,
            on_push=lambda push: self.client.hang_up(NotAllowed("enough")),
        )
        self.client.received(encode_push(1000, b"", id=1, seq=1, at_ms=1, timeline="") * 2)
        self.assertEqual(self.link.asked, ["close"])
        self.assertIsInstance(self.client.trouble, NotAllowed)
