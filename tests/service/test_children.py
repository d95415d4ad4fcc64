"""All of them."""

from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.metrics import Metrics
from imd.service.child import Child, Phase
from imd.service.children import LOOK_SECONDS, Children


class Sibling:
    """Notes what is asked of it."""

    def __init__(self) -> None:
        self.ready: Deferred[None] = Deferred()
        self.phase = Phase.STARTING
        self.looks = 0
        self.closing: Deferred[None] | None = None  # once it was asked to close

    def look(self) -> None:
        self.looks += 1

    async def close(self) -> None:
        self.closing = Deferred()
        await self.closing


class ChildrenTests(SynchronousTestCase):
    """Two."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.metrics = Metrics()
        self.one, self.two = Sibling(), Sibling()
        siblings = [cast(Child, self.one), cast(Child, self.two)]
        self.part = Children(siblings, clock=self.clock, metrics=self.metrics)

    def open(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.part.open())

    def test_ready_when_all_are(self) -> None:
        """In whatever order."""
        opening = self.open()
        self.two.ready.callback(None)
        self.assertNoResult(opening)
        self.one.ready.callback(None)
        self.successResultOf(opening)
        self.assertIsNone(self.part.trouble())
        self.end()

    def end(self, *, opening: Any = None) -> None:
        """Both are asked at once, and both are waited for."""
        closing = opening or Deferred.fromCoroutine(self.part.close())
        for sibling in (self.two, self.one):
            self.assertNoResult(closing)
            assert sibling.closing is not None
            sibling.closing.callback(None)
        if opening is None:
            self.successResultOf(closing)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stopped_while_they_start(self) -> None:
        """They are stopped side by side then as well."""
        opening = self.open()
        opening.cancel()
        self.end(opening=opening)
        self.failureResultOf(opening, CancelledError)

    def test_looks(self) -> None:
        """At each once a second, and counts them by how they are."""
        self.open()
        self.clock.advance(LOOK_SECONDS)
        self.one.phase = Phase.READY
        self.clock.advance(LOOK_SECONDS)
        self.assertEqual((self.one.looks, self.two.looks), (3, 3))
        found = {phase: self.metrics.processes.value(phase.value) for phase in Phase}
        self.assertEqual(found, {Phase.STARTING: 1, Phase.READY: 1, Phase.AWAY: 0, Phase.STOPPED: 0})
