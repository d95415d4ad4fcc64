"""The packet of the client wire: header and body, big-endian. One codec for every transport.

====== ===== ======================================
offset bytes field
====== ===== ======================================
0      4     package length, header included, int32
4      2     header length: 16, int16
6      2     version, int16
8      4     operation, int32
12     4     sequence, int32
16     n     body
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


def encode(packet: Packet) -> bytes:
    """The packet's bytes on the wire."""
    body = packet.body
    return HEADER.pack(HEADER_BYTES + len(body), HEADER_BYTES, packet.version, packet.operation, packet.sequence) + body


def _check(length: int, header_length: int, max_body_bytes: int) -> None:
    """Refuse an announced length before any memory is spent on it."""
    if header_length != HEADER_BYTES:
        raise ProtocolError(CloseReason.BAD_HEADER_LENGTH, f"header length {header_length}, not {HEADER_BYTES}")
    if length < HEADER_BYTES:
        raise ProtocolError(CloseReason.BAD_PACKET_LENGTH, f"package length {length} is below {HEADER_BYTES}")
    if length > HEADER_BYTES + max_body_bytes:
        raise ProtocolError(
            CloseReason.PACKET_TOO_LARGE, f"body of {length - HEADER_BYTES} bytes, at most {max_body_bytes}"
        )


def decode_message(message: bytes, max_body_bytes: int = MAX_BODY_BYTES) -> Packet:
    """The one packet that ``message`` is (a WebSocket message).

    Raises :class:`ProtocolError` when the header is wrong or the package length is not the message's size: what is
    announced beyond the message is never read.
    """
    if len(message) < HEADER_BYTES:
        raise ProtocolError(CloseReason.MESSAGE_LENGTH_MISMATCH, f"{len(message)} bytes are no packet")
    length, header_length, version, operation, sequence = HEADER.unpack_from(message)
    _check(length, header_length, max_body_bytes)
    if length != len(message):
        raise ProtocolError(
            CloseReason.MESSAGE_LENGTH_MISMATCH, f"package length {length} in a message of {len(message)} bytes"
        )
    return Packet(operation, message[HEADER_BYTES:], sequence, version)


class PacketDecoder:
    """Packets out of a byte stream that is cut anywhere (TCP).

    Holds at most one unfinished packet: its announced length is checked before its body is waited for.
    """

    __slots__ = ("_buffer", "_max_body_bytes")

    def __init__(self, max_body_bytes: int = MAX_BODY_BYTES) -> None:
        self._buffer = b""  # the start of a packet that is not complete
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
            _check(length, header_length, self._max_body_bytes)
            if end - start < length:
                break
            yield Packet(operation, buffer[start + HEADER_BYTES : start + length], sequence, version)
            start += length
        self._buffer = buffer[start:]


def walk(packets: bytes) -> Iterator[Packet]:
    """The packets in a raw (op 9) body, or in what a TCP client read whole. For receivers.

    Raises :class:`ProtocolError` when they do not fill ``packets`` exactly.
    """
    decoder = PacketDecoder(max_body_bytes=len(packets))
    yield from decoder.feed(packets)
    if decoder.buffered_bytes:
        raise ProtocolError(CloseReason.BAD_PACKET_LENGTH, f"{decoder.buffered_bytes} bytes after the last packet")
