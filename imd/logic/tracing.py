"""Which pushes are traced, and what logic has to say of them."""

from collections.abc import Iterable, Sequence
from hashlib import blake2b

from imd.interfaces import Receipt
from imd.logic.order import Order
from imd.logic.trace_notes import TraceNotes
from imd.protocol.push import Push
from imd.protocol.trace import Hop, Step, is_sampled, is_traceparent

MAX_HOPS = 1000  # of one push from here: a store holds no more


class Tracing:
    """A push is traced when it asks for it, when whoever ordered it traces (its traceparent is sampled), or as one of a share.

    The trace id is that of the traceparent, so that the push can be found where its back end is watched; without a good one it
    is made from the push's id. The share is chosen by the id alone: every process would choose the same.
    """

    __slots__ = ("_notes", "_process", "_threshold")

    def __init__(self, *, notes: TraceNotes, process: str, share: float = 0.0) -> None:
        assert 0 <= share <= 1, share
        self._notes = notes
        self._process = process  # "logic/l1"
        self._threshold = int(share * 2**64)  # digests below it are of the share

    def traceparent(self, id: int, order: Order) -> str:
        """What the push with this id carries; empty when it is not traced. A traceparent that is not valid is ignored, as the
        standard says."""
        if not (order.trace or order.parent or self._threshold):  # nearly all: nothing need be reckoned
            return ""
        parent = order.parent if is_traceparent(order.parent) else ""
        digest = blake2b(id.to_bytes(8, "big", signed=True), digest_size=16).digest()
        chosen = int.from_bytes(digest[:8], "big") < self._threshold
        if not (order.trace or chosen or (parent and is_sampled(parent))):
            return ""
        trace_id = parent[3:35] or digest.hex()
        return f"00-{trace_id}-{id:016x}-01"

    def published(self, shares: Sequence[Push], receipts: Sequence[Receipt], at_ms: int) -> None:
        """The broker has answered for all shares of one push. Never fails, never waits. ``at_ms``: when."""
        if not shares[0].trace:
            return
        stored = [
            (share, receipt)
            for share, receipt in zip(shares, receipts, strict=True)
            if not (receipt.repeated or receipt.conflict)
        ]
        if not stored:
            return
        push = stored[0][0]
        hops = [Hop(Step.ACCEPTED, push.at_ms, self._process, traceparent=push.trace), *self._stored(stored, at_ms)]
        self._notes.note([(push.id, hop) for hop in hops[:MAX_HOPS]])

    def _stored(self, stored: Iterable[tuple[Push, Receipt]], at_ms: int) -> Iterable[Hop]:
        """One for each timeline; one for all shares that are live."""
        live = False
        for push, receipt in stored:
            live = live or not push.timelines
            for timeline, place in zip(push.timelines, receipt.places, strict=True):
                yield Hop(Step.STORED, at_ms, self._process, timeline, place.seq, epoch=place.epoch)
        if live:
            yield Hop(Step.STORED, at_ms, self._process)
