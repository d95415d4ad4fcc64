"""What one call to push may ask for."""

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
        trouble = self._trouble(order)
        if trouble is not None:
            raise BadRequest(trouble)
        if len(order.body) > self.body_bytes:
            raise BodyTooLarge(f"body: {len(order.body)} bytes, at most {self.body_bytes}")

    def _trouble(self, order: Order) -> str | None:
        named = len(order.keys) + len(order.mids) + len(order.rooms)
        if not (named or order.all):
            return "to: names nobody: give keys, mids, room, rooms or all"
        if named > self.targets:
            return f"to: more than {self.targets} keys, mids and rooms"
        if order.keys and any(not 0 < _size(key) <= MAX_KEY_BYTES for key in order.keys):
            return f"to.keys: a key has 1 to {MAX_KEY_BYTES} bytes"
        if order.mids and (0 in order.mids or not (min(order.mids) in INT64 and max(order.mids) in INT64)):
            return "to.mids: a member's id is an int64 other than 0"
        if order.rooms and not all(map(is_room_id, order.rooms)):
            return f"to.rooms: {ROOM_ID}"
        if order.speed and not order.all:
            return "speed: goes with to.all only"
        if order.speed < 0:
            return "speed: connections a second, or 0 for at once"
        if order.idempotency_key and _size(order.idempotency_key) > MAX_IDEMPOTENCY_KEY_BYTES:
            return f"idempotency_key: longer than {MAX_IDEMPOTENCY_KEY_BYTES} bytes"
        return None


def is_room_id(room: str) -> bool:
    """Whether it can be a room's id; ``ROOM_ID`` says what one is."""
    return 0 < _size(room) <= MAX_ROOM_BYTES


def _size(text: str) -> int:
    """Its length in UTF-8."""
    return len(text.encode())
