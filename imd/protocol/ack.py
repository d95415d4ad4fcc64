"""The body of op 36: what a client has handled."""

from collections.abc import Mapping

import msgspec

from imd.protocol.body import MAX_RESUME, MAX_ROOM_BYTES, Seq, bad, convert, decode_object, limit


def encode_ack(seqs: Mapping[str, int]) -> bytes:
    """Timeline, as clients call it -> everything up to this seq has been handled."""
    return msgspec.json.encode(seqs)


def encode_acks(seqs: Mapping[str, int], limit_bytes: int) -> list[bytes]:
    """The same in so many bodies that none is longer than the limit, unless its one timeline is."""
    parts: list[dict[str, int]] = []
    size = limit_bytes
    for timeline, seq in seqs.items():
        more = len(encode_ack({timeline: seq})) - 1  # with the comma, without the braces
        if size + more > limit_bytes:
            parts.append({})
            size = 1
        parts[-1][timeline] = seq
        size += more
    return [encode_ack(part) for part in parts]


def decode_ack(body: bytes) -> dict[str, int]:
    """The reverse of :func:`encode_ack`. Raises :class:`imd.errors.ProtocolError` (``BAD_BODY``)."""
    said = {timeline: seq for timeline, seq in decode_object(body).items() if seq is not None}
    seqs = convert(dict[str, Seq], said)
    if len(seqs) > MAX_RESUME:
        raise bad(f"more than {MAX_RESUME} timelines")
    for timeline in seqs:
        limit("timeline", timeline, MAX_ROOM_BYTES)
    return seqs
