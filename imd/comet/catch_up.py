"""Catch-up: reads for channels what they lack of a timeline, until they can go on live."""

from collections import deque
from functools import partial
from typing import NamedTuple

from twisted.logger import Logger

from imd.comet.channel import Channel
from imd.comet.edition import replay
from imd.comet.limits import Limits
from imd.comet.load import Load
from imd.comet.position import Position, Stage
from imd.comet.reader import Answer, Reader
from imd.errors import CloseReason, ImdError
from imd.interfaces import Clock, Timer
from imd.metrics import Metrics
from imd.protocol.rpc import Follow, Page

EMPTY_PAGES = (
    1_000  # in a row, for one channel, while others get the messages that one answer holds: more is no progress
)
FIRST_PAUSE_SECONDS = 0.5  # after a read that failed; then twice as long each time, up to ``Limits.check_seconds``


class Straggler(NamedTuple):
    """A channel that lacks something of a timeline."""

    channel: Channel
    timeline: str
    position: Position
    empty: int = 0  # pages in a row that said that there is more and had none of it

    @property
    def gone(self) -> bool:
        """Whether it follows no more, or began anew."""
        positions = self.channel.positions
        return positions is None or positions.get(self.timeline) is not self.position


class CatchUp:
    """Page by page: one is read, written, and the next is read once the outbox is empty again, until the highest seq that is
    known has been written. Meanwhile what comes live is left to the timeline, where it is already.

    - A slow client is not read for: what is not written is not held either, it is read again. So nothing here needs a bound
      but the number of positions.
    - At most one read for a position is under way. :class:`Reader` bounds how many are, of all.
    - An answer's bytes were used up before its page: it is asked for again at once, before whoever got some.
    - Logic fails: all that failed are tried again after a pause that grows, for as long as they follow.
    - What the client knows is void: the session ends with TIMELINE_RESET. It resumes, and is told so in words.
    """

    _log = Logger()

    __slots__ = (
        "_clock",
        "_due",
        "_failed",
        "_failures",
        "_last",
        "_limits",
        "_metrics",
        "_reader",
        "_retry",
        "_starved",
        "_timer",
    )

    def __init__(self, *, reader: Reader, clock: Clock, metrics: Metrics, limits: Limits) -> None:
        self._reader = reader
        self._clock = clock
        self._metrics = metrics
        self._limits = limits
        self._due: deque[Straggler] = deque()  # to be read for; each READING, and at most once in these two
        self._starved: deque[Straggler] = deque()  # those whose last page had nothing: they go first
        self._timer: Timer | None = None  # the next turn; None = nothing is due
        self._failed: list[Straggler] = []  # READING; tried again when ``_retry`` is due
        self._retry: Timer | None = None  # None = nothing has failed
        self._failures = 0  # pauses since the last page that came
        self._last: tuple[Page, Load] | None = None  # the last page that was written: many wait for the same one

    def begin(self, channel: Channel, timeline: str, position: Position) -> None:
        """The channel lacks something, or may: it is READING from now on. Precondition: it is not, nor WAITING."""
        position.stage = Stage.READING
        self._enqueue(Straggler(channel, timeline, position))

    def go_on(self, channel: Channel, timeline: str, position: Position, page: Page | None) -> None:
        """Write a page, if there is one; then go live, or read the next. The page continues what was written before."""
        if page is not None and page.messages:
            if not channel.outbox.idle:
                self._wait(Straggler(channel, timeline, position))
                return
            position.last = page.messages[-1].seq
            self._write(channel, page)
        if position.doubt or position.last < position.head or (page is not None and page.more):
            if channel.outbox.idle:
                self.begin(channel, timeline, position)
            else:
                self._wait(Straggler(channel, timeline, position))
        else:
            position.stage = Stage.LIVE

    def stop(self) -> None:
        """Read for nobody any more."""
        for timer in (self._timer, self._retry):
            if timer is not None:
                timer.cancel()
        self._timer = self._retry = None
        self._starved.clear()
        self._due.clear()
        self._failed.clear()

    def _enqueue(self, straggler: Straggler) -> None:
        (self._starved if straggler.empty else self._due).append(straggler)
        if self._timer is None:
            self._timer = self._clock.callLater(0, self._turn)

    def _turn(self) -> None:
        """Ask for those that are due, so many that the reactor gets its turn."""
        self._timer = None
        for _ in range(min(len(self._starved) + len(self._due), self._limits.deliveries_per_turn)):
            straggler = (self._starved or self._due).popleft()
            if straggler.gone:
                continue
            if straggler.channel.outbox.idle:
                self._ask(straggler)
            else:
                self._wait(straggler)
        self._reader.go()
        if (self._starved or self._due) and self._timer is None:
            self._timer = self._clock.callLater(0, self._turn)

    def _wait(self, straggler: Straggler) -> None:
        outbox = straggler.channel.outbox
        straggler.position.stage = Stage.WAITING
        if not outbox.ended:
            outbox.when_idle(partial(self._idle, straggler))

    def _idle(self, straggler: Straggler) -> None:
        if not straggler.gone and straggler.position.stage is Stage.WAITING:
            self.begin(straggler.channel, straggler.timeline, straggler.position)

    def _ask(self, straggler: Straggler) -> None:
        position = straggler.position
        position.doubt = False
        follow = Follow(straggler.timeline, position.last, position.epoch, self._limits.page_messages, witnessed=True)
        self._reader.ask(follow, partial(self._answered, straggler, position.head))

    def _answered(self, straggler: Straggler, head: int, answer: Answer) -> None:
        """``head`` was known to be in the timeline before it was read."""
        position = straggler.position
        if straggler.gone:
            return
        if isinstance(answer, ImdError):
            self._fail(straggler)
            return
        self._failures = 0
        if answer.head.epoch != position.epoch or not answer.recovered:
            self._reset(straggler)
        elif answer.head.seq < head:
            # The store has lost what it had told: say so to it, then nobody takes its new messages for those that it lost
            claim = Follow(straggler.timeline, head, position.epoch, witnessed=True)
            self._reader.ask(claim, partial(self._claimed, straggler))
            self._reader.go()
        elif answer.more and not answer.messages:
            self._ask_again(straggler)
        else:
            self.go_on(straggler.channel, straggler.timeline, straggler.position, answer)

    def _claimed(self, straggler: Straggler, answer: Answer) -> None:
        """While the store does not know, the session stays: nobody else might tell it."""
        if isinstance(answer, ImdError):
            self._fail(straggler)
        else:
            self._reset(straggler)

    def _ask_again(self, straggler: Straggler) -> None:
        """It got nothing of an answer that others used up."""
        if straggler.empty >= EMPTY_PAGES:
            self._fail(straggler._replace(empty=0))
        else:
            self._enqueue(straggler._replace(empty=straggler.empty + 1))

    def _write(self, channel: Channel, page: Page) -> None:
        if self._last is None or self._last[0] is not page:
            self._last = (page, replay(page))
        try:
            channel.outbox.replay(self._last[1])
        except Exception:  # as in fan-out: one broken connection stops nobody
            self._log.failure("writing to {key} failed", key=channel.key)
            channel.close(CloseReason.INTERNAL_ERROR)

    def _reset(self, straggler: Straggler) -> None:
        if not straggler.gone:
            straggler.channel.close(CloseReason.TIMELINE_RESET)

    def _fail(self, straggler: Straggler) -> None:
        self._failed.append(straggler)
        if self._retry is None:
            pause = min(FIRST_PAUSE_SECONDS * 2.0 ** min(self._failures, 10), self._limits.check_seconds)
            self._failures += 1
            self._retry = self._clock.callLater(pause, self._again)

    def _again(self) -> None:
        self._retry = None
        failed, self._failed = self._failed, []
        for straggler in failed:
            if not straggler.gone:
                self._enqueue(straggler)
