"""What comets read of timelines, and the acks that they bring, within the limits of one request."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.backend.broker_memory import BrokerMemory
from imd.backend.timelines_memory import TimelinesMemory
from imd.errors import BadRequest
from imd.logic.kept_messages import MAX_ACKS, MAX_FOLLOWS, MAX_MESSAGES, KeptMessages
from imd.logic.trace_notes import TraceNotes
from imd.metrics import Metrics
from imd.protocol import rpc
from imd.protocol.push import Push, Target
from tests.support.recording_traces import RecordingTraces

NOW = 1_800_000_000.0


class KeptMessagesTests(SynchronousTestCase):
    """On timelines in memory, with two messages in the inbox of member 5."""

    def setUp(self) -> None:
        metrics = Metrics()
        now_ms = int(NOW * 1000)
        self.timelines = TimelinesMemory(metrics=metrics, now_ms=lambda: now_ms, make_epoch=lambda: "e")
        broker = BrokerMemory(partitions=1, clock=Clock(), metrics=metrics, timelines=self.timelines)
        self.successResultOf(Deferred.fromCoroutine(broker.open()))
        pushes = [
            (0, Push(id, now_ms, Target.MEMBERS, 1000, b"x", mids=(5,), keep_count=10, keep_ms=60_000)) for id in (1, 2)
        ]
        receipts = self.successResultOf(Deferred.fromCoroutine(broker.publish(pushes)))
        self.epoch = receipts[0].places[0].epoch
        self.traces = RecordingTraces()
        notes = TraceNotes(traces=self.traces, process="logic/l1", metrics=metrics)
        self.kept = KeptMessages(timelines=self.timelines, notes=notes, now=lambda: NOW)

    def read(self, *follows: rpc.Follow) -> "Deferred[rpc.Pages]":
        return Deferred.fromCoroutine(self.kept.read(rpc.Read("c1", follows)))

    def ack(self, *acks: rpc.Ack) -> "Deferred[rpc.Done]":
        return Deferred.fromCoroutine(self.kept.ack(rpc.Acks("c1", acks)))

    def test_read(self) -> None:
        """A page for each, in their order; none for none."""
        inbox, room = self.successResultOf(
            self.read(rpc.Follow("m:5", 0, self.epoch, 10), rpc.Follow("r:chat://1"))
        ).pages
        self.assertEqual(([message.id for message in inbox.messages], inbox.recovered), ([1, 2], True))
        self.assertEqual((room.timeline, room.head.seq), ("r:chat://1", 0))
        self.assertEqual(self.successResultOf(self.read()).pages, ())

    def test_limits_of_reads(self) -> None:
        """Timelines and messages of one request have limits; nothing is read beyond them."""
        self.failureResultOf(self.read(*[rpc.Follow("m:5")] * (MAX_FOLLOWS + 1)), BadRequest)
        for follow in (
            rpc.Follow("m:5", 0, "", MAX_MESSAGES + 1),
            rpc.Follow("m:5", 0, "", -1),
            rpc.Follow("m:5", -2, "", 1),
        ):
            self.failureResultOf(self.read(follow), BadRequest)
        self.successResultOf(self.read(*[rpc.Follow("m:5", 0, "", MAX_MESSAGES)] * MAX_FOLLOWS))

    def test_ack(self) -> None:
        """The device's position moves, and traced pushes hear of it."""
        ack = rpc.Ack("m:5", "5:phone", 2, self.epoch)
        self.assertEqual(self.successResultOf(self.ack(ack)), rpc.Done())
        positions = self.successResultOf(Deferred.fromCoroutine(self.timelines.positions("m:5")))
        self.assertEqual(positions, {"5:phone": 2})
        self.assertEqual(self.traces.acks, [([ack], int(NOW * 1000), "logic/l1")])

    def test_ack_does_not_wait_for_traces(self) -> None:
        """Slow traces hold no comet up."""
        self.traces.holding = Deferred()
        self.successResultOf(self.ack(rpc.Ack("m:5", "5:phone", 1, self.epoch)))

    def test_limit_of_acks(self) -> None:
        """A request has a limit."""
        ack = rpc.Ack("m:5", "5:phone", 1, self.epoch)
        self.failureResultOf(self.ack(*[ack] * (MAX_ACKS + 1)), BadRequest)
        self.assertEqual(self.traces.acks, [])
