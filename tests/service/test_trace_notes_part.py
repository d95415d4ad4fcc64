"""What is noted of traces is written before the store is closed."""

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.backend.traces_memory import TracesMemory
from imd.logic.trace_notes import TraceNotes
from imd.metrics import Metrics
from imd.protocol.trace import Hop, Step
from imd.service.trace_notes_part import TraceNotesPart


class SlowTraces(TracesMemory):
    """Waits before it notes."""

    def __init__(self) -> None:
        super().__init__(clock=Clock())
        self.waiting: Deferred[None] = Deferred()

    async def note(self, hops: Sequence[tuple[int, Hop]]) -> None:
        await self.waiting
        await super().note(hops)


class TraceNotesPartTests(SynchronousTestCase):
    """A part of logic."""

    def test_close_waits(self) -> None:
        """For what is on its way; with nothing on its way for nobody."""
        traces = SlowTraces()
        notes = TraceNotes(traces=traces, process="logic/l1", metrics=Metrics())
        part = TraceNotesPart(notes)
        self.successResultOf(Deferred.fromCoroutine(part.open()))
        self.assertIsNone(part.trouble())
        self.successResultOf(Deferred.fromCoroutine(part.close()))
        notes.note([(1, Hop(Step.ACCEPTED, 1))])
        closing = Deferred.fromCoroutine(part.close())
        self.assertNoResult(closing)
        traces.waiting.callback(None)
        self.successResultOf(closing)
        self.assertEqual(len(self.successResultOf(Deferred.fromCoroutine(traces.read(1)))), 1)
