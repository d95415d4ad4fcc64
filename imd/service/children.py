"""All children of a supervisor: ready when each is, stopped side by side."""

from collections.abc import Sequence

from twisted.internet.defer import CancelledError, Deferred, gatherResults

from imd.interfaces import Clock, Timer
from imd.metrics import Metrics
from imd.service.child import Child, Phase

LOOK_SECONDS = 1.0  # between two looks at whether they live


class Children:
    """The part that comes after theirs: it waits for them, and closes before them, for parts close one after another."""

    def __init__(self, children: Sequence[Child], *, clock: Clock, metrics: Metrics) -> None:
        self._children = children
        self._clock = clock
        self._timer: Timer | None = None  # the next look, from open to close
        for phase in Phase:
            metrics.processes.set(0, phase.value)
        self._metrics = metrics

    async def open(self) -> None:
        """Returns once each was ready. Cancelled, it stops them."""
        self._look()
        try:
            for child in self._children:
                await child.ready
        except CancelledError:
            await self.close()
            raise

    async def close(self) -> None:
        """Returns once all have ended."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await gatherResults([Deferred.fromCoroutine(child.close()) for child in self._children])

    def trouble(self) -> str | None:
        """None: each speaks for itself."""
        return None

    def _look(self) -> None:
        self._timer = self._clock.callLater(LOOK_SECONDS, self._look)
        for child in self._children:
            child.look()
        phases = [child.phase for child in self._children]
        for phase in Phase:
            self._metrics.processes.set(phases.count(phase), phase.value)
