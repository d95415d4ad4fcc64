"""Notes of traced pushes are written beside the work, one call at a time, and never get in its way."""

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from imd.errors import Unavailable
from imd.logic.trace_notes import MAX_HELD, PAGE, TraceNotes
from imd.metrics import Metrics
from imd.protocol.rpc import Ack
from imd.protocol.trace import Hop, Step
from tests.support.recording_traces import RecordingTraces

HOP = Hop(Step.ACCEPTED, 1)
ACK = Ack("m:1", "1:phone", 3, "e")


class TraceNotesTests(SynchronousTestCase):
    """On traces that answer as told."""

    def setUp(self) -> None:
        self.metrics = Metrics()
        self.traces = RecordingTraces()
        self.notes = TraceNotes(traces=self.traces, process="logic/l1", metrics=self.metrics)

    def counted(self, outcome: str) -> float:
        return self.metrics.trace_hops.value(outcome)

    def close(self) -> "Deferred[None]":
        return Deferred.fromCoroutine(self.notes.close())

    def test_at_once(self) -> None:
        """What there is to note is noted, and counted."""
        self.notes.note([(7, HOP)])
        self.notes.acked([ACK], 99)
        self.assertEqual(self.traces.hops, [(7, HOP)])
        self.assertEqual(self.traces.acks, [([ACK], 99, "logic/l1")])
        self.assertEqual(self.counted("noted"), 2)
        self.assertIsNone(self.successResultOf(self.close()))

    def test_one_call_at_a_time(self) -> None:
        """While a call is under way the rest gathers, hops before acks; closing waits for all of it."""
        held = self.traces.holding = Deferred()
        for number in range(3):
            self.notes.note([(number, HOP)])
            self.notes.acked([ACK], number)
        self.assertEqual(self.traces.calls, ["note"])
        closed = self.close()
        self.assertNoResult(closed)
        self.traces.holding = None
        held.callback(None)
        self.assertEqual(self.traces.calls, ["note", "note", "acked"])
        self.assertEqual([id for id, _ in self.traces.hops], [0, 1, 2])
        self.assertEqual(self.traces.acks, [([ACK] * 3, 2, "logic/l1")])
        self.successResultOf(closed)

    def test_pages(self) -> None:
        """No call has more than a page."""
        held = self.traces.holding = Deferred()
        self.notes.acked([ACK], 1)
        self.notes.acked([ACK] * (PAGE + 1), 2)
        self.traces.holding = None
        held.callback(None)
        self.assertEqual([len(acks) for acks, _, _ in self.traces.acks], [1, PAGE, 1])

    def test_bound(self) -> None:
        """What does not fit is dropped and counted."""
        held = self.traces.holding = Deferred()
        self.notes.note([(1, HOP)])
        self.notes.note([(2, HOP)] * (MAX_HELD + 5))
        self.notes.note([(3, HOP)])
        self.assertEqual(self.counted("lost"), 6)
        held.callback(None)
        self.assertEqual(len(self.traces.hops), MAX_HELD + 1)

    def test_store_away(self) -> None:
        """What cannot be written is counted; the next is tried again."""
        self.traces.failing = Unavailable("gone")
        self.notes.note([(1, HOP)])
        self.notes.acked([ACK], 1)
        self.assertEqual(self.counted("lost"), 2)
        self.traces.failing = None
        self.notes.note([(2, HOP)])
        self.assertEqual(self.traces.hops, [(2, HOP)])

    def test_fault(self) -> None:
        """A bug of the store is logged; whoever notes does not see it."""
        self.traces.failing = ZeroDivisionError("theirs")  # type: ignore[assignment]  # a bug is no ImdError
        self.notes.note([(1, HOP)])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.counted("lost"), 1)
        self.traces.failing = None
        self.notes.note([(2, HOP)])
        self.assertEqual(self.traces.hops, [(2, HOP)])
