"""Attendance: which members came into rooms that tell their members, and which left, on its way to logic."""

from itertools import islice

from twisted.logger import Logger

from imd.comet.courier import Courier
from imd.comet.work import Work
from imd.errors import ImdError, Overloaded, Unavailable
from imd.interfaces import Clock, LogicClient
from imd.metrics import Metrics
from imd.protocol import rpc

PAGE = 1000  # events in one request: the wire's limit
GATHER_SECONDS = 0.2  # a member who leaves and is back within it was never away
LIMIT = 100_000  # (room, member) pairs that wait, about 20 MB


class Attendance:
    """A member is in a room while one of its connections here is. In order for each (room, member): one that came and went
    before logic was told is not told at all. What logic does not take is told again, or what has come of the member since,
    for it may have been heard all the same: so an event may be told twice, and the last one always is.
    """

    _log = Logger()

    __slots__ = ("_courier", "_doubtful", "_here", "_logic", "_metrics", "_pending", "_server")

    def __init__(self, *, server: str, logic: LogicClient, clock: Clock, work: Work, metrics: Metrics) -> None:
        self._server = server
        self._logic = logic
        self._metrics = metrics
        self._here: dict[tuple[str, int], int] = {}  # (room, member) -> its connections in it here, never 0
        self._pending: dict[tuple[str, int], bool] = {}  # (room, member) -> whether it came; the oldest first
        self._doubtful: set[tuple[str, int]] = set()  # those of them of whom an earlier event may have been told
        self._courier = Courier(clock=clock, work=work, gather_seconds=GATHER_SECONDS, carry=self._send)

    def __len__(self) -> int:
        """How many events wait."""
        return len(self._pending)

    def enter(self, room: str, mid: int) -> None:
        """A connection of the member's came into the room."""
        count = self._here[room, mid] = self._here.get((room, mid), 0) + 1
        if count == 1:
            self._note((room, mid), True)

    def leave(self, room: str, mid: int) -> None:
        """One that had come left."""
        count = self._here[room, mid] - 1
        if count:
            self._here[room, mid] = count
        else:
            del self._here[room, mid]
            self._note((room, mid), False)

    def stop(self) -> None:
        """Tell what waits now."""
        self._courier.stop()

    def _note(self, who: tuple[str, int], joined: bool) -> None:
        if len(self._pending) >= LIMIT and who not in self._pending:
            self._metrics.attendances.add(1, "dropped")
            return
        self._metrics.attendances.add(1, "seen")
        self._put(who, joined)
        self._courier.wake()

    def _put(self, who: tuple[str, int], joined: bool) -> None:
        """In place of the other that waits, if any: two that undo each other are none, unless there is a doubt."""
        undoes = self._pending.pop(who, joined) != joined
        if undoes:
            self._metrics.attendances.add(1 if who in self._doubtful else 2, "undone")
        if not undoes or who in self._doubtful:
            self._pending[who] = joined

    async def _send(self) -> bool:
        page = dict(islice(self._pending.items(), PAGE))
        if not page:
            return False
        for who in page:
            del self._pending[who]
        events = tuple(rpc.Attendance(room, mid, joined) for (room, mid), joined in page.items())
        try:
            await self._logic.attend(rpc.Attendances(self._server, events))
        except (Unavailable, Overloaded):
            self._metrics.attendances.add(sum(who in self._pending for who in page), "undone")
            self._pending = {**page, **self._pending}
            self._doubtful.update(page)
            raise
        except ImdError as error:  # logic will not have them another time either
            self._log.warn("logic refused {count} attendances: {error}", count=len(page), error=error)
            self._metrics.attendances.add(len(page), "refused")
        else:
            self._metrics.attendances.add(len(page), "told")
        self._doubtful.difference_update(page)
        return bool(self._pending)
