"""A timeline as a client follows it: each message once, in order, whatever comes twice, late or not at all."""

from collections.abc import Iterator
from typing import NamedTuple

from imd.client.core import Pushed
from imd.errors import CloseReason, ProtocolError
from imd.protocol.timeline import Place

MAX_HELD = 1000  # pushes behind a hole; when more come the furthest are let go, and read again


class Missed(NamedTuple):
    """Messages that can no longer be had: whoever shows the timeline reloads it, and goes on from ``now``."""

    timeline: str  # room id, or empty: the own inbox
    before: Place  # the last one that was handled
    now: Place  # what comes next comes after this


class Timeline:
    """One of a client's. It outlives connections."""

    __slots__ = ("_asked", "_epoch", "_held", "_last", "_last_id", "_name", "_seen", "duplicates")

    def __init__(self, name: str, place: Place) -> None:
        self._name = name  # room id, or empty: the own inbox
        self._epoch = place.epoch
        self._last = place.seq  # handled
        self._last_id = 0  # of the push that was it; 0 = not known
        self._seen = place.seq  # the highest that came
        self._asked = place.seq  # the highest that had come when op 38 was asked last
        self._held: dict[int, Pushed] = {}  # behind a hole, by seq; at most MAX_HELD
        self.duplicates = 0  # pushes that came again

    @property
    def place(self) -> Place:
        """Everything up to it was handled."""
        return Place(self._last, self._epoch)

    @property
    def lacks(self) -> bool:
        """Later messages have come while the next one has not: :meth:`question` asks for it."""
        return self._seen > self._last

    def question(self) -> Place:
        """What op 38 shall ask for: everything after this."""
        self._asked = self._seen
        return self.place

    def take(self, push: Pushed) -> Iterator[Pushed]:
        """A push came that says it is of this timeline. Yield what is next now, in order; each was handled when the next one is
        asked for. Raises :class:`ProtocolError` when it cannot be."""
        assert push.header is not None  # of version 2
        seq = push.header.seq
        if not self._epoch:
            raise self._wrong(f"seq {seq} though it is live")
        if seq == self._last + 1:
            yield push
            self._handled(push)
            if self._held:
                yield from self._next()
            return
        if seq <= self._last or seq in self._held:
            self.duplicates += 1
            known = self._last_id if seq == self._last else self._id_held(seq)
            if known not in (0, push.header.id):
                raise self._wrong(f"seq {seq} is push {push.header.id}, and was push {known}")
            return
        self._hold(seq, push)

    def resumed(self, head: Place, recovered: bool) -> Missed | None:
        """A connection begins, and the server says where the timeline stands, and whether what we miss will come.

        Answers what is lost, if so. Raises :class:`ProtocolError` when it contradicts itself.
        """
        self._held.clear()
        before = self.place
        if recovered and not before.epoch and not before.seq:
            self._begin(head)
            return None
        if recovered:
            if head.epoch != before.epoch or head.seq < before.seq:
                raise self._wrong(f"recovered from {before} with its end at {head}")
            self._seen = before.seq  # the rest comes by itself
            return None
        self._begin(head)
        return Missed(self._name, before, head)

    def filled(self, last: int, recovered: bool, more: bool) -> Iterator[Pushed | Missed]:
        """The answer to op 38 came, in this epoch, its messages before it.

        Yield what is lost, if so, and what is next then, as :meth:`take` does. Raises :class:`ProtocolError` when what was
        promised has not come: whatever had come when we asked is in the timeline, or has left it.
        """
        if recovered:
            if self._last < last:
                raise self._wrong(f"messages up to {last} were said to have come, and {self._last + 1} has not")
            if not more and self._last < self._asked:
                raise self._wrong(f"it ends at {last}, though {self._asked} had come")
            return
        before = self.place
        self._last, self._last_id = max(self._last, min(self._held, default=last + 1) - 1), 0
        self._seen = max(self._seen, self._last)
        if self.place == before:
            raise self._wrong(f"nothing is left after {before.seq}, and nothing is missing")
        yield Missed(self._name, before, self.place)
        yield from self._next()

    def _begin(self, place: Place) -> None:
        self._last, self._epoch = place
        self._last_id, self._seen = 0, place.seq

    def _next(self) -> Iterator[Pushed]:
        """What is held, as far as there is no hole before it."""
        while (push := self._held.get(self._last + 1)) is not None:
            yield push
            del self._held[self._last + 1]
            self._handled(push)

    def _handled(self, push: Pushed) -> None:
        assert push.header is not None
        self._last, self._last_id = push.header.seq, push.header.id
        self._seen = max(self._seen, self._last)

    def _hold(self, seq: int, push: Pushed) -> None:
        self._seen = max(self._seen, seq)
        self._held[seq] = push
        if len(self._held) > MAX_HELD:
            del self._held[max(self._held)]

    def _id_held(self, seq: int) -> int:
        held = self._held.get(seq)
        return held.header.id if held is not None and held.header is not None else 0

    def _wrong(self, words: str) -> ProtocolError:
        return ProtocolError(CloseReason.BAD_BODY, f"timeline {self._name or 'of the inbox'}: {words}")
