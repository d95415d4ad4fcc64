"""Kept messages in this process's memory: for tests, and the plainest statement of what a store of timelines does."""

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from copy import deepcopy
from heapq import heapify, heappop, heappush
from itertools import islice
from typing import NamedTuple

from imd.backend.timelines import DEVICES, HEAD_SECONDS, PAGE_BYTES, head_life_ms
from imd.interfaces import Swept, Totals
from imd.metrics import Metrics
from imd.protocol.push import Push
from imd.protocol.rpc import Ack, Follow, Page
from imd.protocol.timeline import Message, Place, dump, load

NEVER = 1 << 63  # ms since the epoch: later than anything is due


class _Kept(NamedTuple):
    at_ms: int
    data: bytes  # as a product would keep it


class _Head:
    """One timeline."""

    __slots__ = ("acked", "due_ms", "epoch", "keep_ms", "last", "messages", "positions", "touched_ms")

    def __init__(self, epoch: str) -> None:
        self.epoch = epoch
        self.last = 0  # seq of the newest message
        self.messages: deque[_Kept] = deque()  # those that are left; the last one's seq is ``last``
        self.keep_ms = 0  # how old they may be: as the newest push says
        self.positions: OrderedDict[str, int] = OrderedDict()  # device -> seq, the longest unchanged first
        self.acked = 0  # the highest position that any device ever had in this epoch
        self.touched_ms = 0  # ms since the epoch
        self.due_ms = NEVER  # when a sweep looks at it; never later than there is something to do

    @property
    def first(self) -> int:
        """Seq of the oldest message that is left; ``last + 1`` when none is."""
        return self.last + 1 - len(self.messages)


class _State:
    """What a product would have on its disk."""

    __slots__ = ("acked", "appended", "due", "era", "expired", "heads", "held")

    def __init__(self) -> None:
        self.era = ""  # begins every epoch that is good; empty = to be made
        self.appended = 0  # messages, ever
        self.held = 0  # messages that are left
        self.acked = 0  # gone, handled by some device
        self.expired = 0  # gone, handled by none
        self.heads: dict[str, _Head] = {}
        self.due: list[tuple[int, str]] = []  # a heap of (due_ms, timeline); what does not match its head is void


class TimelinesMemory:
    """Holds kept messages until this process ends. :class:`imd.backend.broker_memory.BrokerMemory` appends to it.

    ``now_ms`` is the date in ms since the epoch; ``make_epoch`` answers a random name at each call. All timelines are
    of one era: the store is lost, or goes back, as a whole. A head is forgotten ``head_seconds`` after its last touch,
    when nothing is left in it.

    Memory: per timeline at most as many messages as its newest push says, and ``DEVICES`` positions; a timeline whose
    messages are too old has none after the next sweep. A sweep of any partition is one of all.
    """

    __slots__ = ("_head_ms", "_make_epoch", "_metrics", "_now_ms", "_state")

    def __init__(
        self,
        *,
        metrics: Metrics,
        now_ms: Callable[[], int],
        make_epoch: Callable[[], str],
        head_seconds: float = HEAD_SECONDS,
    ) -> None:
        self._metrics = metrics
        self._now_ms = now_ms
        self._make_epoch = make_epoch
        self._head_ms = int(head_seconds * 1000)
        self._state = _State()

    # for the broker

    def append(self, push: Push) -> tuple[Place, ...]:
        """Keep it in each of its timelines; its places, in their order. Nothing, for a live one."""
        if not push.keep_count:
            return ()
        now, kept = self._now_ms(), _Kept(push.at_ms, dump(push.id, push.at_ms, push.operation, push.body))
        return tuple(self._append(timeline, push, kept, now) for timeline in push.timelines)

    # the seam

    async def read(self, follows: Sequence[Follow]) -> list[Page]:
        """See :class:`imd.interfaces.Timelines`. Up to ``PAGE_BYTES`` of messages, and one."""
        now = self._now_ms()
        if any(self._disproves(follow) for follow in follows):  # before any page claims anything
            self._state.era = self._make_epoch()
        pages, left = [], PAGE_BYTES
        for follow in follows:
            page, size = self._page(follow, left, now)
            pages.append(page)
            left -= size
        return pages

    async def ack(self, acks: Sequence[Ack]) -> None:
        """See :class:`imd.interfaces.Timelines`."""
        now = self._now_ms()
        for ack in acks:
            self._metrics.positions.add(1, self._move(ack, now))

    async def positions(self, timeline: str) -> dict[str, int]:
        """See :class:`imd.interfaces.Timelines`."""
        head = self._current(timeline)
        return dict(head.positions) if head else {}

    async def sweep(self, partition: int, limit: int) -> Swept:
        """See :class:`imd.interfaces.Timelines`. Also forgets heads. Of whatever partition: there is one queue."""
        now, state = self._now_ms(), self._state
        acked = expired = seen = 0
        while state.due and state.due[0][0] <= now:
            if seen == limit:
                return Swept(acked, expired, more=True)
            due_ms, timeline = heappop(state.due)
            head = state.heads.get(timeline)
            if head is None or head.due_ms != due_ms:
                continue
            seen += 1
            head.due_ms = NEVER
            gone = self._trim(head, now)
            acked, expired = acked + gone[0], expired + gone[1]
            if not head.messages and self._forgotten_at(timeline, head) <= now:
                del state.heads[timeline]
            else:
                self._schedule(timeline, head)
        return Swept(acked, expired)

    async def totals(self) -> Totals:
        """See :class:`imd.interfaces.Timelines`."""
        state = self._state
        return Totals(state.appended, state.held, state.acked, state.expired)

    # as an operator of a product would

    def snapshot(self) -> object:
        """A backup of all that is kept."""
        return deepcopy(self._state)

    def restore(self, snapshot: object) -> None:
        """Go back to a backup, which may be used again. Nobody is told: epochs stay until somebody proves the loss."""
        assert isinstance(snapshot, _State)
        self._state = deepcopy(snapshot)

    def empty(self) -> None:
        """Lose everything."""
        self._state = _State()

    def renew_epochs(self) -> None:
        """The store is known to have gone back: no place of before is good any longer."""
        self._state.era = self._make_epoch()

    # one timeline

    def _append(self, timeline: str, push: Push, kept: _Kept, now: int) -> Place:
        head = self._touch(timeline, now)
        head.last += 1
        head.messages.append(kept)
        head.keep_ms = push.keep_ms
        self._state.appended += 1
        self._state.held += 1
        self._metrics.messages_kept.add()
        self._trim(head, now, push.keep_count)
        self._schedule(timeline, head)
        return Place(head.last, head.epoch)

    def _page(self, follow: Follow, room: int, now: int) -> tuple[Page, int]:
        """What one follow gets, and its bytes. ``room`` is for how many there is; with any, one message fits."""
        head = self._touch(follow.timeline, now)
        self._trim(head, now)
        place = Place(head.last, head.epoch)
        if follow.after < 0:
            return Page(follow.timeline, place), 0
        if follow.epoch and follow.epoch != head.epoch:
            return Page(follow.timeline, place, recovered=False), 0
        skipped = max(follow.after + 1 - head.first, 0)
        messages: list[Message] = []
        size = 0
        for seq, kept in enumerate(islice(head.messages, skipped, None), head.first + skipped):
            if len(messages) >= follow.limit or size >= room:
                break
            messages.append(load(seq, kept.data))
            size += len(kept.data)
        page = Page(
            follow.timeline,
            place,
            recovered=bool(follow.epoch) and head.first <= follow.after + 1 <= head.last + 1,
            messages=tuple(messages),
            more=skipped + len(messages) < len(head.messages),
        )
        return page, size

    def _move(self, ack: Ack, now: int) -> str:
        """What became of an ack, as the metric calls it."""
        head = self._current(ack.timeline)
        if head is None or head.epoch != ack.epoch:
            return "stale"
        if ack.seq > head.last:
            return "beyond"
        head.touched_ms = now
        if ack.seq <= head.positions.get(ack.device, 0):
            return "repeated"
        head.positions[ack.device] = ack.seq
        head.positions.move_to_end(ack.device)
        if len(head.positions) > DEVICES:
            head.positions.popitem(last=False)
        head.acked = max(head.acked, ack.seq)
        return "moved"

    def _disproves(self, follow: Follow) -> bool:
        """Whether a witness has seen what is not there."""
        if not follow.witnessed:
            return False
        head = self._current(follow.timeline)
        return head is not None and follow.after > head.last and follow.epoch == head.epoch

    def _current(self, timeline: str) -> _Head | None:
        """Its head, None when there is none of this era."""
        head = self._state.heads.get(timeline)
        return head if head is not None and head.epoch.startswith(f"{self._state.era}-") else None

    def _touch(self, timeline: str, now: int) -> _Head:
        """Its head, of this era; made when there is none."""
        state = self._state
        head = self._current(timeline)
        if head is None:
            state.era = state.era or self._make_epoch()
            # A timeline that is forgotten and comes back has another epoch, for something was appended in between;
            # if nothing was, nothing is new.
            epoch = f"{state.era}-{state.appended}"
            head = state.heads.get(timeline)
            if head is None:
                head = state.heads[timeline] = _Head(epoch)
            else:  # of an era that is over: what is left keeps its numbers
                head.epoch, head.acked = epoch, 0
                head.positions.clear()
        head.touched_ms = now
        self._schedule(timeline, head)
        return head

    def _trim(self, head: _Head, now: int, count: int | None = None) -> tuple[int, int]:
        """Let go of what is too old, or over ``count``: how many were acked, and expired."""
        acked = expired = 0
        messages = head.messages
        while messages and (messages[0].at_ms + head.keep_ms <= now or (count is not None and len(messages) > count)):
            if head.first <= head.acked:
                acked += 1
            else:
                expired += 1
            messages.popleft()
        state = self._state
        state.held -= acked + expired
        state.acked += acked
        state.expired += expired
        for state_name, gone in (("acked", acked), ("expired", expired)):
            if gone:
                self._metrics.messages_gone.add(gone, state_name)
        return acked, expired

    def _schedule(self, timeline: str, head: _Head) -> None:
        """Have a sweep look at it in time."""
        state = self._state
        due_ms = head.messages[0].at_ms + head.keep_ms if head.messages else self._forgotten_at(timeline, head)
        if due_ms >= head.due_ms:
            return
        head.due_ms = due_ms
        heappush(state.due, (due_ms, timeline))
        if len(state.due) > 2 * len(state.heads) + 1000:  # void ones pile up
            state.due = [(each.due_ms, name) for name, each in state.heads.items()]
            heapify(state.due)

    def _forgotten_at(self, timeline: str, head: _Head) -> int:
        return head.touched_ms + head_life_ms(timeline, head.last, self._head_ms)
