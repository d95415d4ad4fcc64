"""Which pushes are traced, under which trace id, and what is noted of them when they are stored."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imd.interfaces import Receipt
from imd.logic.order import Order
from imd.logic.trace_notes import TraceNotes
from imd.logic.tracing import MAX_HOPS, Tracing
from imd.metrics import Metrics
from imd.protocol.push import Push, Target
from imd.protocol.timeline import Place
from imd.protocol.trace import Hop, Step, is_sampled, is_traceparent
from tests.support.recording_traces import RecordingTraces

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SAMPLED = f"00-{TRACE_ID}-00f067aa0ba902b7-01"
PLAIN = f"00-{TRACE_ID}-00f067aa0ba902b7-00"


def order(*, trace: bool = False, parent: str = "") -> Order:
    return Order(1, b"", all=True, trace=trace, parent=parent)


class TracingCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.traces = RecordingTraces()
        self.tracing = self.make()

    def make(self, share: float = 0.0) -> Tracing:
        notes = TraceNotes(traces=self.traces, process="logic/l1", metrics=Metrics())
        return Tracing(notes=notes, process="logic/l1", share=share)


class ChoiceTests(TracingCase):
    """Who asks, who is asked along, and a share."""

    def test_not_traced(self) -> None:
        """By default nothing is, nor what a back end has not sampled."""
        self.assertEqual(self.tracing.traceparent(7, order()), "")
        self.assertEqual(self.tracing.traceparent(7, order(parent=PLAIN)), "")

    def test_asked(self) -> None:
        """Its own trace id, sampled, with the push's id as parent."""
        trace = self.tracing.traceparent(255, order(trace=True))
        self.assertTrue(is_traceparent(trace) and is_sampled(trace))
        self.assertEqual(trace[36:], "00000000000000ff-01")

    def test_carried_on(self) -> None:
        """The trace id of a good traceparent goes on, sampled or asked for."""
        self.assertEqual(self.tracing.traceparent(255, order(parent=SAMPLED)), f"00-{TRACE_ID}-00000000000000ff-01")
        self.assertEqual(
            self.tracing.traceparent(255, order(trace=True, parent=PLAIN)), f"00-{TRACE_ID}-00000000000000ff-01"
        )

    def test_later_version(self) -> None:
        """A traceparent of a version that does not exist yet is read as far as it is known."""
        trace = self.tracing.traceparent(255, order(parent=f"cc{SAMPLED[2:]}-what-comes"))
        self.assertEqual(trace, f"00-{TRACE_ID}-00000000000000ff-01")

    @given(st.text() | st.text("0123456789abcdef-").map(lambda text: text[:60]))
    def test_invalid(self, parent: str) -> None:
        """What is no traceparent is as if it were not there."""
        if not is_traceparent(parent):
            tracing = self.make()
            self.assertEqual(tracing.traceparent(7, order(parent=parent)), "")
            own = tracing.traceparent(7, order(trace=True))
            self.assertEqual(tracing.traceparent(7, order(trace=True, parent=parent)), own)

    def test_share(self) -> None:
        """About as many as configured, the same ones everywhere; all or none at the ends."""
        tenth = [id for id in range(2000) if self.make(0.1).traceparent(id, order())]
        self.assertTrue(140 < len(tenth) < 260, len(tenth))
        self.assertEqual(tenth, [id for id in range(2000) if self.make(0.1).traceparent(id, order())])
        self.assertTrue(all(self.make(1.0).traceparent(id, order()) for id in range(100)))


class NoteTests(TracingCase):
    """ACCEPTED once, STORED for each timeline."""

    def test_kept_and_live(self) -> None:
        """Each timeline with its place; the live shares together once."""
        shares = [
            Push(7, 10, Target.MEMBERS, mids=(1, 2), keep_count=5, trace=SAMPLED),
            Push(7, 10, Target.KEYS, keys=("a",), trace=SAMPLED),
            Push(7, 10, Target.ALL, trace=SAMPLED),
        ]
        self.tracing.published(shares, [Receipt(7, places=(Place(3, "e"), Place(9, "f"))), Receipt(7), Receipt(7)], 12)
        self.assertEqual(
            self.traces.hops,
            [
                (7, Hop(Step.ACCEPTED, 10, "logic/l1", traceparent=SAMPLED)),
                (7, Hop(Step.STORED, 12, "logic/l1", "m:1", 3, epoch="e")),
                (7, Hop(Step.STORED, 12, "logic/l1", "m:2", 9, epoch="f")),
                (7, Hop(Step.STORED, 12, "logic/l1")),
            ],
        )

    def test_nothing_to_note(self) -> None:
        """A push that is not traced, and one of which nothing was stored."""
        self.tracing.published([Push(7, 10, Target.ALL)], [Receipt(7)], 12)
        again = Push(8, 10, Target.ALL, trace=SAMPLED)
        self.tracing.published([again, again], [Receipt(7, repeated=True), Receipt(7, conflict=True)], 12)
        self.assertEqual(self.traces.calls, [])

    def test_bound(self) -> None:
        """A push to thousands is traced as far as a store holds it."""
        push = Push(7, 10, Target.MEMBERS, mids=tuple(range(1, 2001)), keep_count=5, trace=SAMPLED)
        self.tracing.published([push], [Receipt(7, places=tuple(Place(1, "e") for _ in range(2000)))], 12)
        self.assertEqual(len(self.traces.hops), MAX_HOPS)
