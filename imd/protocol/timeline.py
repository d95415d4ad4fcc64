"""A timeline: the kept, numbered messages of a room, or of a member's inbox."""

from typing import NamedTuple

import msgspec

ROOM = "r:"  # begins the name of a room's timeline; the room's id follows
INBOX = "m:"  # begins the name of a member's inbox; the member's id in decimal follows


class Place(NamedTuple):
    """Where a message stands in a timeline, or where somebody stands in it: everything up to it was handled."""

    seq: int  # 1 and up, without holes; 0 = before the first, or of a push that is not kept
    epoch: str = ""  # names one unbroken numbering: when the store was lost or went back, there is another


NOWHERE = Place(0)


class Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A kept push as its timeline has it. Positional on the wire between processes: append with a default, never reorder."""

    seq: int  # its place
    id: int  # its push's
    at_ms: int  # when it was accepted, ms since the epoch
    operation: int
    body: bytes


def room_timeline(room: str) -> str:
    """The name of a room's timeline, as the processes and the products know it."""
    return ROOM + room


def inbox_timeline(mid: int) -> str:
    """The name of a member's inbox, as the processes and the products know it."""
    return f"{INBOX}{mid}"


def target_of(timeline: str) -> str:
    """What :func:`imd.protocol.push.partition_of` takes: the room id, or the member's id in decimal."""
    return timeline[2:]


def client_name(timeline: str) -> str:
    """What clients call it: the room's id, or nothing for their own inbox."""
    return timeline[2:] if timeline.startswith(ROOM) else ""


def timeline_named(name: str, mid: int) -> str:
    """The reverse of :func:`client_name`, for the client of member ``mid``."""
    return room_timeline(name) if name else inbox_timeline(mid)


class _Stored(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Positional in products: append with a default, never reorder. A script of Redis looks at ``at_ms``."""

    id: int
    at_ms: int
    operation: int
    body: bytes


_decoder = msgspec.msgpack.Decoder(_Stored)


def dump(id: int, at_ms: int, operation: int, body: bytes) -> bytes:
    """A message as a product stores it (MessagePack), the same for each of its timelines: its place is not in it."""
    return msgspec.msgpack.encode(_Stored(id, at_ms, operation, body))


def load(seq: int, data: bytes) -> Message:
    """The reverse of :func:`dump`. Raises :class:`msgspec.DecodeError` for anything else."""
    stored = _decoder.decode(data)
    return Message(seq, stored.id, stored.at_ms, stored.operation, stored.body)
