"""The body of op 36: what a client has handled."""

from collections.abc import Mapping

import msgspec

from imd.protocol.body import MAX_RESUME, MAX_ROOM_BYTES, Seq, bad, convert, decode_object, limit


def encode_ack(seqs: Mapping[str, int]) -> bytes:
    """Timeline, as clients call it -> everything up to this seq has been handled."""
    return msgspec.json.encode(seqs)


def decode_ack(body: bytes) -> dict[str, int]:
    """The reverse of :func:`encode_ack`. Raises :class:`imd.errors.ProtocolError` (``BAD_BODY``)."""
    seqs = convert(dict[str, Seq], decode_object(body))
    if len(seqs) > MAX_RESUME:
        raise bad(f"more than {MAX_RESUME} timelines")
    for timeline in seqs:
        limit("timeline", timeline, MAX_ROOM_BYTES)
    return seqs
