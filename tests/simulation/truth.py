"""The truth about timelines: every message that was ever kept, and what the store lost, whoever knows of it."""

from imd.backend.timelines_memory import TimelinesMemory
from imd.protocol.push import Push
from imd.protocol.timeline import load


class Kept:
    """One message of one timeline."""

    __slots__ = ("at", "body", "id", "lost_at", "publisher", "seq", "timeline")

    def __init__(self, timeline: str, seq: int, id: int, body: bytes, at: float, publisher: str) -> None:
        self.timeline = timeline
        self.seq = seq
        self.id = id
        self.body = body
        self.at = at  # when it was appended
        self.publisher = publisher  # the process that saw it happen
        self.lost_at: float | None = None  # when the store lost it; None = it did not


class Truth:
    """Written after each publish by looking into the store, not by what the store answers."""

    def __init__(self) -> None:
        self.all: list[Kept] = []
        self.now: dict[str, dict[int, Kept]] = {}  # timeline -> seq -> message; those too that have expired
        self.forgotten: set[str] = set()  # timelines whose head was, at some time

    def look(self, timelines: TimelinesMemory, push: Push, at: float, publisher: str) -> list[str]:
        """The push is in the broker. Answers those of its timelines in which it is not."""
        missing = []
        for name in push.timelines:
            head = timelines._state.heads.get(name)
            seqs = self.now.setdefault(name, {})
            if name in self.forgotten and head is not None and head.last <= max(seqs, default=0):
                seqs.clear()  # it has begun anew
            if head is None or head.last != max(seqs, default=0) + 1:
                missing.append(name)
                continue
            # by logic's clock it may be so old that it was let go at once
            if head.messages and load(head.last, head.messages[-1].data).id != push.id:
                missing.append(name)
            kept = seqs[head.last] = Kept(name, head.last, push.id, push.body, at, publisher)
            self.all.append(kept)
        return missing

    def snapshot(self) -> dict[str, dict[int, Kept]]:
        """As of now."""
        return {name: dict(seqs) for name, seqs in self.now.items()}

    def restore(self, snapshot: dict[str, dict[int, Kept]], at: float) -> None:
        """The store went back to that; nothing = it was emptied. What an earlier loss had taken may be there again."""
        kept = {id(each) for seqs in snapshot.values() for each in seqs.values()}
        for seqs in self.now.values():
            for each in seqs.values():
                if id(each) not in kept and each.lost_at is None:
                    each.lost_at = at
        self.now = {name: dict(seqs) for name, seqs in snapshot.items()}
        for seqs in self.now.values():
            for each in seqs.values():
                each.lost_at = None
