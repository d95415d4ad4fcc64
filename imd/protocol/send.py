"""The bodies of ops 4 and 5 of version 2: a message from a client to a room or a member."""

from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from typing import Annotated, Any, ClassVar, Self

import msgspec

from imd.protocol.body import INT32, Seq, as_id, bad, check_room, convert, decode_object, limit
from imd.protocol.json_body import JsonBody

MIN_OPERATION = 1000  # below are the wire's own: nobody may speak in the server's name
MAX_CLIENT_ID_BYTES = 128


class SendMessage(msgspec.Struct, frozen=True):
    """Op 4: for exactly one of ``room`` and ``mid``."""

    op: int  # int32, 1000 and up
    body: bytes
    room: str = ""  # to whoever is in this room, or
    mid: int = 0  # to this member
    client_id: str = ""  # the sender's idempotency key: the same again answers what the first did; empty = none

    def encode(self) -> bytes:
        """The JSON: ``to``, ``op``, ``body`` or, when that is no UTF-8, ``body_base64``, ``client_id``."""
        fields: dict[str, Any] = {"to": {"room": self.room} if self.room else {"mid": str(self.mid)}, "op": self.op}
        try:
            fields["body"] = self.body.decode()
        except UnicodeDecodeError:
            fields["body_base64"] = b64encode(self.body).decode()
        if self.client_id:
            fields["client_id"] = self.client_id
        return msgspec.json.encode(fields)

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """The reverse of :meth:`encode`. Raises :class:`imd.errors.ProtocolError` (``BAD_BODY``) naming what is wrong."""
        raw = convert(_Raw, {name: value for name, value in decode_object(body).items() if value is not None})
        if (raw.to.room is None) == (raw.to.mid is None):
            raise bad("to names a room or a mid")
        if raw.to.room is not None:
            check_room("to.room", raw.to.room)
        mid = 0 if raw.to.mid is None else as_id("to.mid", raw.to.mid)
        if raw.to.mid is not None and not mid:
            raise bad("to.mid 0 is nobody")
        limit("client_id", raw.client_id, MAX_CLIENT_ID_BYTES)
        return cls(op=raw.op, body=raw.bytes, room=raw.to.room or "", mid=mid, client_id=raw.client_id)


class SendReply(JsonBody, frozen=True):
    """Op 5: it was accepted."""

    IDS: ClassVar = ("id",)

    id: int  # the push's
    seq: Seq  # its place in the timeline of the room, or of the other member's inbox; 0 = it is live
    at: int  # when, ms since the epoch


class _To(msgspec.Struct, frozen=True):
    room: str | None = None
    mid: int | str | None = None


class _Raw(msgspec.Struct, frozen=True):
    """Op 4 as JSON has it."""

    to: _To
    op: Annotated[int, msgspec.Meta(ge=MIN_OPERATION, le=INT32[-1])]
    body: str | None = None
    body_base64: str | None = None
    client_id: str = ""

    @property
    def bytes(self) -> bytes:
        """The message. Raises :class:`imd.errors.ProtocolError`."""
        if (self.body is None) == (self.body_base64 is None):
            raise bad("one of body and body_base64")
        if self.body is not None:
            return self.body.encode()
        try:
            return b64decode((self.body_base64 or "").encode(), validate=True)
        except NotBase64:
            raise bad("body_base64 is not base64") from None
