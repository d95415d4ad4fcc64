"""The bodies of client packets: what is inside an auth, a change of room, a sub; and a goodbye."""

from typing import Any

import msgspec

from imd.errors import CloseReason, ProtocolError

INT32 = range(-(2**31), 2**31)
INT64 = range(-(2**63), 2**63)

MAX_KEY_BYTES = 128  # a key is a name in presence, in logs and in every push to it
MAX_ROOM_BYTES = 255  # of a whole room id
MAX_PLATFORM_BYTES = 64
MAX_ACCEPTS = 1000  # operations in an accept set; each costs about 60 bytes for the connection's life


class Auth(msgspec.Struct, frozen=True):
    """The body of op 7. Only shapes are checked here; who the client is, logic says."""

    mid: int = 0  # int64; 0 = anonymous
    key: str = ""  # empty = comet makes one
    room_id: str = ""  # ``type://name``; empty = none
    platform: str = ""
    accepts: tuple[int, ...] = ()  # int32s
    token: str = ""  # a JWT, in token mode


def decode_auth(body: bytes) -> Auth:
    """Read op 7's JSON as Go's decoder does: names without regard to case, unknown ones ignored, null is absent.

    Raises :class:`ProtocolError` (``BAD_BODY``) naming the field that is wrong.
    """
    try:
        raw = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _bad("op 7 is not JSON") from None
    if not isinstance(raw, dict):
        raise _bad("op 7 is not a JSON object")
    fields = {name.lower(): value for name, value in raw.items() if value is not None}
    try:
        auth = msgspec.convert({name: fields[name] for name in Auth.__struct_fields__ if name in fields}, Auth)
    except msgspec.ValidationError as error:
        raise _bad(str(error)) from None
    if auth.mid not in INT64:
        raise _bad("mid is not an int64")
    if len(auth.accepts) > MAX_ACCEPTS:
        raise _bad(f"more than {MAX_ACCEPTS} accepts")
    if any(operation not in INT32 for operation in auth.accepts):
        raise _bad("accepts holds more than int32s")
    _limit("key", auth.key, MAX_KEY_BYTES)
    _limit("room_id", auth.room_id, MAX_ROOM_BYTES)
    _limit("platform", auth.platform, MAX_PLATFORM_BYTES)
    return auth


def decode_room(body: bytes) -> str:
    """The room id that op 12 names; empty leaves. Raises :class:`ProtocolError` (``BAD_BODY``)."""
    try:
        room = body.decode()
    except UnicodeDecodeError:
        raise _bad("a room id is UTF-8") from None
    _limit("room id", room, MAX_ROOM_BYTES)
    return room


def decode_operations(body: bytes) -> tuple[int, ...]:
    """The comma-separated int32s of op 14 and 16; an empty body is none. Raises :class:`ProtocolError` (``BAD_BODY``)."""
    if not body:
        return ()
    parts = body.split(b",", MAX_ACCEPTS)
    if len(parts) > MAX_ACCEPTS:
        raise _bad(f"more than {MAX_ACCEPTS} operations")
    try:
        operations = tuple(_decimal(part) for part in parts)
    except ValueError:
        raise _bad("operations are decimal int32s between commas") from None
    if any(operation not in INT32 for operation in operations):
        raise _bad("an operation is an int32")
    return operations


def encode_goodbye(reason: CloseReason, retry_after_ms: int = 0) -> bytes:
    """The JSON body of op 6, which tells a version-2 client why the connection ends."""
    body: dict[str, Any] = {"reason": reason.label, "code": reason.code, "reconnect": reason.redial}
    if retry_after_ms:
        body["retry_after_ms"] = retry_after_ms
    return msgspec.json.encode(body)


def _decimal(text: bytes) -> int:
    """What Go's ``strconv.ParseInt(text, 10, 32)`` takes: a sign and at most ten digits, nothing around them."""
    if len(text) > 11 or not text.lstrip(b"+-").isdigit():
        raise ValueError(text)
    return int(text)


def _limit(name: str, value: str, max_bytes: int) -> None:
    if len(value.encode("utf-8", "surrogatepass")) > max_bytes:
        raise _bad(f"{name} is longer than {max_bytes} bytes")


def _bad(detail: str) -> ProtocolError:
    return ProtocolError(CloseReason.BAD_BODY, detail)
