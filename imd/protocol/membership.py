"""The bodies of ops 32 to 35: into a room, and out of it."""

from imd.protocol.body import MAX_EPOCH_BYTES, Seq, check_room, limit
from imd.protocol.json_body import JsonBody
from imd.protocol.timeline import Place


class Join(JsonBody, frozen=True):
    """Op 32: be in this room too."""

    room: str
    after: Seq | None = None  # what is known of its timeline; None = nothing is asked for
    epoch: str = ""  # of ``after``

    @property
    def place(self) -> Place | None:
        """Where the client stands; None = it does not say."""
        return None if self.after is None else Place(self.after, self.epoch)

    def check(self) -> None:
        check_room("room", self.room)
        limit("epoch", self.epoch, MAX_EPOCH_BYTES)


class JoinReply(JsonBody, frozen=True):
    """Op 33: it is. What it missed follows as pushes when ``recovered``."""

    room: str
    seq: Seq  # of the room's last message; 0 = none, or the room is live
    epoch: str  # empty = the room is live
    recovered: bool
    online: int  # connections in the room, over the whole cluster


class Leave(JsonBody, frozen=True):
    """Op 34: out of this room."""

    room: str

    def check(self) -> None:
        check_room("room", self.room)


class LeaveReply(JsonBody, frozen=True):
    """Op 35: it is out; no push to the room comes after this."""

    room: str
