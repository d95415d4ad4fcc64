"""Membership: which rooms a channel may be in, and all that follows from being in one."""

from collections.abc import Collection

from imd.comet.attendance import Attendance
from imd.comet.channel import Channel
from imd.comet.directory import Directory
from imd.comet.follower import Follower
from imd.comet.interest import Interest
from imd.protocol.room_type import Join, RoomTypes
from imd.protocol.timeline import inbox_timeline, room_timeline


class Membership:
    """Enters a channel into rooms and takes it out: the directory, the interest, the follower and the attendance agree. To
    follow a room's timeline is the caller's: it must wait for it."""

    __slots__ = ("_attendance", "_directory", "_follower", "_inboxes_kept", "_interest", "_room_types")

    def __init__(
        self,
        *,
        directory: Directory,
        interest: Interest,
        follower: Follower,
        attendance: Attendance,
        room_types: RoomTypes,
        inboxes_kept: bool,
    ) -> None:
        self._directory = directory
        self._interest = interest
        self._follower = follower
        self._attendance = attendance
        self._room_types = room_types
        self._inboxes_kept = inboxes_kept

    def may_join(self, room: str, mid: int, grants: Collection[str]) -> bool:
        """Whether the room's type lets a client in; ``grants`` are the rooms that its token names."""
        match self._room_types.of(room).join:
            case Join.ANYONE:
                return True
            case Join.MEMBERS:
                return mid != 0
            case Join.GRANTED:
                return room in grants

    def timeline(self, room: str) -> str | None:
        """The name of the room's timeline; None when its pushes are live."""
        return room_timeline(room) if self._room_types.of(room).keep.messages else None

    def inbox(self, mid: int) -> str | None:
        """The name of the member's inbox; None when its pushes are live, or it is nobody."""
        return inbox_timeline(mid) if mid and self._inboxes_kept else None

    def enter(self, channel: Channel, room: str) -> None:
        """It is in, besides where it is. Precondition: it was not, and the room is held for it."""
        self._directory.join(channel, room)
        if self._is_attended(channel, room):
            self._attendance.enter(room, channel.mid)

    def leave(self, channel: Channel, room: str) -> None:
        """It is out, and no longer holds the room. Precondition: it was in."""
        self._directory.leave(channel, room)
        self._left(channel, room)
        timeline = self.timeline(room)
        if timeline is not None:
            self._follower.leave(channel, timeline)

    def end(self, channel: Channel) -> None:
        """Its session ended: it is out of every room, of its bucket, and follows nothing."""
        rooms = channel.rooms
        self._directory.remove(channel)
        for room in rooms:
            self._left(channel, room)
        self._follower.forget(channel)

    def _left(self, channel: Channel, room: str) -> None:
        self._interest.drop(room)
        if self._is_attended(channel, room):
            self._attendance.leave(room, channel.mid)

    def _is_attended(self, channel: Channel, room: str) -> bool:
        return channel.mid != 0 and self._room_types.of(room).presence_events
