"""What one call to push may ask for."""

from collections.abc import Iterator
from dataclasses import dataclass

from imd.errors import BadRequest, BodyTooLarge
from imd.logic.order import Order
from imd.protocol.body import INT64, MAX_KEY_BYTES, MAX_ROOM_BYTES

MAX_IDEMPOTENCY_KEY_BYTES = 128  # it is only ever hashed
ROOM_ID = f"a room id has 1 to {MAX_ROOM_BYTES} bytes"


@dataclass(frozen=True, slots=True)
class PushLimits:
    """The limits of one call; more is refused whole, before anything is stored."""

    body_bytes: int = 65536  # of one push, after base64
    pushes: int = 1000  # in one array
    targets: int = 10_000  # keys, members and rooms of one push together
    # Bodies of one call as they are stored: one for each share of the broker's, and one more for each timeline.
    stored_bytes: int = 16 * 1024 * 1024

    def check(self, order: Order) -> None:
        """Raises :class:`imd.errors.BadRequest` naming the field, or :class:`imd.errors.BodyTooLarge`."""
        for trouble in self._troubles(order):
            raise BadRequest(trouble)
        if len(order.body) > self.body_bytes:
            raise BodyTooLarge(f"body: {len(order.body)} bytes, at most {self.body_bytes}")

    def _troubles(self, order: Order) -> Iterator[str]:
        if not order.targets:
            yield "to: names nobody: give keys, mids, room, rooms or all"
        if len(order.keys) + len(order.mids) + len(order.rooms) > self.targets:
            yield f"to: more than {self.targets} keys, mids and rooms"
        if any(not 0 < _size(key) <= MAX_KEY_BYTES for key in order.keys):
            yield f"to.keys: a key has 1 to {MAX_KEY_BYTES} bytes"
        if any(mid == 0 or mid not in INT64 for mid in order.mids):
            yield "to.mids: a member's id is an int64 other than 0"
        if not all(map(is_room_id, order.rooms)):
            yield f"to.rooms: {ROOM_ID}"
        if order.speed and not order.all:
            yield "speed: goes with to.all only"
        if order.speed < 0:
            yield "speed: connections a second, or 0 for at once"
        if _size(order.idempotency_key) > MAX_IDEMPOTENCY_KEY_BYTES:
            yield f"idempotency_key: longer than {MAX_IDEMPOTENCY_KEY_BYTES} bytes"


def is_room_id(room: str) -> bool:
    """Whether it can be a room's id; ``ROOM_ID`` says what one is."""
    return 0 < _size(room) <= MAX_ROOM_BYTES


def _size(text: str) -> int:
    """Its length in UTF-8."""
    return len(text.encode())
