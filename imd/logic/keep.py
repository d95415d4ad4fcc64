"""What timelines keep, and how much: of members' pushes and of rooms'."""

from dataclasses import dataclass, field

from imd.protocol.room_type import LIVE, Keep, RoomTypes


@dataclass(frozen=True, slots=True)
class KeepRules:
    """Inboxes as ``[inboxes]`` has it, rooms by their type. Pushes to keys and to all are always live."""

    inboxes: Keep = LIVE
    room_types: RoomTypes = field(default_factory=RoomTypes)

    def of_members(self, asked: bool | None) -> Keep:
        """How much of each inbox. ``asked``: whether the pusher wants it kept; None = by default."""
        return LIVE if asked is False else self.inboxes

    def of_room(self, room: str, asked: bool | None) -> Keep:
        """How much of a room's timeline."""
        return LIVE if asked is False else self.room_types.of(room).keep


LIVE_ONLY = KeepRules()  # nothing is kept
