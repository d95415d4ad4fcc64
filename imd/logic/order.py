"""A push as it was ordered, before it has an id: whom it is for, and how it falls apart into the partitions' shares."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeVar

from msgspec import msgpack

from imd.protocol.push import Push, Target, partition_of

Name = TypeVar("Name", str, int)


@dataclass(frozen=True, slots=True)
class Order:
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

    @property
    def targets(self) -> list[str]:
        """The kinds of targets that it has, as metrics name them."""
        has = {Target.KEYS: self.keys, Target.MEMBERS: self.mids, Target.ROOM: self.rooms, Target.ALL: self.all}
        return [target.name.lower() for target, some in has.items() if some]

    def shares(self, id: int, at_ms: int, partitions: int) -> list[tuple[int, Push]]:
        """(partition, push): one for the keys of each partition, one for the members of each, one for each room, one for all.

        Each has its own idempotency key, the same whenever the same order is given again: a partition would otherwise take one
        share of an order for another.
        """

        def share(partition: int, target: Target, of: str = "", **whom: Any) -> tuple[int, Push]:
            push = Push(
                id, at_ms, target, self.operation, self.body, idempotency_key=self._share_key(target, of), **whom
            )
            return partition, push

        return [
            *(share(p, Target.KEYS, keys=keys) for p, keys in _by_partition(self.keys, str, partitions)),
            *(share(p, Target.MEMBERS, mids=mids) for p, mids in _by_partition(self.mids, str, partitions)),
            *(share(partition_of(room, partitions), Target.ROOM, room, room=room) for room in self.rooms),
            *([share(partition_of("", partitions), Target.ALL, speed=self.speed)] if self.all else []),
        ]

    def _share_key(self, target: Target, of: str) -> str:
        """32 hex digits, however long the pusher's own key is; empty when he gave none."""
        if not self.idempotency_key:
            return ""
        return sha256(msgpack.encode((self.pusher, self.idempotency_key, target, of))).hexdigest()[:32]


def _by_partition(
    names: Iterable[Name], text: Callable[[Name], str], partitions: int
) -> list[tuple[int, tuple[Name, ...]]]:
    groups: defaultdict[int, list[Name]] = defaultdict(list)
    for name in names:
        groups[partition_of(text(name), partitions)].append(name)
    return [(partition, tuple(group)) for partition, group in groups.items()]
