"""The body of op 8 to a version-2 client: who it is here, where its timelines stand, what it may."""

from typing import Annotated, ClassVar

import msgspec

from imd.protocol.body import Seq
from imd.protocol.json_body import JsonBody


class Standing(JsonBody, frozen=True):
    """A room of the client's, or its own inbox."""

    seq: Seq  # of its last message; 0 = none, or it is live
    epoch: str  # empty = it is live
    # Nothing is missing: what came after the client's place follows as pushes. True too when the client gave no place.
    recovered: bool
    online: int = -1  # connections in the room, over the whole cluster; -1 = not told


class Allowance(JsonBody, frozen=True):
    """The limits of this server."""

    rooms: int  # that one connection may be in
    body_bytes: int  # of a client's packet
    packets_per_second: float


class AuthReply(JsonBody, frozen=True):
    """The client is authenticated and in its rooms."""

    IDS: ClassVar = ("mid",)

    key: str  # the connection's name, its own or made here
    mid: int
    server: str
    heartbeat_seconds: Annotated[float, msgspec.Meta(gt=0)]  # how often op 2 is wanted
    timelines: dict[str, Standing]  # by their names as clients call them; empty = the own inbox
    limits: Allowance
