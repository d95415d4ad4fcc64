"""What is to be noted of traced pushes: gathered, and written beside the work that it is about."""

from collections import deque
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from imd.errors import ImdError
from imd.interfaces import Traces
from imd.metrics import Metrics
from imd.protocol.rpc import Ack
from imd.protocol.trace import Hop

MAX_HELD = 10_000  # hops, and as many acks, that wait; each is some 200 bytes
PAGE = 1000  # of them in one call

Note = TypeVar("Note")


class TraceNotes:
    """Hands hops and acks to :class:`imd.interfaces.Traces`, one call at a time, hops first and each in order.

    Nothing waits for it, nothing fails by it: what is too much, or cannot be written, is counted and forgotten.
    """

    _log = Logger()

    __slots__ = ("_acked_at_ms", "_acks", "_failing", "_hops", "_metrics", "_process", "_traces", "_writing")

    def __init__(self, *, traces: Traces, process: str, metrics: Metrics) -> None:
        self._traces = traces
        self._process = process  # "logic/l1": who says that devices have acked
        self._metrics = metrics
        self._hops: deque[tuple[int, Hop]] = deque()  # (push id, hop), at most MAX_HELD
        self._acks: deque[Ack] = deque()  # at most MAX_HELD
        self._acked_at_ms = 0  # when the latest of them came
        self._failing = False  # the last write failed: that has been said
        self._writing: Deferred[None] | None = None  # fires when nothing is left to write; None = nothing is under way

    def note(self, hops: Sequence[tuple[int, Hop]]) -> None:
        """Each (push id, hop), soon."""
        self._hold(self._hops, hops)

    def acked(self, acks: Sequence[Ack], at_ms: int) -> None:
        """Devices have handled these; acks that wait together are noted with the time of the last."""
        self._acked_at_ms = at_ms
        self._hold(self._acks, acks)

    async def close(self) -> None:
        """Wait until what was told so far is written, or has failed: every call of the store has its deadline."""
        if self._writing is not None:
            waiting: Deferred[None] = Deferred()
            self._writing.addCallback(lambda _: waiting.callback(None))
            await waiting

    def _hold(self, held: deque[Note], more: Sequence[Note]) -> None:
        taken = more[: MAX_HELD - len(held)]
        self._count(len(more) - len(taken), "lost")
        held.extend(taken)
        if held and self._writing is None:
            self._writing = Deferred.fromCoroutine(self._write_all())
            self._writing.addErrback(lambda failure: self._log.failure("traces cannot be noted", failure=failure))
            self._writing.addCallback(self._written)

    def _written(self, _: object) -> None:
        self._writing = None

    async def _write_all(self) -> None:
        while self._hops or self._acks:
            hops, acks = _page(self._hops), _page(self._acks)
            if hops:
                await self._counted(len(hops), self._traces.note(hops))
            if acks:
                await self._counted(len(acks), self._traces.acked(acks, self._acked_at_ms, self._process))

    async def _counted(self, notes: int, write: Coroutine[Any, Any, None]) -> None:
        outcome = "lost"
        try:
            await write
            outcome = "noted"
        except ImdError as error:
            if not self._failing:
                self._log.warn("traces cannot be written: {error}", error=error)
        finally:
            self._failing = outcome == "lost"
            self._count(notes, outcome)

    def _count(self, notes: int, outcome: str) -> None:
        """An ack counts as a hop: it may be one for many pushes or for none, but it is lost as one."""
        if notes:
            self._metrics.trace_hops.add(notes, outcome)


def _page(held: deque[Note]) -> list[Note]:
    """The first that wait, taken out."""
    return [held.popleft() for _ in range(min(PAGE, len(held)))]
