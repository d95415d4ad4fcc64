"""Kept messages, as comets read them for their clients, and the acks that they bring."""

from collections.abc import Callable

from imd.errors import BadRequest
from imd.interfaces import Timelines
from imd.logic.trace_notes import TraceNotes
from imd.protocol import rpc

MAX_FOLLOWS = 1000  # in one request
MAX_MESSAGES = 1000  # for one of them
MAX_ACKS = 1000  # in one request


class KeptMessages:
    """Timelines within the limits of what one request may ask."""

    __slots__ = ("_notes", "_now", "_timelines")

    def __init__(self, *, timelines: Timelines, notes: TraceNotes, now: Callable[[], float]) -> None:
        self._timelines = timelines
        self._notes = notes  # traced pushes hear of acks
        self._now = now  # the wall clock, seconds since the epoch

    async def read(self, request: rpc.Read) -> rpc.Pages:
        """A page for each, in their order. Raises :class:`imd.errors.BadRequest`, :class:`imd.errors.TimelineUnavailable`."""
        if len(request.follows) > MAX_FOLLOWS:
            raise BadRequest(f"more than {MAX_FOLLOWS} timelines in one request")
        if any(not 0 <= follow.limit <= MAX_MESSAGES or follow.after < -1 for follow in request.follows):
            raise BadRequest(f"a timeline is read from -1 up, 0 to {MAX_MESSAGES} messages at a time")
        return rpc.Pages(tuple(await self._timelines.read(request.follows)) if request.follows else ())

    async def ack(self, request: rpc.Acks) -> rpc.Done:
        """Devices' positions move. Raises :class:`imd.errors.BadRequest`, :class:`imd.errors.TimelineUnavailable`: the same
        acks again do no harm."""
        if len(request.acks) > MAX_ACKS:
            raise BadRequest(f"more than {MAX_ACKS} acks in one request")
        await self._timelines.ack(request.acks)
        self._notes.acked(request.acks, int(self._now() * 1000))
        return rpc.Done()
