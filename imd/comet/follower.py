"""Follower: the timelines that channels follow, from the first page to the last."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from sys import intern

from twisted.internet.defer import Deferred

from imd.comet.catch_up import CatchUp
from imd.comet.channel import Channel
from imd.comet.directory import Directory
from imd.comet.inspection import Inspection
from imd.comet.limits import Limits
from imd.comet.outbox import Outbox
from imd.comet.position import Position, Stage
from imd.comet.reader import Reader
from imd.comet.turnstile import Turnstile
from imd.comet.work import Work
from imd.errors import NotAllowed, Overloaded
from imd.interfaces import Clock, LogicClient
from imd.metrics import Metrics
from imd.protocol.rpc import Follow, Item, Kind, Page
from imd.protocol.timeline import Place

SYNC_READS = 8  # for one op 38, each after the client has taken everything that waited for it


class Follower:
    """Sees to it that a version-2 channel gets every message of the timelines that it follows, in order and without a gap.

    A kept push is in its timeline before it comes here. So what cannot be written as it comes need not be held: it is read
    (:class:`CatchUp`). And what never came is found (:class:`Inspection`).
    """

    __slots__ = (
        "_catch_up",
        "_clock",
        "_directory",
        "_inspection",
        "_limits",
        "_metrics",
        "_opened",
        "_reader",
        "_turnstile",
    )

    def __init__(
        self,
        *,
        server: str,
        logic: LogicClient,
        clock: Clock,
        metrics: Metrics,
        limits: Limits,
        directory: Directory,
        work: Work,
    ) -> None:
        self._clock = clock
        self._metrics = metrics
        self._limits = limits
        self._directory = directory
        self._opened: dict[Position, Page] = {}  # OPENING, with a first page that waits for its release
        self._turnstile = Turnstile(per_second=limits.resumes_per_second, burst=limits.resumes_burst)
        self._reader = Reader(server=server, logic=logic, clock=clock, work=work, limits=limits)
        self._catch_up = CatchUp(reader=self._reader, clock=clock, metrics=metrics, limits=limits)
        self._inspection = Inspection(
            directory=directory, reader=self._reader, clock=clock, limits=limits, behind=self._found_behind
        )

    def start(self) -> None:
        """Begin to look for what never came."""
        self._inspection.start()

    def stop(self) -> None:
        """Read no more: who waits for a page hears that this comet is stopping."""
        self._inspection.stop()
        self._reader.stop()
        self._catch_up.stop()

    async def begin(self, channel: Channel, wanted: Mapping[str, Place | None]) -> dict[str, Page]:
        """The channel follows these timelines from now on: it gets nothing of them before :meth:`release`, and loses nothing.

        The place is where the client stands; None = it asks for nothing that was before. Answers their heads, and what the
        client missed or the first page of it; with ``recovered`` false it goes on behind the head. Raises
        :class:`imd.errors.Overloaded` when too many come at once, and other :class:`imd.errors.ImdError`: then it follows
        none of them. The channel must be where pushes reach it already. It may be gone when this returns.
        """
        if not wanted:
            return {}
        self._turnstile.enter(self._clock.seconds(), len(wanted))
        positions = channel.positions
        assert positions is not None, "a version-1 client follows nothing"
        entered = {intern(timeline): Position() for timeline in wanted}  # one string for all who follow it
        positions.update(entered)
        try:
            pages = await self._reader.pages(tuple(self._first(*each) for each in wanted.items()))
        except BaseException:  # a cancelled one follows nothing either
            for timeline, position in entered.items():
                if positions.get(timeline) is position:
                    del positions[timeline]
            raise
        for (timeline, position), place, page in zip(entered.items(), wanted.values(), pages, strict=True):
            if positions.get(timeline) is position:
                self._open(position, place, page)
        return dict(zip(entered, pages, strict=True))

    def release(self, channel: Channel, timelines: Iterable[str]) -> None:
        """What must go first has been written: now what was missed, in order, then live. Precondition: they have begun."""
        for timeline in timelines:
            position = channel.positions.get(timeline) if channel.positions else None
            if position is not None and position.stage is Stage.OPENING:
                self._catch_up.go_on(channel, timeline, position, self._opened.pop(position, None))

    def leave(self, channel: Channel, timeline: str) -> None:
        """It follows this no more; nor did it, perhaps."""
        position = channel.positions.pop(timeline, None) if channel.positions else None
        if position is not None:
            self._opened.pop(position, None)

    def forget(self, channel: Channel) -> None:
        """It ended."""
        for timeline in list(channel.positions or ()):
            self.leave(channel, timeline)

    async def sync(self, channel: Channel, timeline: str, after: int, limit: int, epoch: str = "") -> Page:
        """What the timeline has behind ``after``, up to ``limit`` messages or a page of ``Limits.page_messages``, when the
        channel's outbox is empty: before it is read, for it would wait here, and when it comes, for a page may be as large as
        an outbox. Without an epoch, in the one that the channel follows. Raises :class:`NotAllowed` for a timeline that it does
        not follow, :class:`Overloaded` when its outbox has filled ``SYNC_READS`` times meanwhile, and
        :class:`imd.errors.ImdError`."""
        for _ in range(SYNC_READS):
            await _empty(channel.outbox)
            position = channel.positions.get(timeline) if channel.positions else None
            if position is None:
                raise NotAllowed("only a timeline that is followed can be read")
            follow = Follow(timeline, after, epoch or position.epoch, min(limit, self._limits.page_messages))
            (page,) = await self._reader.pages((follow,))
            if channel.outbox.idle or channel.outbox.ended or not page.messages:
                return page
        raise Overloaded("this connection is slower than what comes for it")

    def check_all(self) -> None:
        """Something may have been missed: look at all timelines soon."""
        self._inspection.hurry()

    def behind(self, channel: Channel, timeline: str, position: Position) -> None:
        """A kept push for it was not the next."""
        self._metrics.catch_ups.add(1, "push")
        self._catch_up.begin(channel, timeline, position)

    def missed(self, items: Sequence[Item]) -> None:
        """These were refused: unless they come again soon, they are read."""
        for item in items:
            if not item.places:
                continue
            if item.kind is Kind.ROOM:
                self._inspection.expect_room(item.room, item.places[-1])
            else:
                for key, place, mid in zip_longest(item.keys, item.places, item.mids):
                    channel = self._directory.find(key)
                    if channel is not None and mid in (None, channel.mid):
                        self._inspection.expect_inbox(channel, place)

    def _found_behind(self, channel: Channel, timeline: str, position: Position) -> None:
        self._metrics.catch_ups.add(1, "check")
        self._catch_up.begin(channel, timeline, position)

    def _first(self, timeline: str, place: Place | None) -> Follow:
        if place is None:
            return Follow(timeline)
        return Follow(timeline, place.seq, place.epoch, self._limits.page_messages)

    def _open(self, position: Position, place: Place | None, page: Page) -> None:
        asked = place is not None and page.recovered
        last = place.seq if place is not None and asked else page.head.seq
        position.opened(last, page.head.seq, page.head.epoch)
        if asked and page.messages:
            self._opened[position] = page


async def _empty(outbox: Outbox) -> None:
    """Wait until nothing waits in it, or it has ended: the session sees to it that one or the other comes."""
    if not outbox.idle:
        idle: Deferred[None] = Deferred()
        outbox.when_idle(lambda: idle.callback(None))
        await idle
