"""Inspection: finds the timelines that went on without their messages coming here."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, islice
from math import ceil
from typing import NamedTuple

from imd.comet.channel import Channel
from imd.comet.directory import Directory
from imd.comet.limits import Limits
from imd.comet.position import Position, Stage
from imd.comet.reader import Answer, Reader
from imd.errors import ImdError
from imd.interfaces import Clock, Timer
from imd.protocol.rpc import Follow
from imd.protocol.timeline import Place, inbox_timeline, room_timeline

TICKS = 30  # a round is spread over so many steps
GRACE_SECONDS = 1.0  # that a message may take from the timeline to the channels, and twice that at most
AGAIN_SECONDS = 2.0  # after a hurried round that logic did not answer


class Followers(NamedTuple):
    """Of one timeline."""

    timeline: str
    key: str  # of the one channel whose inbox it is; empty = a room's
    channels: Callable[[], Iterable[Channel]]  # those now; perhaps with some who do not follow it

    def live(self) -> Iterator[tuple[Channel, Position]]:
        """Those of them that believe to have everything."""
        for channel in self.channels():
            position = channel.positions.get(self.timeline) if channel.positions else None
            if position is not None and position.stage is Stage.LIVE:
                yield channel, position


class Inspection:
    """Every ``Limits.check_seconds`` a round through all followed timelines, each asked for once, spread over that time.

    Who lacks a message that was in its timeline more than a second ago is told to ``behind``. The question names the newest
    place that a channel here has got to: if the store had lost that, it learns so and says so by a new epoch.
    """

    __slots__ = (
        "_behind",
        "_clock",
        "_directory",
        "_expected",
        "_failed",
        "_fresh",
        "_grace",
        "_hurried",
        "_limits",
        "_next_at",
        "_reader",
        "_round",
        "_rush",
        "_timer",
    )

    def __init__(
        self,
        *,
        directory: Directory,
        reader: Reader,
        clock: Clock,
        limits: Limits,
        behind: Callable[[Channel, str, Position], None],
    ) -> None:
        self._directory = directory
        self._reader = reader
        self._clock = clock
        self._limits = limits
        self._behind = behind
        self._round: Iterator[Followers | None] = iter(())  # who has still to be looked at
        self._failed = False  # a look of a hurried round: the next is one too
        self._next_at = 0.0  # clock seconds when the next round may begin
        self._hurried = (
            False  # the last round was begun by ``hurry``, and a look of it that fails is worth another one soon
        )
        self._rush = False  # this round is to be over soon
        self._timer: Timer | None = None  # the next step; None = not started, or stopped
        # (timeline, key) -> what its followers should have got to when ``_grace`` is due: looked at then (``_expected``), or
        # the next time (``_fresh``). At most one entry a room and one a channel.
        self._expected: dict[tuple[str, str], tuple[Followers, Place]] = {}
        self._fresh: dict[tuple[str, str], tuple[Followers, Place]] = {}
        self._grace: Timer | None = None  # None = nothing is expected

    def start(self) -> None:
        """The first round begins."""
        self._timer = self._clock.callLater(self._step_seconds, self._step)

    def stop(self) -> None:
        """Look no more."""
        for timer in (self._timer, self._grace):
            if timer is not None:
                timer.cancel()
        self._timer = self._grace = None

    def hurry(self) -> None:
        """A round begins now, as fast as logic answers: something may have been missed."""
        if self._timer is not None:
            self._timer.cancel()
            self._begin(hurried=True)
            self._timer = self._clock.callLater(0, self._step)

    def _begin(self, *, hurried: bool) -> None:
        self._hurried = self._rush = hurried
        self._failed = False
        self._round = self._all()
        self._next_at = self._clock.seconds() + self._limits.check_seconds

    def expect_room(self, room: str, place: Place) -> None:
        """The message at this place is in the room's timeline: soon all of its members should have it."""
        self._expect(self._room(room), place)

    def expect_inbox(self, channel: Channel, place: Place) -> None:
        """The message at this place is in the inbox of the channel's member: soon the channel should have it."""
        self._expect(_inbox(channel), place)

    def _expect(self, followers: Followers, place: Place) -> None:
        name = (followers.timeline, followers.key)
        before = self._fresh.get(name)
        if before is None or before[1].epoch != place.epoch or before[1].seq < place.seq:
            self._fresh[name] = (followers, place)
        if self._grace is None:
            self._grace = self._clock.callLater(GRACE_SECONDS, self._overdue)

    @property
    def _step_seconds(self) -> float:
        return self._limits.check_seconds / TICKS

    def _step(self) -> None:
        if self._rush:
            share = self._limits.deliveries_per_turn
        else:
            share = ceil((self._directory.room_count + len(self._directory) + 1) / TICKS)
        part = list(islice(self._round, share))
        for followers in part:
            if followers is not None:
                self._look(followers)
        self._reader.go()
        if len(part) < share:
            self._rush = False
            if self._clock.seconds() >= self._next_at:
                self._begin(hurried=self._failed)
        self._timer = self._clock.callLater(0 if self._rush else self._step_seconds, self._step)

    def _all(self) -> Iterator[Followers | None]:
        """Rooms whose type is kept, and the inboxes of channels. None for each room and channel that follows nothing, so that
        the pace is even."""
        types = self._limits.room_types
        for room in self._directory.rooms():
            yield self._room(room) if types.of(room).keep.messages else None
        for channel in chain.from_iterable(self._directory.channels()):
            yield _inbox(channel) if channel.positions and channel.mid else None

    def _room(self, room: str) -> Followers:
        return Followers(room_timeline(room), "", lambda: chain.from_iterable(self._directory.members(room)))

    def _look(self, followers: Followers) -> None:
        farthest = max((position for _, position in followers.live()), key=lambda position: position.last, default=None)
        if farthest is not None:
            follow = Follow(followers.timeline, farthest.last, farthest.epoch, witnessed=True)
            self._reader.ask(follow, partial(self._answered, followers))

    def _answered(self, followers: Followers, answer: Answer) -> None:
        if self._timer is None:
            return
        if isinstance(answer, ImdError):  # the next round asks again
            if self._hurried:
                self._failed = True
                self._next_at = min(self._next_at, self._clock.seconds() + AGAIN_SECONDS)
        elif any(
            position.last < answer.head.seq or position.epoch != answer.head.epoch for _, position in followers.live()
        ):
            self._expect(followers, answer.head)

    def _overdue(self) -> None:
        due, self._expected, self._fresh = self._expected, self._fresh, {}
        for followers, place in due.values():
            for channel, position in followers.live():
                if position.epoch != place.epoch:
                    position.doubt = True
                elif position.last < place.seq:
                    position.head = place.seq
                else:
                    continue
                self._behind(channel, followers.timeline, position)
        self._grace = self._clock.callLater(GRACE_SECONDS, self._overdue) if self._expected else None


def _inbox(channel: Channel) -> Followers:
    return Followers(inbox_timeline(channel.mid), channel.key, lambda: (channel,))
