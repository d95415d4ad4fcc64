"""The bodies of ops 38 and 39: a part of a timeline again."""

from typing import Annotated

import msgspec

from imd.protocol.body import MAX_EPOCH_BYTES, MAX_ROOM_BYTES, Seq, limit
from imd.protocol.json_body import JsonBody

MAX_SYNC_MESSAGES = 1000  # that one op 38 may ask for; the server may send fewer


class Sync(JsonBody, frozen=True):
    """Op 38: what came after ``after``."""

    timeline: str  # a room that the client is in, or empty: its own inbox
    after: Seq
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_SYNC_MESSAGES)] = 100
    epoch: str = ""  # of ``after``

    def check(self) -> None:
        limit("timeline", self.timeline, MAX_ROOM_BYTES)
        limit("epoch", self.epoch, MAX_EPOCH_BYTES)


class SyncReply(JsonBody, frozen=True):
    """Op 39: the messages have come, as pushes before this."""

    timeline: str
    last: Seq  # of the last of them, from where the client goes on; of none: ``after``, or, not recovered, the timeline's end
    more: bool  # there are more behind it
    epoch: str
    recovered: bool  # nothing is missing between ``after`` and the first of them
