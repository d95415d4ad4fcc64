"""What all stores of timelines have in common."""

from imd.protocol.timeline import ROOM

HEAD_SECONDS = 7_776_000.0  # 90 days: how long the head of a timeline in which nothing is left is remembered
# As long at most for a room's into which no message ever came: whoever may join makes one of those, of any name, by joining.
UNUSED_ROOM_SECONDS = 604_800.0  # 7 days
DEVICES = 1000  # positions that a timeline remembers
PAGE_BYTES = 1 << 20  # of messages in the answer to one read, and at most one message more


def head_life_ms(timeline: str, last: int, head_ms: int) -> int:
    """How long after its last touch a head is remembered in which nothing is left. ``last``: its greatest seq; ``head_ms``: how
    long heads are remembered."""
    unused = last == 0 and timeline.startswith(ROOM)
    return min(head_ms, int(UNUSED_ROOM_SECONDS * 1000)) if unused else head_ms
