"""What became of traced pushes, in this process's memory."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from imd.interfaces import Clock
from imd.protocol.rpc import Ack
from imd.protocol.trace import Hop, Step

MAX_HOPS = 1_000  # of one push
MAX_INDEXED = 1_000  # traced messages of one timeline that acks are looked up among, the newest


@dataclass(slots=True)
class _Trace:
    """One push."""

    touched: float  # seconds of the clock: the last hop
    hops: list[Hop] = field(default_factory=list)  # at most MAX_HOPS
    acked: set[tuple[str, str]] = field(default_factory=set)  # (timeline, device) that have a hop for it
    timelines: set[str] = field(default_factory=set)  # where it is indexed


class TracesMemory:
    """For one process, or for tests: a restart forgets.

    A push is forgotten ``keep_seconds`` after its last hop, or earlier, the longest untouched first, once all together have
    more than ``max_hops`` (some 300 bytes each).
    """

    __slots__ = ("_clock", "_held", "_indexed", "_keep_seconds", "_max_hops", "_traces")

    def __init__(self, *, clock: Clock, keep_seconds: float = 3600.0, max_hops: int = 100_000) -> None:
        self._clock = clock
        self._keep_seconds = keep_seconds
        self._max_hops = max_hops
        self._held = 0  # hops of all
        self._traces: OrderedDict[int, _Trace] = OrderedDict()  # push id -> trace, the longest untouched first
        # timeline -> (epoch, seq) -> push id: what acks are about; at most MAX_INDEXED a timeline, as stored
        self._indexed: dict[str, OrderedDict[tuple[str, int], int]] = {}

    async def note(self, hops: Sequence[tuple[int, Hop]]) -> None:
        """See :class:`imd.interfaces.Traces`."""
        now = self._clock.seconds()
        for id, hop in hops:
            trace = self._traces.get(id)
            if trace is None:
                trace = self._traces[id] = _Trace(now)
            trace.touched = now
            self._traces.move_to_end(id)
            if len(trace.hops) < MAX_HOPS:
                trace.hops.append(hop)
                self._held += 1
            if hop.step is Step.STORED and hop.timeline:
                self._index(id, trace, hop)
        self._forget(now)

    async def acked(self, acks: Sequence[Ack], at_ms: int, process: str) -> None:
        """See :class:`imd.interfaces.Traces`."""
        if not self._indexed:
            return
        noted: list[tuple[int, Hop]] = []
        for ack in acks:
            mid, _, device = ack.device.partition(":")
            who = (ack.timeline, ack.device)
            for (epoch, seq), id in reversed(self._indexed.get(ack.timeline, {}).items()):
                trace = self._traces[id]
                if epoch != ack.epoch or seq > ack.seq:
                    continue
                if who in trace.acked:
                    break  # and so it has what was before it
                trace.acked.add(who)
                noted.append((id, Hop(Step.ACKED, at_ms, process, ack.timeline, seq, int(mid), device)))
        await self.note(noted)

    async def read(self, id: int) -> list[Hop]:
        """See :class:`imd.interfaces.Traces`."""
        self._forget(self._clock.seconds())
        trace = self._traces.get(id)
        return list(trace.hops) if trace else []

    def _index(self, id: int, trace: _Trace, hop: Hop) -> None:
        trace.timelines.add(hop.timeline)
        seqs = self._indexed.setdefault(hop.timeline, OrderedDict())
        seqs[hop.epoch, hop.seq] = id
        if len(seqs) > MAX_INDEXED:
            seqs.popitem(last=False)

    def _forget(self, now: float) -> None:
        """Those that are too old, and more while there are too many hops."""
        while self._traces:
            id, trace = next(iter(self._traces.items()))
            if now - trace.touched < self._keep_seconds and self._held <= self._max_hops:
                return
            del self._traces[id]
            self._held -= len(trace.hops)
            for timeline in trace.timelines:
                seqs = self._indexed.get(timeline)
                if seqs is None:  # its place gave way to others', which were forgotten before
                    continue
                for place in [place for place, of in seqs.items() if of == id]:
                    del seqs[place]
                if not seqs:
                    del self._indexed[timeline]
