"""The client that stays, against a server of the test's own: resumes, holes, acks, losses, ends."""

import json
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.client.client_v2 import ClientV2
from imd.client.core import Pushed
from imd.client.steady_client import ACK_SECONDS, SteadyClient
from imd.client.timeline import Missed
from imd.errors import (
    AuthRefused,
    CloseReason,
    DeadlineExceeded,
    ImdError,
    NotAllowed,
    Overloaded,
    PeerUnavailable,
    TooMany,
)
from imd.protocol.auth_reply import Allowance, AuthReply, Standing
from imd.protocol.body import Auth
from imd.protocol.error_body import ErrorBody
from imd.protocol.goodbye import Goodbye
from imd.protocol.membership import JoinReply, LeaveReply
from imd.protocol.packet import Packet, encode
from imd.protocol.presence_event import PresenceEvent
from imd.protocol.push_header import encode_push
from imd.protocol.refresh import RefreshReply
from imd.protocol.send import SendMessage, SendReply
from imd.protocol.sync import SyncReply
from imd.protocol.timeline import Place
from tests.client.test_client import FakeLink, start

ROOM = "a://1"
ALLOWANCE = Allowance(100, 4096, 50)


class Notes:
    """An application that remembers what it is told."""

    def __init__(self) -> None:
        self.seqs: list[int] = []
        self.bodies: list[bytes] = []
        self.missing: list[Missed] = []
        self.events: list[PresenceEvent] = []
        self.entries: list[AuthReply] = []
        self.losses: list[tuple[ImdError, float]] = []
        self.then: Callable[[], None] = lambda: None  # at each push

    def pushed(self, push: Pushed) -> None:
        assert push.header is not None
        self.seqs.append(push.header.seq)
        self.bodies.append(push.body)
        self.then()

    def missed(self, missed: Missed) -> None:
        self.missing.append(missed)

    def attended(self, event: PresenceEvent) -> None:
        self.events.append(event)

    def entered(self, reply: AuthReply) -> None:
        self.entries.append(reply)

    def left(self, trouble: ImdError, wait_seconds: float) -> None:
        self.losses.append((trouble, wait_seconds))


class SteadyClientTestCase(SynchronousTestCase):
    """Shared: a client whose connections end at the test."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.notes = Notes()
        self.links: list[FakeLink] = []
        self.clients: list[ClientV2] = []
        self.refusals: list[ImdError] = []  # what the next tries to connect fail with
        self.steady = self.make()

    def make(self, **changes: Any) -> SteadyClient:
        wanted: dict[str, Any] = {"auth": Auth(mid=7), "rooms": [ROOM]}
        return SteadyClient(
            connect=self.connect, clock=self.clock, application=self.notes, jitter=lambda: 1.0, **(wanted | changes)
        )

    async def connect(self, on_push: Callable[[Pushed], None]) -> ClientV2:
        if self.refusals:
            raise self.refusals.pop(0)
        link = FakeLink()
        client = ClientV2(link=link, clock=self.clock, framed=False, on_push=on_push)
        self.links.append(link)
        self.clients.append(client)
        return client

    def said(self, operation: int) -> list[Any]:
        """The bodies of this operation that came over the last connection."""
        return [json.loads(packet.body) for packet in self.links[-1].sent if packet.operation == operation]

    def tell(self, *packets: bytes) -> None:
        self.clients[-1].received(b"".join(packets))

    def answer(self, operation: int, body: bytes) -> None:
        """To the last request that is of the operation before."""
        request = [packet for packet in self.links[-1].sent if packet.operation in (operation - 1, operation)]
        self.tell(encode(Packet(operation, body, request[-1].sequence, 2)))

    def refuse(self, error: ImdError, request: int) -> None:
        sequence = [packet for packet in self.links[-1].sent if packet.operation == request][-1].sequence
        self.tell(encode(Packet(48, ErrorBody.of(error, request).encode(), sequence, 2)))

    def let_in(self, *, inbox: Standing | None = None, room: Standing | None = None) -> None:
        timelines = {"": inbox or Standing(0, "i", True), ROOM: room or Standing(5, "e", True, 1)}
        self.answer(8, AuthReply("k", 7, "c1", 30, timelines, ALLOWANCE).encode())

    def push(self, *seqs: int, room: str = ROOM) -> None:
        self.tell(*(encode_push(1000, b"%d" % seq, id=seq, seq=seq, at_ms=1, timeline=room) for seq in seqs))

    def goodbye(self, reason: CloseReason, retry_after_ms: int = 0) -> None:
        self.tell(encode(Packet(6, Goodbye.of(reason, retry_after_ms).encode(), version=2)))
        self.clients[-1].lost()

    def end(self, run: Deferred[None]) -> None:
        """Stop it; it leaves nothing behind."""
        self.steady.stop()
        self.clock.advance(0)
        if self.clients and self.clients[-1].trouble is not None:
            self.clients[-1].lost()
        self.successResultOf(run)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class ResumeTests(SteadyClientTestCase):
    """From one connection to the next."""

    def test_a_room_that_we_did_not_ask_for(self) -> None:
        """The server put us in it, as our token says: it is resumed as the others are, also when it was numbered anew."""
        given = "t://9"
        run = start(self.steady.run())
        reply = AuthReply("k", 7, "c1", 30, {ROOM: Standing(5, "e", True), given: Standing(3, "g", True)}, ALLOWANCE)
        self.answer(8, reply.encode())
        self.push(4, room=given)
        self.clients[-1].lost()
        self.clock.advance(1)
        self.assertEqual(self.said(7)[0]["resume"], {ROOM: {"seq": 5, "epoch": "e"}, given: {"seq": 4, "epoch": "g"}})
        reply = AuthReply("k", 7, "c1", 30, {ROOM: Standing(5, "e", True), given: Standing(1, "h", False)}, ALLOWANCE)
        self.answer(8, reply.encode())
        self.assertEqual(self.notes.missing, [Missed(given, Place(4, "g"), Place(1, "h"))])
        self.end(run)

    def test_more_than_op_7_takes(self) -> None:
        """The rooms for which there is no space are joined where they stood; when the server wants a pause, after one."""
        rooms = [f"chat://{number:0>200}" for number in range(20)]
        places = {room: Place(5, "e") for room in rooms}
        self.steady = self.make(rooms=rooms, places=places)
        run = start(self.steady.run())
        (said,) = self.said(7)
        count = len(said["rooms"])
        self.assertLess(len(self.links[-1].sent[-1].body), 4097)
        self.assertEqual((said["rooms"], list(said["resume"])), (rooms[:count], rooms[:count]))
        standings = {room: Standing(5, "e", True) for room in rooms[:count]}
        self.answer(8, AuthReply("k", 7, "c1", 30, standings, ALLOWANCE).encode())
        self.refuse(Overloaded("too many", 3), 32)
        self.clock.advance(5.9)
        self.assertEqual(len(self.said(32)), 1)
        self.clock.advance(0.2)
        for room in rooms[count:]:
            self.assertEqual(self.said(32)[-1], {"room": room, "after": 5, "epoch": "e"})
            self.answer(33, JoinReply(room, 6, "e", True, 1).encode())
            self.push(6, room=room)
        self.assertEqual((len(self.said(32)), self.notes.seqs), (21 - count, [6] * (20 - count)))
        self.assertEqual(self.steady.rooms, tuple(rooms))
        self.end(run)

    def test_a_late_room_that_does_not_let_us_in(self) -> None:
        """Ends it as one in op 7 does."""
        rooms = [f"chat://{number:0>200}" for number in range(40)]
        self.steady = self.make(rooms=rooms)
        run = start(self.steady.run())
        standings = {room: Standing(5, "e", True) for room in self.said(7)[0]["rooms"]}
        self.answer(8, AuthReply("k", 7, "c1", 30, standings, ALLOWANCE).encode())
        self.refuse(NotAllowed("no"), 32)
        self.clients[-1].lost()
        self.failureResultOf(run, NotAllowed)

    def test_acks_of_many_rooms(self) -> None:
        """Go in packets that the server takes."""
        rooms = [f"chat://{number:0>200}" for number in range(40)]
        self.steady = self.make(rooms=rooms)
        run = start(self.steady.run())
        named = self.said(7)[0]["rooms"]
        reply = AuthReply("k", 7, "c1", 30, {room: Standing(5, "e", True) for room in rooms}, Allowance(100, 1000, 50))
        self.answer(8, reply.encode())
        for room in rooms[len(named) :]:
            self.answer(33, JoinReply(room, 5, "e", True, 1).encode())
        for room in rooms:
            self.push(6, room=room)
        self.clock.advance(ACK_SECONDS)
        self.assertEqual({room: seq for acks in self.said(36) for room, seq in acks.items()}, dict.fromkeys(rooms, 6))
        self.assertEqual({len(acks) for acks in self.said(36)}, {4})
        self.end(run)

    def test_places_are_resumed(self) -> None:
        """The first connection begins at the end, the next one, under its key, where that stopped; what comes twice goes."""
        run = start(self.steady.run())
        self.assertEqual(self.said(7), [{"mid": "7", "rooms": [ROOM]}])
        self.let_in()
        self.push(6, 7)
        self.clients[-1].lost()
        self.clock.advance(1)
        places = {"": {"seq": 0, "epoch": "i"}, ROOM: {"seq": 7, "epoch": "e"}}
        self.assertEqual(self.said(7), [{"mid": "7", "key": "k", "rooms": [ROOM], "resume": places}])
        self.let_in(room=Standing(9, "e", True))
        self.push(7, 8, 9, 10)
        self.assertEqual((self.notes.seqs, self.steady.duplicates, self.steady.losses), ([6, 7, 8, 9, 10], 1, 1))
        self.assertEqual(self.steady.places, {"": Place(0, "i"), ROOM: Place(10, "e")})
        self.end(run)

    def test_another_process_goes_on(self) -> None:
        """Places that were stored are resumed; those of rooms that are not wanted now stay, should the server put us in."""
        self.steady = self.make(places={ROOM: Place(3, "e"), "b://2": Place(1, "x")})
        run = start(self.steady.run())
        self.assertEqual(self.said(7)[0]["resume"], {ROOM: {"seq": 3, "epoch": "e"}, "b://2": {"seq": 1, "epoch": "x"}})
        self.let_in()
        self.push(4, 5)
        self.assertEqual(self.notes.seqs, [4, 5])
        self.assertEqual(self.steady.places["b://2"], Place(1, "x"))
        self.end(run)

    def test_not_recovered(self) -> None:
        """The application is told what is lost, and it goes on from the end."""
        self.steady = self.make(places={ROOM: Place(3, "e")})
        run = start(self.steady.run())
        self.let_in(room=Standing(9, "f", False))
        self.assertEqual(self.notes.missing, [Missed(ROOM, Place(3, "e"), Place(9, "f"))])
        self.push(10)
        self.assertEqual(self.notes.seqs, [10])
        self.end(run)

    def test_contradictions_end_the_connection(self) -> None:
        """Recovered though it cannot be, and a room that the answer does not tell of: not believed, tried again."""
        self.steady = self.make(places={ROOM: Place(3, "e")})
        run = start(self.steady.run())
        self.let_in(room=Standing(9, "f", True))
        self.assertEqual(self.links[-1].asked, ["close"])
        self.clients[-1].lost()
        self.clock.advance(1)
        self.answer(8, AuthReply("k", 7, "c1", 30, {}, Allowance(100, 4096, 50)).encode())
        self.assertEqual(self.links[-1].asked, ["close"])
        self.clients[-1].lost()
        self.assertEqual(len(self.notes.losses), 2)
        self.end(run)


class HoleTests(SteadyClientTestCase):
    """Messages that come before those before them."""

    def setUp(self) -> None:
        super().setUp()
        self.run_ = start(self.steady.run())
        self.let_in()

    def test_filled(self) -> None:
        """It asks once, and hands all on in order."""
        self.push(7, 8)
        self.push(9)
        self.assertEqual(self.said(38), [{"timeline": ROOM, "after": 5, "limit": 500, "epoch": "e"}])
        self.push(6, 7, 8)
        self.answer(39, SyncReply(ROOM, 8, True, "e", True).encode())
        self.assertEqual((self.notes.seqs, self.steady.gaps, len(self.said(38))), ([6, 7, 8, 9], 1, 1))
        self.end(self.run_)

    def test_lost(self) -> None:
        """What has left the timeline is told as missed."""
        self.push(9)
        self.push(8)
        self.answer(39, SyncReply(ROOM, 9, False, "e", False).encode())
        self.assertEqual(self.notes.missing, [Missed(ROOM, Place(5, "e"), Place(7, "e"))])
        self.assertEqual(self.notes.seqs, [8, 9])
        self.end(self.run_)

    def test_refused(self) -> None:
        """It is asked again, later; after too many tries a new connection resumes."""
        self.push(9)
        for tries in range(1, 7):
            self.assertEqual(len(self.said(38)), tries)
            self.refuse(PeerUnavailable("away"), 38)
            self.clock.advance(2 ** (tries - 1))
        self.assertEqual(self.links[-1].asked[:1], ["close"])
        self.clients[-1].lost()
        self.end(self.run_)

    def test_numbered_anew(self) -> None:
        """Another epoch: the next connection is told."""
        self.push(9)
        self.answer(39, SyncReply(ROOM, 1, False, "f", False).encode())
        self.assertEqual(self.links[-1].asked, ["close"])
        self.clients[-1].lost()
        self.end(self.run_)

    def test_loss_while_asking(self) -> None:
        """A question does not outlive its connection; a resume fills the hole."""
        self.push(9)
        self.clients[-1].lost()
        self.clock.advance(1)
        self.let_in(room=Standing(9, "e", True))
        self.push(6, 7, 8, 9)
        self.assertEqual((self.notes.seqs, self.said(38)), ([6, 7, 8, 9], []))
        self.end(self.run_)

    def test_push_to_a_timeline_that_is_not_followed(self) -> None:
        """A kept one is against the protocol."""
        self.push(1, room="b://2")
        self.assertEqual(self.links[-1].asked, ["close"])
        self.clients[-1].lost()
        self.end(self.run_)

    def test_live_pushes(self) -> None:
        """They have no place and wait for nothing; presence events are told as such."""
        event = PresenceEvent(ROOM, 8, True)
        live: dict[str, Any] = {"id": 1, "seq": 0, "at_ms": 1, "timeline": ROOM}
        self.push(9)
        self.tell(
            encode_push(1000, b"x", **live), encode_push(46, event.encode(), **live), encode_push(46, b"", **live)
        )
        self.assertEqual((self.notes.bodies, self.notes.events), ([b"x", b""], [event]))
        self.end(self.run_)


class AckTests(SteadyClientTestCase):
    """What was handled is told."""

    def test_gathered(self) -> None:
        """Once in a while, only what is new, and at the end what is left."""
        run = start(self.steady.run())
        self.let_in()
        self.push(6, 7)
        self.push(1, room="")
        self.assertEqual(self.said(36), [])
        self.clock.advance(ACK_SECONDS)
        self.push(7)
        self.clock.advance(ACK_SECONDS)
        self.assertEqual(self.said(36), [{"": 1, ROOM: 7}])
        self.push(8)
        self.end(run)
        self.assertEqual(self.said(36)[1:], [{ROOM: 8}])

    def test_again_after_a_loss(self) -> None:
        """The last acks may have been lost with the connection."""
        self.steady = self.make(places={ROOM: Place(5, "e")})
        run = start(self.steady.run())
        self.let_in()
        self.clock.advance(ACK_SECONDS)
        self.assertEqual(self.said(36), [{ROOM: 5}])
        self.end(run)

    def test_what_is_being_handled_is_not_acked(self) -> None:
        """An application that stops within a push has handled that one, and gets no more."""
        run = start(self.steady.run())
        self.let_in()
        self.notes.then = self.steady.stop
        self.push(6, 7)
        self.assertEqual(self.notes.seqs, [6])
        self.end(run)
        self.assertEqual((self.said(36), self.steady.places[ROOM].seq), ([{ROOM: 6}], 6))


class EndTests(SteadyClientTestCase):
    """Losses and ends."""

    def test_waits(self) -> None:
        """Each is longer, and never shorter than the server asks for."""
        run = start(self.steady.run())
        self.let_in()
        self.goodbye(CloseReason.RESUME_LIMITED, 4000)
        self.refusals = [PeerUnavailable("away"), DeadlineExceeded("slow")]
        for _ in range(3):
            self.clock.advance(self.notes.losses[-1][1])
        self.assertEqual([wait for _, wait in self.notes.losses], [5, 1.5, 2.25])
        self.assertEqual(len(self.clients), 2)
        self.clients[-1].lost()
        self.end(run)

    def test_final_goodbyes(self) -> None:
        """What cannot succeed is not tried again."""
        for reason, kind in ((CloseReason.TOKEN_EXPIRED, AuthRefused), (CloseReason.REPLACED, NotAllowed)):
            self.setUp()
            run = start(self.steady.run())
            self.goodbye(reason)
            self.failureResultOf(run, kind)
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_before_and_between(self) -> None:
        """Nothing is left."""
        run = start(self.steady.run())
        self.clients[-1].lost()
        self.end(run)
        self.steady = self.make()
        self.steady.stop()
        self.successResultOf(start(self.steady.run()))

    def test_no_answer_to_op_7(self) -> None:
        """Is a lost connection."""
        run = start(self.steady.run())
        self.clock.advance(10)
        self.assertEqual(self.links[-1].asked, ["close"])
        self.clients[-1].lost()
        self.assertIsInstance(self.notes.losses[0][0], DeadlineExceeded)
        self.end(run)


class RequestTests(SteadyClientTestCase):
    """Rooms, sends and tokens."""

    def setUp(self) -> None:
        super().setUp()
        self.run_ = start(self.steady.run())
        self.let_in()

    def tearDown(self) -> None:
        self.end(self.run_)

    def test_join(self) -> None:
        """From a place on, and over the next connection too."""
        work = start(self.steady.join("b://2", Place(1, "x")))
        self.assertEqual(self.said(32), [{"room": "b://2", "after": 1, "epoch": "x"}])
        self.answer(33, JoinReply("b://2", 3, "x", True, 1).encode())
        self.push(2, 3, room="b://2")
        self.assertEqual((self.successResultOf(work).seq, self.notes.seqs), (3, [2, 3]))
        self.clients[-1].lost()
        self.clock.advance(1)
        self.assertEqual(self.said(7)[0]["rooms"], [ROOM, "b://2"])
        self.clients[-1].lost()

    def test_join_lost_something(self) -> None:
        """The application is told, as at a resume."""
        start(self.steady.join("b://2", Place(1, "x")))
        self.answer(33, JoinReply("b://2", 3, "y", False, 1).encode())
        self.assertEqual(self.notes.missing, [Missed("b://2", Place(1, "x"), Place(3, "y"))])

    def test_join_refused(self) -> None:
        """The room is not asked for again."""
        work = start(self.steady.join("b://2"))
        self.refuse(NotAllowed("no"), 32)
        self.failureResultOf(work, NotAllowed)
        self.assertEqual(self.steady.rooms, (ROOM,))

    def test_leave(self) -> None:
        """It answers where we stood; the room is not asked for again."""
        self.push(6)
        work = start(self.steady.leave(ROOM))
        self.answer(35, LeaveReply(ROOM).encode())
        self.assertEqual((self.successResultOf(work), self.steady.rooms), (Place(6, "e"), ()))

    def test_leave_refused(self) -> None:
        """We are in it still."""
        work = start(self.steady.leave(ROOM))
        self.refuse(PeerUnavailable("away"), 34)
        self.failureResultOf(work, PeerUnavailable)
        self.assertEqual(self.steady.rooms, (ROOM,))

    def test_no_answer(self) -> None:
        """Whether we are in the room is not known: a new connection says it."""
        for call in (self.steady.join("b://2"), self.steady.leave(ROOM)):
            work = start(call)
            self.clock.advance(10)
            self.failureResultOf(work, DeadlineExceeded)
            self.assertEqual(self.links[-1].asked, ["close"])
            self.clients[-1].lost()
            self.clock.advance(60)
            self.let_in(room=Standing(5, "e", True))

    def test_send_and_refresh(self) -> None:
        """The answer comes back; a new token is that of later connections too."""
        sending = start(self.steady.send(SendMessage(op=1000, body=b"hi", room=ROOM)))
        self.answer(5, SendReply(9, 1, 1).encode())
        self.assertEqual(self.successResultOf(sending).id, 9)
        refreshing = start(self.steady.refresh("new"))
        self.answer(45, RefreshReply(5).encode())
        self.assertEqual(self.successResultOf(refreshing).expires_at_ms, 5)
        self.clients[-1].lost()
        self.failureResultOf(start(self.steady.refresh("newer")), PeerUnavailable)
        self.clock.advance(1)
        self.assertEqual(self.said(7)[0]["token"], "newer")
        self.clients[-1].lost()

    def test_too_many_rooms(self) -> None:
        """More than op 7 could name are refused here."""
        many = self.make(rooms=[str(number) for number in range(100)])
        self.failureResultOf(start(many.join("b://2")), TooMany)


class AnyStormTests(SynchronousTestCase):
    """Against a server that loses connections, drops pushes and repeats them."""

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.sampled_from(["push", "drop", "again", "lose", "answer"]), max_size=25))
    def test_each_once_in_order(self, steps: list[str]) -> None:
        """Whatever happens: once a last message came and the questions are answered, all were handled, once, in order."""
        storm = SteadyClientTestCase()
        storm.setUp()
        run, head, answered = start(storm.steady.run()), 5, 0
        storm.let_in()
        for step in [*steps, "push", "answer"]:
            if step == "lose":
                after = storm.steady.places[ROOM].seq
                storm.clients[-1].lost()
                storm.clock.advance(60)
                storm.let_in(room=Standing(head, "e", True))
                storm.push(*range(after + 1, head + 1))
                answered = 0
            elif step == "answer" and len(storm.said(38)) > answered:
                storm.push(*range(storm.said(38)[-1]["after"] + 1, head + 1))
                storm.answer(39, SyncReply(ROOM, head, False, "e", True).encode())
                answered += 1
            elif step != "answer":
                head += step != "again"
                if step != "drop":
                    storm.push(head)
        self.assertEqual(storm.notes.seqs, list(range(6, head + 1)))
        storm.end(run)
