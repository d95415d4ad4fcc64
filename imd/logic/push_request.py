"""A push as a back end asks for it, the JSON of ``/v1/push``, and what it is told became of it."""

from binascii import a2b_base64
from collections.abc import Iterable
from enum import Enum, unique
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from imd.errors import BadRequest
from imd.logic.order import Order, kinds
from imd.logic.push_limits import ROOM_ID, is_room_id
from imd.protocol.body import INT32, INT64
from imd.protocol.room_id import split_room_id

Int32 = Annotated[int, Meta(ge=INT32.start, le=INT32.stop - 1)]
Name = TypeVar("Name", str, int)
# A member's id is an int64, which JavaScript's numbers do not hold: a string of decimal digits is as good.
Mid = Annotated[int, Meta(ge=INT64.start, le=INT64.stop - 1)] | Annotated[str, Meta(pattern="^-?[0-9]{1,19}$")]


class To(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom a push is for: any of these together, at least one of them. What is named twice counts once."""

    keys: tuple[str, ...] = ()  # connections
    mids: tuple[Mid, ...] = ()  # members: every connection of each; 0 is nobody
    room: str | None = None  # a whole room id, ``type://name``
    rooms: tuple[str, ...] = ()  # several of them
    all: bool = False  # every connection there is

    @property
    def targets(self) -> list[str]:
        """The kinds of targets that it names, as metrics name them; ``nobody`` when there is none."""
        return kinds(self.keys, self.mids, self.room is not None or self.rooms, self.all) or ["nobody"]


class PushRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One push. Its shape is checked when it is decoded, its values when it is accepted."""

    to: To
    op: Int32  # the operation that clients see; by convention 1000 and up
    body: str | None = None  # the body as text, pushed in UTF-8; exactly one of the two bodies
    body_base64: str | None = None  # the body as any bytes, in standard base64 with padding
    idempotency_key: str = ""  # the same push with the same key within the broker's window is stored once; empty = none
    speed: Annotated[int, Meta(ge=0, le=INT32.stop - 1)] = 0  # with ``to.all``: connections a second; 0 = at once
    keep: bool | None = None  # whether timelines keep it for who is away; null = members' as inboxes do, rooms' by type
    trace: bool = False  # whether what becomes of it is recorded

    def order(self, pusher: str = "", parent: str = "") -> Order:
        """What it asks for, as ``pusher`` asks it, with the traceparent that came with it.

        Raises :class:`imd.errors.BadRequest` naming the field.
        """
        to = self.to
        keys, mids, room, rooms = to.keys, tuple([int(mid) for mid in to.mids]), to.room, to.rooms
        if room is not None:
            if not is_room_id(room):
                raise BadRequest(f"to.room: {ROOM_ID}")
            rooms = (room, *rooms)
        return Order(
            operation=self.op,
            body=self._content(),
            keys=keys if len(keys) < 2 else _once(keys),
            mids=mids if len(mids) < 2 else _once(mids),
            rooms=rooms if len(rooms) < 2 else _once(rooms),
            all=to.all,
            speed=self.speed,
            idempotency_key=self.idempotency_key,
            pusher=pusher,
            keep=self.keep,
            trace=self.trace,
            parent=parent,
        )

    def scopes(self) -> list[str]:
        """What a push key must cover for it: ``push:keys``, ``push:members``, ``push:room:<type>``, ``push:all``."""
        to = self.to
        rooms = to.rooms if to.room is None else (to.room, *to.rooms)
        wanted = [f"push:{target}" for target in kinds(to.keys, to.mids, (), to.all)]
        if rooms:
            types = dict.fromkeys([split_room_id(room)[0] for room in rooms])
            wanted += [f"push:room:{room_type}" for room_type in types]
        return wanted

    def _content(self) -> bytes:
        if self.body is not None and self.body_base64 is None:
            return self.body.encode()
        if self.body_base64 is None or self.body is not None:
            raise BadRequest("body: give exactly one of body and body_base64")
        try:
            return a2b_base64(self.body_base64, strict_mode=True)
        except ValueError:
            raise BadRequest("body_base64: not base64 (RFC 4648 section 4, with padding)") from None


def _once(names: Iterable[Name]) -> tuple[Name, ...]:
    """Each of them once, in their order."""
    return tuple(dict.fromkeys(names))


@unique
class Result(Enum):
    """What became of a push that was well formed."""

    ACCEPTED = "accepted"  # the broker has it
    REPEATED = "repeated"  # the broker had it already, by its idempotency key; ``id`` is the earlier one's
    CONFLICT = "conflict"  # its idempotency key was used for a different push; ``id`` is that one's


class PushResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to one push. Where it stands is told of a push to one timeline: of many, nobody could say which."""

    id: str  # 64 bits in decimal: more than JavaScript's numbers hold
    result: Result
    seq: int = 0  # its place in its timeline; left out when it is live, or kept in several
    epoch: str = ""  # of ``seq``
