"""A push as it was ordered, before it has an id: whom it is for, and how it falls apart into the partitions' shares."""

from collections import defaultdict
from collections.abc import Sized
from hashlib import sha256
from typing import Any, TypeVar

from msgspec import Struct, msgpack

from imd.errors import BadRequest
from imd.logic.keep import LIVE_ONLY, KeepRules
from imd.protocol.push import Push, Target, partition_of
from imd.protocol.room_id import split_room_id
from imd.protocol.room_type import LIVE, Keep

Name = TypeVar("Name", str, int)

MAX_SHARE_MEMBERS = 500  # of one share: it is stored in as many inboxes in one atomic step

# Looking a member up in its enum costs more than most of what is done with it here.
_KEYS, _MEMBERS = Target.KEYS, Target.MEMBERS


class Order(Struct, frozen=True):
    """A push to any of keys, members, rooms and all, each named once."""

    operation: int  # int32
    body: bytes
    keys: tuple[str, ...] = ()
    mids: tuple[int, ...] = ()
    rooms: tuple[str, ...] = ()  # whole ids
    all: bool = False
    speed: int = 0  # all: connections a second; 0 = at once
    idempotency_key: str = ""  # empty = none
    pusher: str = ""  # whose idempotency key it is
    keep: bool | None = None  # whether timelines keep it; None = as they do by default
    trace: bool = False  # whether the pusher wants it traced
    parent: str = ""  # the traceparent that came with it, as it came; empty = none

    @property
    def targets(self) -> list[str]:
        """The kinds of targets that it has, as metrics name them."""
        return kinds(self.keys, self.mids, self.rooms, self.all)

    def check_keep(self, rules: KeepRules) -> None:
        """Raises :class:`imd.errors.BadRequest`, with what to do, when it asks to keep what is not kept here."""
        if not self.keep:
            return
        if self.keys or self.all:
            raise BadRequest(
                "keep: pushes to keys and to all are always live: push to mids or rooms, or leave keep out"
            )
        if self.mids and not rules.of_members(True).messages:
            raise BadRequest("keep: inboxes keep nothing here: set inboxes.keep = true, or leave keep out")
        for room in self.rooms:
            if not rules.of_room(room, True).messages:
                table = split_room_id(room)[0] or '""'
                raise BadRequest(f"keep: nothing is kept of {room}: set rooms.{table}.keep = true, or leave keep out")

    def shares(
        self, id: int, at_ms: int, partitions: int, rules: KeepRules = LIVE_ONLY, trace: str = ""
    ) -> list[tuple[int, Push]]:
        """(partition, push): one for a partition's keys, one for 500 of its members at most, one for each room, one for all.

        Each has its own idempotency key, the same whenever the same order is given again: a partition would otherwise take one
        share of an order for another.
        """

        def share(target: Target, of: str = "", keep: Keep = LIVE, **whom: Any) -> Push:
            return Push(
                id,
                at_ms,
                target,
                self.operation,
                self.body,
                idempotency_key=self._share_key(target, of) if self.idempotency_key else "",
                keep_count=keep.messages,
                keep_ms=keep.ms if keep.messages else 0,
                trace=trace,
                **whom,
            )

        found: list[tuple[int, Push]] = []
        if self.keys:
            found += [(partition, share(_KEYS, keys=keys)) for partition, keys in _by_partition(self.keys, partitions)]
        if self.mids:
            kept = rules.of_members(self.keep)
            for partition, mids in _by_partition(self.mids, partitions):
                found += [(partition, share(_MEMBERS, of, kept, mids=some)) for of, some in _parts(mids)]
        for room in self.rooms:
            kept = rules.of_room(room, self.keep)
            found.append((partition_of(room, partitions), share(Target.ROOM, room, kept, room=room)))
        if self.all:
            found.append((partition_of("", partitions), share(Target.ALL, speed=self.speed)))
        return found

    def _share_key(self, target: Target, of: str) -> str:
        """32 hex digits, however long the pusher's own key is."""
        return sha256(msgpack.encode((self.pusher, self.idempotency_key, target, of))).hexdigest()[:32]


def kinds(keys: Sized, members: Sized, rooms: Sized | bool, all: bool) -> list[str]:
    """What there is some of, as metrics name it."""
    found = []
    if keys:
        found.append("keys")
    if members:
        found.append("members")
    if rooms:
        found.append("room")
    if all:
        found.append("all")
    return found


def _by_partition(names: tuple[Name, ...], partitions: int) -> list[tuple[int, tuple[Name, ...]]]:
    if len(names) == 1:  # nearly all
        return [(partition_of(str(names[0]), partitions), names)]
    groups: defaultdict[int, list[Name]] = defaultdict(list)
    for name in names:
        groups[partition_of(str(name), partitions)].append(name)
    return [(partition, tuple(group)) for partition, group in groups.items()]


def _parts(mids: tuple[int, ...]) -> list[tuple[str, tuple[int, ...]]]:
    """(what tells it from the others, members): the first needs nothing."""
    if len(mids) <= MAX_SHARE_MEMBERS:
        return [("", mids)]
    starts = range(0, len(mids), MAX_SHARE_MEMBERS)
    return [(str(start) if start else "", mids[start : start + MAX_SHARE_MEMBERS]) for start in starts]
