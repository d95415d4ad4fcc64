"""A push: a request to deliver a body to keys, members, a room or all. What the broker carries."""

from enum import IntEnum, unique
from hashlib import blake2b
from zlib import crc32

import msgspec

from imd.protocol.packet import Packet, encode
from imd.protocol.timeline import inbox_timeline, room_timeline


@unique
class Target(IntEnum):
    """Whom a push is for. Stored in the broker: numbers are never reused."""

    KEYS = 1
    MEMBERS = 2
    ROOM = 3
    ALL = 4
    KICK = 5  # not a delivery: the connection ``keys[0]`` on ``server`` was replaced by a newer one elsewhere


# As metrics name them, by number: a dict would ask each Target for its hash, in Python.
LABELS = ("", *(target.name.lower() for target in sorted(Target)))

# Looking a member up in its enum costs more than all else here.
_ROOM = Target.ROOM


class Push(msgspec.Struct, frozen=True, array_like=True):
    """One accepted push, or the share of it that one partition carries (shares have the same id)."""

    id: int  # 64 bits, rising with time
    at_ms: int  # when it was accepted, ms since the epoch
    target: Target
    operation: int = 0  # int32, what the client sees
    body: bytes = b""
    keys: tuple[str, ...] = ()  # KEYS, KICK
    mids: tuple[int, ...] = ()  # MEMBERS
    room: str = ""  # ROOM: the whole id, ``type://name``
    speed: int = 0  # ALL: connections a second over the whole cluster; 0 = at once
    server: str = ""  # KICK
    boot: int = 0  # KICK
    idempotency_key: str = ""  # the pusher's; empty = none
    keep_count: int = 0  # MEMBERS, ROOM: how many messages each of its timelines keeps; 0 = it is live, not kept
    keep_ms: int = 0  # and how old they may be
    trace: str = ""  # a W3C traceparent: what becomes of it is recorded; empty = it is not
    reason: int = 0  # KICK: the code of the close reason; 0 = the key is a newer connection's

    @property
    def packet(self) -> bytes:
        """Its packet as version-1 clients read it."""
        return encode(Packet(self.operation, self.body))

    @property
    def timelines(self) -> tuple[str, ...]:
        """Where it is kept: the room's timeline, or the inbox of each of its members in their order. Empty = live."""
        if not self.keep_count:
            return ()
        return (
            (room_timeline(self.room),) if self.target is _ROOM else tuple([inbox_timeline(mid) for mid in self.mids])
        )


_decoder = msgspec.msgpack.Decoder(Push)


def dump(push: Push) -> bytes:
    """The push as a broker stores it (MessagePack)."""
    return msgspec.msgpack.encode(push)


def load(data: bytes) -> Push:
    """The reverse of :func:`dump`. Raises :class:`msgspec.DecodeError` for anything else."""
    try:
        return _decoder.decode(data)
    except UnicodeDecodeError:  # msgspec lets it through
        raise msgspec.DecodeError("a string is not UTF-8") from None


def fingerprint(push: Push) -> bytes:
    """16 bytes that are equal for pushes that ask for the same: not its id, time or idempotency key; whether it is kept, not
    how long. Stored by brokers."""
    asked = (push.target, push.operation, push.body, push.keys, push.mids, push.room, push.speed)
    kept = (True,) if push.keep_count else ()  # a live one's is what it was before there were others
    return blake2b(msgspec.msgpack.encode(asked + kept), digest_size=16).digest()


def partition_of(target: str, partitions: int) -> int:
    """The partition of a room id, a key, or a member's id in decimal: one target, one partition, so order holds."""
    return crc32(target.encode()) % partitions
