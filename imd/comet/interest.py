"""Interest: the rooms whose pushes this comet wants."""

from collections.abc import Collection
from enum import Enum

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from imd.comet.idle import IdleList
from imd.comet.work import Work
from imd.errors import ImdError, Unavailable
from imd.interfaces import Clock, LogicClient
from imd.protocol.rpc import Host


class Stage(Enum):
    """What presence knows of a room here."""

    DOUBTFUL = 1  # unknown: nothing was asked yet, or the answer to the last request is
    HOSTING = 2  # a request to host is under way
    HOSTED = 3
    RELEASING = 4  # a request to host no more is under way


class _Place:
    """One room."""

    __slots__ = ("holders", "stage", "waiters")

    def __init__(self) -> None:
        self.stage = Stage.DOUBTFUL
        self.holders = 0  # members, and those who wait to become one
        self.waiters: list[Deferred[None]] = []  # of those who wait for HOSTED


class Interest:
    """Registers a room with logic before its first member's join is answered, and ends that some time after the last left.

    At most one request for a room is under way, so requests cannot overtake each other. The races:

    - Two join at once: the second waits for the first one's request.
    - The last leaves while the request is under way: the room lingers once it is answered.
    - One joins while the room lingers: it is hosted still, nothing is asked.
    - One joins while a release is under way: it waits for that, then the room is hosted again. Joining at once would lose
      pushes: logic might host first and release after.
    - A request fails: whether it was done is unknown. Who waited hears of it; without holders the room is released after
      another linger, again and again until logic answers.
    - A renewal makes every room that it lists hosted. So a room is not released while a renewal that lists it is under way
      (``pin``): it would be hosted again, and nobody would ever release it. It is released when that has ended, not after
      another linger: slow renewals would be under way then, too, each time. And none lists a room that is not hosted any more.
    - A request that timed out may still be done late, against a newer one: the next renewal, which lists every hosted room,
      puts that right.
    """

    _log = Logger()

    __slots__ = ("_boot", "_clock", "_lingering", "_logic", "_pinned", "_places", "_postponed", "_server", "_work")

    def __init__(
        self, *, server: str, boot: int, logic: LogicClient, clock: Clock, work: Work, linger_seconds: float
    ) -> None:
        self._server = server
        self._boot = boot
        self._logic = logic
        self._clock = clock
        self._work = work
        self._places: dict[str, _Place] = {}
        self._lingering: IdleList[str] = IdleList(idle_seconds=linger_seconds)  # rooms without holders
        self._pinned: frozenset[str] = frozenset()  # rooms of the renewal that is under way
        self._postponed: set[str] = set()  # those of them that lingered long enough, and are still without holders

    def hosted(self) -> list[str]:
        """The rooms that are hosted now, those without members included."""
        return [room for room, place in self._places.items() if place.stage is Stage.HOSTED]

    def hold_hosted(self, room: str) -> bool:
        """:meth:`hold` without waiting; False, and nothing done, when there is something to wait for."""
        place = self._places.get(room)
        if place is None or place.stage is not Stage.HOSTED:
            return False
        self._enter(room, place)
        return True

    async def hold(self, room: str) -> None:
        """When it returns, pushes to the room come here until :meth:`drop`. Raises :class:`ImdError`; nothing is held then."""
        if self.hold_hosted(room):
            return
        place = self._places.setdefault(room, _Place())
        self._enter(room, place)
        waiting: Deferred[None] = Deferred()
        place.waiters.append(waiting)
        if place.stage is Stage.DOUBTFUL:
            place.stage = Stage.HOSTING
            self._work.start(self._host(room, place))
        try:
            await waiting
        except BaseException:  # a cancelled waiter holds nothing either
            self.drop(room)
            raise

    def drop(self, room: str) -> None:
        """One holder less."""
        place = self._places[room]
        place.holders -= 1
        self._rest(room, place)

    def pin(self, rooms: Collection[str]) -> list[str]:
        """A renewal of these begins, one at a time; answers those that it may list: they are hosted now."""
        hosted = [room for room in rooms if (place := self._places.get(room)) and place.stage is Stage.HOSTED]
        self._pinned = frozenset(hosted)
        return hosted

    def unpin(self) -> None:
        """It was answered, or will never be."""
        self._pinned = frozenset()
        postponed, self._postponed = self._postponed, set()
        for room in sorted(postponed):
            self._begin_release(room)

    def sweep(self, now: float, limit: int) -> int:
        """Release what lingered long enough, at most ``limit`` rooms; answers how many it looked at."""
        due = self._lingering.due(now, limit)
        for room in due:
            if room in self._pinned:
                self._postponed.add(room)
            else:
                self._begin_release(room)
        return len(due)

    def _begin_release(self, room: str) -> None:
        place = self._places[room]
        place.stage = Stage.RELEASING
        self._work.start(self._release(room, place))

    def _enter(self, room: str, place: _Place) -> None:
        place.holders += 1
        self._lingering.forget(room)
        self._postponed.discard(room)

    def _rest(self, room: str, place: _Place) -> None:
        """Nothing is under way any more, or a holder left: linger if nobody is left."""
        if not place.holders and place.stage in (Stage.HOSTED, Stage.DOUBTFUL):
            self._lingering.touch(room, self._clock.seconds())

    async def _host(self, room: str, place: _Place) -> None:
        try:
            await self._logic.host(Host(server=self._server, boot=self._boot, room=room))
        except BaseException as error:  # those who wait must hear of a bug and of a stop too
            self._answer(place, Stage.DOUBTFUL, error)
            self._rest(room, place)
            if not isinstance(error, ImdError):
                raise
        else:
            self._answer(place, Stage.HOSTED, None)
            self._rest(room, place)

    def _answer(self, place: _Place, stage: Stage, error: BaseException | None) -> None:
        place.stage = stage
        waiters, place.waiters = place.waiters, []
        for waiting in waiters:
            if error is None:
                waiting.callback(None)
            else:
                waiting.errback(error if isinstance(error, ImdError) else Unavailable("a room could not be hosted"))

    async def _release(self, room: str, place: _Place) -> None:
        try:
            await self._logic.host(Host(server=self._server, boot=self._boot, room=room, wanted=False))
            released = True
        except ImdError as error:
            self._log.debug("releasing {room} failed: {error}", room=room, error=error)
            released = False
        if place.holders:
            place.stage = Stage.HOSTING
            await self._host(room, place)
        elif released:
            del self._places[room]
        else:
            place.stage = Stage.DOUBTFUL
            self._rest(room, place)
