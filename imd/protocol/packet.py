"""The packet of the client wire: header and body, big-endian. One codec for every transport.

====== ===== ======================================
offset bytes field
====== ===== ======================================
0      4     package length, header included, int32
4      2     header length: 16, int16; more in version-2 pushes (:mod:`imd.protocol.push_header`)
6      2     version, int16
8      4     operation, int32
12     4     sequence, int32
16     n     body; in version-2 pushes what the header is longer comes first
====== ===== ======================================
"""

from collections.abc import Iterator
from struct import Struct

import msgspec

from imd.errors import CloseReason, ProtocolError

HEADER = Struct(">ihhii")
HEADER_BYTES = HEADER.size
MAX_BODY_BYTES = 4096  # of a packet from a client, unless configured otherwise: goim's limit


class Packet(msgspec.Struct, frozen=True, gc=False):
    """One packet. ``body`` is the bytes after the header, not interpreted."""

    operation: int  # int32
    body: bytes = b""
    sequence: int = 0  # int32; a reply repeats its request's, a push carries 0
    version: int = 1  # int16; a reply repeats its request's
    extension: bytes = b""  # what the header is longer than 16 bytes, not interpreted: of version-2 pushes


def encode(packet: Packet) -> bytes:
    """The packet's bytes on the wire."""
    tail = packet.extension + packet.body
    header_length = HEADER_BYTES + len(packet.extension)
    return (
        HEADER.pack(HEADER_BYTES + len(tail), header_length, packet.version, packet.operation, packet.sequence) + tail
    )


def _check(length: int, header_length: int, max_body_bytes: int, extensions: bool) -> None:
    """Refuse an announced length before any memory is spent on it."""
    if header_length != HEADER_BYTES and (not extensions or header_length < HEADER_BYTES):
        raise ProtocolError(CloseReason.BAD_HEADER_LENGTH, f"header length {header_length}, not {HEADER_BYTES}")
    if length < header_length:
        raise ProtocolError(CloseReason.BAD_PACKET_LENGTH, f"package length {length} is below {header_length}")
    if length > header_length + max_body_bytes:
        raise ProtocolError(
            CloseReason.PACKET_TOO_LARGE, f"body of {length - header_length} bytes, at most {max_body_bytes}"
        )


def decode_message(message: bytes, max_body_bytes: int = MAX_BODY_BYTES, *, extensions: bool = False) -> Packet:
    """The one packet that ``message`` is (a WebSocket message).

    ``extensions``: the header may be longer than 16 bytes (at most 32767); for receivers of pushes. Raises
    :class:`ProtocolError` when the header is wrong or the package length is not the message's size: what is announced beyond
    the message is never read.
    """
    if len(message) < HEADER_BYTES:
        raise ProtocolError(CloseReason.MESSAGE_LENGTH_MISMATCH, f"{len(message)} bytes are no packet")
    length, header_length, version, operation, sequence = HEADER.unpack_from(message)
    _check(length, header_length, max_body_bytes, extensions)
    if length != len(message):
        raise ProtocolError(
            CloseReason.MESSAGE_LENGTH_MISMATCH, f"package length {length} in a message of {len(message)} bytes"
        )
    if header_length == HEADER_BYTES:
        return Packet(operation, message[HEADER_BYTES:], sequence, version)
    return Packet(operation, message[header_length:], sequence, version, message[HEADER_BYTES:header_length])


class PacketDecoder:
    """Packets out of a byte stream that is cut anywhere (TCP).

    Holds at most one unfinished packet: its announced length is checked before its body is waited for. ``extensions`` as for
    :func:`decode_message`.
    """

    __slots__ = ("_buffer", "_extensions", "_max_body_bytes")

    def __init__(self, max_body_bytes: int = MAX_BODY_BYTES, *, extensions: bool = False) -> None:
        self._buffer = b""  # the start of a packet that is not complete
        self._extensions = extensions
        self._max_body_bytes = max_body_bytes

    @property
    def buffered_bytes(self) -> int:
        """What is held of an unfinished packet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Iterator[Packet]:
        """Yield the packets that ``data`` completes, in order.

        Raises :class:`ProtocolError` at the first bad header, after the good packets before it; the stream has no next
        packet then, and the decoder must not be fed again. A caller that stops iterating loses the rest of ``data``.
        """
        buffer = self._buffer + data if self._buffer else data
        self._buffer = b""
        start, end = 0, len(buffer)
        while end - start >= HEADER_BYTES:
            length, header_length, version, operation, sequence = HEADER.unpack_from(buffer, start)
            _check(length, header_length, self._max_body_bytes, self._extensions)
            if end - start < length:
                break
            body, extension = start + header_length, b""
            if header_length != HEADER_BYTES:
                extension = buffer[start + HEADER_BYTES : body]
            yield Packet(operation, buffer[body : start + length], sequence, version, extension)
            start += length
        self._buffer = buffer[start:]


def walk(packets: bytes, *, extensions: bool = False) -> Iterator[Packet]:
    """The packets in a raw (op 9) body, or in what a TCP client read whole. For receivers.

    ``extensions`` as for :func:`decode_message`. Raises :class:`ProtocolError` when they do not fill ``packets`` exactly.
    """
    decoder = PacketDecoder(max_body_bytes=len(packets), extensions=extensions)
    yield from decoder.feed(packets)
    if decoder.buffered_bytes:
        raise ProtocolError(CloseReason.BAD_PACKET_LENGTH, f"{decoder.buffered_bytes} bytes after the last packet")
