"""Attendance: the members of a room hear who comes and goes, where its type says so."""

from collections.abc import Callable

from imd.errors import BadRequest
from imd.interfaces import Broker
from imd.logic.ids import IdMaker
from imd.logic.offers import Offers
from imd.metrics import Metrics
from imd.protocol import rpc
from imd.protocol.operation import Operation
from imd.protocol.presence_event import PresenceEvent
from imd.protocol.push import Push, Target, partition_of
from imd.protocol.room_type import RoomTypes

MAX_EVENTS = 1000  # in one request


class Attendance:
    """Tells a room by a live push of operation 46, in order with the room's other pushes."""

    __slots__ = ("_ids", "_metrics", "_now", "_offers", "_partitions", "_room_types")

    def __init__(
        self, *, broker: Broker, ids: IdMaker, now: Callable[[], float], metrics: Metrics, room_types: RoomTypes
    ) -> None:
        self._partitions = broker.partitions
        self._offers = Offers(broker=broker, metrics=metrics)
        self._ids = ids
        self._now = now  # the wall clock, seconds since the epoch
        self._metrics = metrics
        self._room_types = room_types

    async def attend(self, request: rpc.Attendances) -> rpc.Done:
        """See :meth:`imd.interfaces.LogicClient.attend`. Events of rooms whose type does not tell are left out.

        Raises :class:`imd.errors.BadRequest`, and what :meth:`imd.interfaces.Broker.publish` raises: some of them may be told
        then, and whoever asks again may tell them twice.
        """
        if len(request.events) > MAX_EVENTS:
            raise BadRequest(f"more than {MAX_EVENTS} events in one request")
        wanted = [event for event in request.events if event.mid and self._room_types.of(event.room).presence_events]
        if len(wanted) < len(request.events):
            self._metrics.drops.add(len(request.events) - len(wanted), "logic", "unwanted")
        if wanted:
            await self._offers.publish([self._share(event) for event in wanted])
        return rpc.Done()

    def _share(self, event: rpc.Attendance) -> tuple[int, Push]:
        body = PresenceEvent(room=event.room, mid=event.mid, joined=event.joined).encode()
        id, at_ms = self._ids.make(), int(self._now() * 1000)
        push = Push(id, at_ms, Target.ROOM, Operation.PRESENCE, body, room=event.room)
        return partition_of(event.room, self._partitions), push
