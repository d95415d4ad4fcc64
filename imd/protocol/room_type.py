"""A room type: what holds for all rooms whose id begins with it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, unique
from typing import NamedTuple

from imd.protocol.room_id import split_room_id


class Keep(NamedTuple):
    """How much of a timeline is kept. ``messages`` 0 = nothing: its pushes are live."""

    messages: int = 0
    ms: int = 0  # their age


LIVE = Keep()


@unique
class Join(Enum):
    """Who may join; the value is its name in the configuration."""

    ANYONE = "anyone"
    MEMBERS = "members"  # a client with a member's id
    GRANTED = "granted"  # a client whose token names the room


@unique
class Send(Enum):
    """Who may send over the socket; the value is its name in the configuration."""

    NOBODY = "nobody"
    JOINED = "joined"  # a member who is in the room with this connection
    MEMBERS = "members"  # any client with a member's id


@dataclass(frozen=True, slots=True)
class RoomType:
    """As ``[rooms.<type>]`` has it. (Its slow-consumer policy is comet's: :class:`imd.comet.policy.SlowPolicy`.)"""

    keep: Keep = LIVE
    join: Join = Join.ANYONE
    send: Send = Send.NOBODY
    presence_events: bool = False  # members in it are told who comes and goes (operation 46)


@dataclass(frozen=True, slots=True)
class RoomTypes:
    """All of them. A type that is not configured is live, open to anyone, and nobody sends to it from a socket."""

    types: Mapping[str, RoomType] = field(default_factory=dict)
    other: RoomType = RoomType()

    def of(self, room: str) -> RoomType:
        """That of a room, by its id."""
        return self.types.get(split_room_id(room)[0], self.other)
