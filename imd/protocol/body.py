"""The bodies of client packets: what is inside an auth, a change of room, a sub; and a goodbye."""

from typing import Annotated, Any, TypeVar

import msgspec

from imd.errors import CloseReason, ProtocolError
from imd.protocol.timeline import Place

INT32 = range(-(2**31), 2**31)
INT64 = range(-(2**63), 2**63)

MAX_KEY_BYTES = 128  # a key is a name in presence, in logs and in every push to it
MAX_ROOM_BYTES = 255  # of a whole room id
MAX_PLATFORM_BYTES = 64
MAX_ACCEPTS = 1000  # operations in an accept set; each costs about 60 bytes for the connection's life
MAX_ROOMS = 100  # that an op 7 asks for beside room_id; how many a connection may be in, comet says
MAX_RESUME = 101  # timelines that an op 7 resumes: those of its rooms, and the own inbox
MAX_DEVICE_BYTES = 128  # a device is a name in acks and traces
MAX_EPOCH_BYTES = 64

Seq = Annotated[int, msgspec.Meta(ge=0, le=INT64[-1])]
T = TypeVar("T")


class Auth(msgspec.Struct, frozen=True):
    """The body of op 7. Only shapes are checked here; who the client is, logic says."""

    mid: int = 0  # int64; 0 = anonymous
    key: str = ""  # empty = comet makes one
    room_id: str = ""  # ``type://name``; empty = none
    platform: str = ""
    accepts: tuple[int, ...] = ()  # int32s
    token: str = ""  # a JWT, in token mode
    # the rest is of version 2
    rooms: tuple[str, ...] = ()  # more rooms
    resume: dict[str, Place] = msgspec.field(
        default_factory=dict
    )  # timeline as clients call it -> where the client stands
    device: str = ""  # what it calls itself; empty = its key


class _Plain(msgspec.Struct, forbid_unknown_fields=True):
    """Op 7 of version 1 as nearly all write it: these names, in small letters, and no others."""

    mid: int = 0
    key: str = ""
    room_id: str = ""
    platform: str = ""
    accepts: tuple[int, ...] = ()
    token: str = ""


_OF_VERSION_1 = _Plain.__struct_fields__
_read_plain = msgspec.json.Decoder(_Plain).decode


class _Standing(msgspec.Struct, frozen=True):
    """One of op 7's ``resume``, in JSON an object."""

    seq: Seq = 0
    epoch: str = ""


class _Extras(msgspec.Struct, frozen=True):
    """What version 2 adds to op 7, as JSON has it."""

    rooms: tuple[str, ...] = ()
    resume: dict[str, _Standing] = msgspec.field(default_factory=dict)
    device: str = ""


def decode_auth(body: bytes, version: int = 1) -> Auth:
    """Read op 7's JSON as Go's decoder does: names without regard to case, unknown ones ignored, null is absent.

    ``version`` is the packet's: what only version 2 has is unknown to version 1. Version 2 may write ``mid`` as a decimal
    string too. Raises :class:`ProtocolError` (``BAD_BODY``) naming the field that is wrong.
    """
    auth = _plain(body) if version < 2 else None
    if auth is None:
        auth = _like_go(body, version)
    if auth.mid not in INT64:
        raise bad("mid is not an int64")
    if len(auth.accepts) > MAX_ACCEPTS:
        raise bad(f"more than {MAX_ACCEPTS} accepts")
    if any(operation not in INT32 for operation in auth.accepts):
        raise bad("accepts holds more than int32s")
    limit("key", auth.key, MAX_KEY_BYTES)
    limit("room_id", auth.room_id, MAX_ROOM_BYTES)
    limit("platform", auth.platform, MAX_PLATFORM_BYTES)
    return auth


def _plain(body: bytes) -> Auth | None:
    """In a third of the time, what :func:`_like_go` makes of nearly all bodies; None for the others, the bad ones too."""
    try:
        found = _read_plain(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return Auth(found.mid, found.key, found.room_id, found.platform, found.accepts, found.token)


def _like_go(body: bytes, version: int) -> Auth:
    """Shapes, and the limits of what version 2 adds."""
    raw = decode_object(body)
    fields = {name.lower(): value for name, value in raw.items() if value is not None}
    newer: dict[str, Any] = {}
    if version >= 2:
        if "mid" in fields:
            fields["mid"] = as_id("mid", fields["mid"])
        newer = _newer(fields)
    return convert(Auth, {name: fields[name] for name in _OF_VERSION_1 if name in fields} | newer)


def _newer(fields: dict[str, Any]) -> dict[str, Any]:
    """What version 2 adds to op 7."""
    given = {name: fields[name] for name in _Extras.__struct_fields__ if name in fields}
    if isinstance(given.get("resume"), dict):
        given["resume"] = {name: _without_nulls(standing) for name, standing in _without_nulls(given["resume"]).items()}
    extras = convert(_Extras, given)
    rooms, resume, device = extras.rooms, extras.resume, extras.device
    if len(rooms) > MAX_ROOMS:
        raise bad(f"more than {MAX_ROOMS} rooms")
    if len(resume) > MAX_RESUME:
        raise bad(f"more than {MAX_RESUME} timelines in resume")
    for room in rooms:
        check_room("rooms", room)
    for timeline, standing in resume.items():
        limit("resume", timeline, MAX_ROOM_BYTES)
        limit("resume: epoch", standing.epoch, MAX_EPOCH_BYTES)
    limit("device", device, MAX_DEVICE_BYTES)
    places = {timeline: Place(standing.seq, standing.epoch) for timeline, standing in resume.items()}
    return {"rooms": rooms, "resume": places, "device": device}


def _without_nulls(value: Any) -> Any:
    return {name: each for name, each in value.items() if each is not None} if isinstance(value, dict) else value


def encode_auth(auth: Auth) -> bytes:
    """Op 7's body of a version-2 client."""
    fields = msgspec.structs.asdict(auth)
    fields["mid"] = str(auth.mid)
    fields["resume"] = {timeline: place._asdict() for timeline, place in auth.resume.items()}
    return msgspec.json.encode({name: value for name, value in fields.items() if value})


def decode_room(body: bytes) -> str:
    """The room id that op 12 names; empty leaves. Raises :class:`ProtocolError` (``BAD_BODY``)."""
    try:
        room = body.decode()
    except UnicodeDecodeError:
        raise bad("a room id is UTF-8") from None
    limit("room id", room, MAX_ROOM_BYTES)
    return room


def decode_operations(body: bytes) -> tuple[int, ...]:
    """The comma-separated int32s of op 14 and 16; an empty body is none. Raises :class:`ProtocolError` (``BAD_BODY``)."""
    if not body:
        return ()
    parts = body.split(b",", MAX_ACCEPTS)
    if len(parts) > MAX_ACCEPTS:
        raise bad(f"more than {MAX_ACCEPTS} operations")
    try:
        operations = tuple(_decimal(part) for part in parts)
    except ValueError:
        raise bad("operations are decimal int32s between commas") from None
    if any(operation not in INT32 for operation in operations):
        raise bad("an operation is an int32")
    return operations


def _decimal(text: bytes) -> int:
    """What Go's ``strconv.ParseInt(text, 10, 32)`` takes: a sign and at most ten digits, nothing around them."""
    if len(text) > 11 or not text.lstrip(b"+-").isdigit():
        raise ValueError(text)
    return int(text)


def decode_object(body: bytes) -> dict[str, Any]:
    """The JSON object that ``body`` is. Raises :class:`ProtocolError` (``BAD_BODY``)."""
    try:
        raw = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise bad("the body is not JSON") from None
    if not isinstance(raw, dict):
        raise bad("the body is not a JSON object")
    return raw


def convert(kind: type[T], value: Any) -> T:
    """``value`` as what it must be. Raises :class:`ProtocolError` (``BAD_BODY``) naming the field that is wrong."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise bad(str(error)) from None


def as_id(name: str, value: Any) -> int:
    """An int64 that JSON may have as a number or, for JavaScript's sake, as a decimal string. Raises :class:`ProtocolError`."""
    if isinstance(value, str) and 0 < len(value) <= 20 and value.isascii() and value.removeprefix("-").isdigit():
        value = int(value)
    if type(value) is not int or value not in INT64:  # a bool is an int
        raise bad(f"{name} is not an int64")
    return value


def check_room(name: str, room: str) -> None:
    """Raises :class:`ProtocolError` unless it can be the id of a room."""
    if not room:
        raise bad(f"{name} names no room")
    limit(name, room, MAX_ROOM_BYTES)


def limit(name: str, value: str, max_bytes: int) -> None:
    """Raises :class:`ProtocolError` for a text that is too long."""
    if len(value.encode("utf-8", "surrogatepass")) > max_bytes:
        raise bad(f"{name} is longer than {max_bytes} bytes")


def bad(detail: str) -> ProtocolError:
    """What to raise for a body."""
    return ProtocolError(CloseReason.BAD_BODY, detail)
