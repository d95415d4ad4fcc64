"""The header of a version-2 push: where it stands, so that a client can tell what it has and what it lacks.

====== ===== ======================================
offset bytes field
====== ===== ======================================
0      16    as every packet's (:mod:`imd.protocol.packet`); version 2, header length 42 + t
16     8     id of the push, int64, unique, rising with time
24     8     seq, its place in the timeline, int64; 0 = live, in no timeline
32     8     at, when it was accepted, int64, ms since the epoch
40     2     t, int16
42     t     the timeline as clients call it, UTF-8: the room's id, or nothing for the member's own inbox
42 + t n     the pushed bytes
====== ===== ======================================
"""

from struct import Struct
from typing import NamedTuple

from imd.errors import CloseReason, ProtocolError

VERSION = 2
EXTENSION = Struct(">qqqh")
EXTENSION_BYTES = EXTENSION.size  # of the shortest
_WHOLE = Struct(">ihhiiqqqh")


class PushHeader(NamedTuple):
    """What a version-2 push says of itself."""

    id: int
    seq: int  # 0 = live
    at_ms: int
    timeline: str  # as clients call it: the room's id, or nothing for the own inbox


def encode_push(operation: int, body: bytes, *, id: int, seq: int, at_ms: int, timeline: str) -> bytes:
    """The complete packet. 0.35 µs: once a push and room, or once a receiver for inboxes."""
    name = timeline.encode()
    header = _WHOLE.size + len(name)
    return _WHOLE.pack(header + len(body), header, VERSION, operation, 0, id, seq, at_ms, len(name)) + name + body


def decode_push_header(extension: bytes) -> PushHeader:
    """What is in :attr:`imd.protocol.packet.Packet.extension`. Raises :class:`ProtocolError`."""
    if len(extension) < EXTENSION_BYTES:
        raise _bad(f"{len(extension)} bytes are no push header")
    id, seq, at_ms, size = EXTENSION.unpack_from(extension)
    if size != len(extension) - EXTENSION_BYTES:
        raise _bad(f"a timeline name of {size} bytes in {len(extension) - EXTENSION_BYTES}")
    if seq < 0:
        raise _bad(f"seq {seq}")
    try:
        return PushHeader(id, seq, at_ms, extension[EXTENSION_BYTES:].decode())
    except UnicodeDecodeError:
        raise _bad("a timeline name is UTF-8") from None


def _bad(detail: str) -> ProtocolError:
    return ProtocolError(CloseReason.BAD_HEADER_LENGTH, detail)
