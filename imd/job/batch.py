"""What travels together: pushes to a room in one item, items to a comet in one request."""

from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import TypeVar

from imd.job.delivery import Delivery
from imd.job.parcel import Parcel
from imd.protocol.operation import Operation
from imd.protocol.push import Target
from imd.protocol.rpc import Item

MAX_BATCH_BYTES = 1024 * 1024  # of packets and keys in a request: well below the links' limit of a message
MAX_BATCH_ITEMS = 1_000
MAX_ITEM_KEYS = 10_000
PLACE_BYTES = 40  # a place (an epoch is some 30 bytes), or a mark
MID_BYTES = 9  # a member's id, at most
MAX_MERGED_BYTES = 64 * 1024  # of one item: every receiver's outbox takes it whole

_ROOM = Target.ROOM  # looking it up in its enum costs more than asking for it

K = TypeVar("K")


def merge(deliveries: Sequence[Delivery]) -> list[list[Delivery]]:
    """Pushes that leave in one item: those to one room, in order; every other push alone.

    No push waits for another: only what was read together is merged. The order of pushes to the same target stays; a group
    stands where its first push stood. Kept pushes and live ones are not merged, and alone goes what comets treat as one of a
    kind: a traced push, and a presence event.
    """
    groups: list[list[Delivery]] = []
    rooms: dict[str, tuple[list[Delivery], int]] = {}  # room -> its open group and the bytes in it
    for delivery in deliveries:
        room = delivery.push.room
        if not _mergeable(delivery):
            groups.append([delivery])
            rooms.pop(room, None)  # what comes later must not pass it
            continue
        size = len(delivery.packet)
        group, held = rooms.get(room, (None, 0))
        if group is None or held + size > MAX_MERGED_BYTES or group[0].kept is not delivery.kept:
            group, held = [], 0
            groups.append(group)
        group.append(delivery)
        rooms[room] = (group, held + size)
    return groups


def _mergeable(delivery: Delivery) -> bool:
    push = delivery.push
    return push.target is _ROOM and not delivery.traced and push.operation != Operation.PRESENCE


def pages(keys: Sequence[K]) -> Sequence[Sequence[K]]:
    """Keys in shares that one item may name."""
    if len(keys) <= MAX_ITEM_KEYS:
        return (keys,) if keys else ()
    return [keys[start : start + MAX_ITEM_KEYS] for start in range(0, len(keys), MAX_ITEM_KEYS)]


def take(queue: deque[Parcel]) -> list[Parcel]:
    """Off the queue's head, what one request may carry; at least one parcel, however large."""
    size = taken = 0
    for parcel in islice(queue, MAX_BATCH_ITEMS):
        size += _size(parcel.item)
        if taken and size > MAX_BATCH_BYTES:
            break
        taken += 1
    return [queue.popleft() for _ in range(taken)]


def _size(item: Item) -> int:
    """About its bytes in MessagePack."""
    named = sum(map(len, item.keys)) + 2 * len(item.keys)
    marked = PLACE_BYTES * (len(item.places) + len(item.marks)) + MID_BYTES * len(item.mids)
    return len(item.packets) + len(item.room) + named + marked + 32
