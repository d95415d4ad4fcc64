"""What clients send: who may, what is refused, and the same message again."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.backend.broker_memory import BrokerMemory
from imd.backend.timelines_memory import TimelinesMemory
from imd.errors import (
    BadRequest,
    BodyTooLarge,
    BrokerUnavailable,
    IdempotencyConflict,
    ImdError,
    NotAllowed,
    Overloaded,
)
from imd.logic.ids import IdMaker
from imd.logic.keep import KeepRules
from imd.logic.push import Pusher
from imd.logic.push_limits import PushLimits
from imd.logic.sender import Sender
from imd.metrics import Metrics
from imd.protocol import rpc
from imd.protocol.push import Push, Target
from imd.protocol.room_type import Keep, RoomType, RoomTypes, Send

NOW_MS = 1_800_000_000_000
KEEP = Keep(100, 60_000)
TYPES = RoomTypes(
    {"chat": RoomType(keep=KEEP, send=Send.JOINED), "open": RoomType(send=Send.MEMBERS), "news": RoomType(keep=KEEP)}
)


def to_room(room: str = "chat://1", **changes: Any) -> rpc.Send:
    return replace(rpc.Send("c1", "k", 5, 1000, b"hi", room=room, joined=True), **changes)


def to_member(to: int = 6, **changes: Any) -> rpc.Send:
    return replace(rpc.Send("c1", "k", 5, 1000, b"hi", to=to), **changes)


class SenderCase(SynchronousTestCase):
    """On a broker and timelines in memory. Inboxes are kept and any member may send to them."""

    def setUp(self) -> None:
        self.now_ms = NOW_MS
        self.metrics = Metrics()
        timelines = TimelinesMemory(metrics=self.metrics, now_ms=lambda: self.now_ms, make_epoch=lambda: "e")
        self.broker = BrokerMemory(
            partitions=1, clock=Clock(), metrics=self.metrics, timelines=timelines, max_backlog_entries=100
        )
        self.successResultOf(Deferred.fromCoroutine(self.broker.open()))
        self.sender = self.make(Send.MEMBERS)

    def make(self, to_members: Send) -> Sender:
        pusher = Pusher(
            broker=self.broker,
            ids=IdMaker(now=lambda: self.now_ms / 1000, worker_id=1),
            now=lambda: self.now_ms / 1000,
            limits=PushLimits(body_bytes=10),
            metrics=self.metrics,
            rules=KeepRules(inboxes=KEEP, room_types=TYPES),
        )
        return Sender(pusher=pusher, metrics=self.metrics, room_types=TYPES, to_members=to_members)

    def send(self, request: rpc.Send) -> rpc.Sent:
        return self.successResultOf(Deferred.fromCoroutine(self.sender.send(request)))

    def refused(self, error: type[ImdError], request: rpc.Send) -> str:
        failure = self.failureResultOf(Deferred.fromCoroutine(self.sender.send(request)), error)
        self.assertEqual(self.metrics.sends.value(error.name), 1)
        self.metrics.sends.values.clear()
        return str(failure.value)

    def stored(self) -> list[Push]:
        return [entry.push for entry in self.successResultOf(Deferred.fromCoroutine(self.broker.read(0, 100, 0)))]


class AcceptedTests(SenderCase):
    """What becomes of a message."""

    def test_to_a_room(self) -> None:
        """A push to the room, kept as its type is; the sender hears its id, its time and its place."""
        sent = self.send(to_room())
        [push] = self.stored()
        self.assertEqual((push.target, push.room, push.operation, push.body), (Target.ROOM, "chat://1", 1000, b"hi"))
        self.assertEqual((sent.id, sent.at_ms), (push.id, push.at_ms))
        self.assertEqual((sent.place.seq, bool(sent.place.epoch)), (1, True))
        self.assertEqual(self.send(to_room()).place.seq, 2)

    def test_to_a_member(self) -> None:
        """A push to all of the member's devices, and its inbox."""
        sent = self.send(to_member(2**60))
        [push] = self.stored()
        self.assertEqual((push.target, push.mids, push.timelines), (Target.MEMBERS, (2**60,), (f"m:{2**60}",)))
        self.assertEqual(sent.place.seq, 1)

    def test_live(self) -> None:
        """A room that keeps nothing: seq 0."""
        self.assertEqual(self.send(to_room("open://1")).place.seq, 0)

    def test_again(self) -> None:
        """The same message under its client_id is stored once; the answer is the same, though time has passed."""
        for request in (to_room(client_id="1"), to_member(client_id="1"), to_room("open://1", client_id="1")):
            first = self.send(request)
            self.now_ms += 5000
            self.assertEqual(self.send(request), first)
        self.assertEqual(len(self.stored()), 3)
        self.assertEqual((self.metrics.sends.value("accepted"), self.metrics.sends.value("repeated")), (3, 3))

    def test_whose_client_ids(self) -> None:
        """Everybody counts for himself, and to each member and room from 1."""
        requests = [to_room(client_id="1"), to_room(mid=7, client_id="1"), to_room("open://1", client_id="1")]
        requests += [to_member(6, client_id="1"), to_member(8, client_id="1"), to_member(6, mid=7, client_id="1")]
        self.assertEqual(len({self.send(request).id for request in requests}), len(requests))

    def test_conflict(self) -> None:
        """Another message under the same client_id is refused, and not stored."""
        self.send(to_room(client_id="1"))
        self.refused(IdempotencyConflict, to_room(client_id="1", body=b"other"))
        self.assertEqual(len(self.stored()), 1)

    def test_counts(self) -> None:
        """A send that may is asked for as a push is, so that the ledger's accounts hold."""
        self.send(to_room())
        self.send(to_member())
        self.refused(BodyTooLarge, to_room(body=b"x" * 11))
        self.refused(NotAllowed, to_room("news://1"))
        self.assertEqual((self.metrics.asked.value("room"), self.metrics.asked.value("members")), (2, 1))
        self.assertEqual(self.metrics.pushes.value("room", "too_large"), 1)
        self.assertEqual(sum(self.metrics.pushes.values.values()), sum(self.metrics.asked.values.values()))


class RefusedTests(SenderCase):
    """Who may not, and what cannot be."""

    def test_policies(self) -> None:
        """Nobody, those in the room, any member: as the type says; never a client without a member's id."""
        self.refused(NotAllowed, to_room("news://1"))
        self.refused(NotAllowed, to_room("unknown://1"))
        self.refused(NotAllowed, to_room(joined=False))
        self.refused(NotAllowed, to_room(mid=0))
        self.refused(NotAllowed, to_room("open://1", mid=0))
        self.refused(NotAllowed, to_member(mid=0))
        self.send(to_room("open://1", joined=False))
        self.sender = self.make(Send.NOBODY)
        self.refused(NotAllowed, to_member())
        self.assertEqual(len(self.stored()), 1)

    def test_shapes(self) -> None:
        """Neither or both targets, the wire's own operations, names that are too long."""
        for request in (
            to_room(""),
            to_room(to=6),
            to_room(operation=999),
            to_room(operation=46),
            to_room(operation=-1),
            to_room(operation=2**31),
            to_room("chat://" + "x" * 249),
            to_room(client_id="é" * 65),
            to_member(2**63),
        ):
            self.refused(BadRequest, request)
        self.refused(BodyTooLarge, to_room(body=b"x" * 11))
        self.assertEqual(self.stored(), [])

    def test_broker(self) -> None:
        """A full or absent broker's word goes to the client."""
        for _ in range(100):
            self.send(to_room())
        self.refused(Overloaded, to_room())
        self.successResultOf(Deferred.fromCoroutine(self.broker.close()))
        self.refused(BrokerUnavailable, to_room())

    def test_cancelled(self) -> None:
        """Whoever stops waiting is counted so."""
        self.broker = Waiting()  # type: ignore[assignment]  # a broker of which only publish is used
        sending = Deferred.fromCoroutine(self.make(Send.MEMBERS).send(to_room()))
        sending.cancel()
        self.failureResultOf(sending, CancelledError)
        self.assertEqual(self.metrics.sends.value("cancelled"), 1)

    @given(
        st.builds(
            rpc.Send,
            server=st.text(),
            key=st.text(),
            mid=st.integers(-(2**63), 2**63 - 1),
            operation=st.integers(-(2**63), 2**63 - 1),
            body=st.binary(max_size=20),
            room=st.sampled_from(["", "chat://1", "open://1"]) | st.text(),
            to=st.sampled_from([0, 1]) | st.integers(-(2**63), 2**63 - 1),
            joined=st.booleans(),
            client_id=st.text(),
        )
    )
    def test_anything(self, request: rpc.Send) -> None:
        """Whatever a comet passes on is accepted or refused by name."""
        sending = Deferred.fromCoroutine(self.sender.send(request))
        sending.addErrback(lambda failure: failure.trap(ImdError))
        self.successResultOf(sending)


class Waiting:
    """A broker that never answers."""

    partitions = 1

    async def publish(self, pushes: object) -> None:
        await Deferred()
