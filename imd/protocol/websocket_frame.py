"""WebSocket frames as a server reads and answers them (RFC 6455 §5): a client's are masked, cut anywhere, in fragments."""

from collections.abc import Iterator
from enum import IntEnum, unique
from struct import pack

from imd.errors import CloseReason, ProtocolError


@unique
class Opcode(IntEnum):
    """What a frame is, §5.2. From CLOSE on it is for the connection, and whole."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


FINAL = 0x80  # in the first byte: of a message's last fragment, or only one
MASKED = 0x80  # in the second
MAX_CONTROL_BYTES = 125  # of the payload of a frame for the connection

# First bytes. Reserved bits belong to extensions, and none was agreed on.
_WHOLE = (FINAL | Opcode.TEXT, FINAL | Opcode.BINARY)
_FIRST = (Opcode.TEXT, Opcode.BINARY)
_NEXT = (Opcode.CONTINUATION, FINAL | Opcode.CONTINUATION)
_CONTROL = {FINAL | opcode: opcode for opcode in (Opcode.CLOSE, Opcode.PING, Opcode.PONG)}
_KNOWN = frozenset((*_WHOLE, *_FIRST, *_NEXT, *_CONTROL))

_BINARY = Opcode.BINARY  # an attribute of an Enum is slow to reach
# Announced by the second byte, MASKED taken off: the length follows in so many bytes, and is at least so much (§5.2).
_LONG = {126: (2, MAX_CONTROL_BYTES + 1), 127: (8, 1 << 16)}
_SIZES_BITS = 63  # of the longest length

# Statuses that a close frame may carry: those of §7.4.1 and their successors at IANA, those of libraries and applications.
_STATUSES = (range(1000, 1004), range(1007, 1015), range(3000, 5000))


class FrameDecoder:
    """Messages and control frames out of a byte stream that is cut anywhere.

    Holds at most one message, an unfinished one: each frame's announced length is checked before its payload is waited for.
    Text is taken as bytes, UTF-8 or not.
    """

    __slots__ = ("_buffer", "_max_message_bytes", "_message")

    def __init__(self, max_message_bytes: int) -> None:
        self._buffer: bytes | bytearray = b""  # the start of a frame that is not complete
        self._max_message_bytes = max_message_bytes
        self._message: bytearray | None = None  # its fragments so far; None = no message is under way

    @property
    def unfinished(self) -> bool:
        """Whether something is held. When not, a new decoder does as well."""
        return bool(self._buffer) or self._message is not None

    @property
    def buffered_bytes(self) -> int:
        """What is held of a frame and of a message that are not complete."""
        return len(self._buffer) + (0 if self._message is None else len(self._message))

    def feed(self, data: bytes) -> Iterator[tuple[Opcode, bytes]]:
        """Yield what ``data`` completes, in order: messages as ``BINARY``, text ones too, and ``CLOSE``, ``PING`` and ``PONG``
        with their payloads; ``CONTINUATION``, with none, for each fragment that is not its message's last, for whoever counts.

        Raises :class:`ProtocolError` at the first frame against the RFC, or over the limit, after the good ones before it; the
        decoder must not be fed again then, nor after a caller has stopped iterating.
        """
        buffer = self._join(data)
        start, end = 0, len(buffer)
        while end - start >= 2:
            first, size = buffer[start], buffer[start + 1] - MASKED
            self._check(first, size)
            body = start + 6  # behind the mask
            if size > MAX_CONTROL_BYTES:
                width, least = _LONG[size]
                if end - start < 2 + width:
                    break
                size = int.from_bytes(buffer[start + 2 : start + 2 + width], "big")
                if size < least or size >> _SIZES_BITS:
                    raise ProtocolError(CloseReason.BAD_WEBSOCKET, f"a length of {size} in {width} bytes")
                body += width
            if first not in _CONTROL:
                self._check_message(size)
            if end < body + size:
                break
            payload = unmask(buffer[body : body + size], buffer[body - 4 : body])
            start = body + size
            if first in _WHOLE:
                yield _BINARY, payload
            elif first in _CONTROL:
                yield _CONTROL[first], payload
            else:
                yield self._assemble(first, payload)
        if start or buffer is not self._buffer:
            self._buffer = buffer[start:]

    def _assemble(self, first: int, payload: bytes) -> tuple[Opcode, bytes]:
        """What a fragment, which is in order, comes to."""
        if self._message is None:
            self._message = bytearray(payload)
        else:
            self._message += payload
        if not first & FINAL:
            return Opcode.CONTINUATION, b""
        message, self._message = self._message, None
        return _BINARY, bytes(message)

    def _join(self, data: bytes) -> bytes | bytearray:
        """What is held and what came. A frame that comes in very many pieces is not copied for each of them."""
        if not self._buffer:
            return data
        if not isinstance(self._buffer, bytearray):
            self._buffer = bytearray(self._buffer)
        self._buffer += data
        return self._buffer

    def _check(self, first: int, size: int) -> None:
        """By its first two bytes. ``size`` is below 0 without a mask."""
        if first not in _KNOWN:
            raise ProtocolError(CloseReason.BAD_WEBSOCKET, f"a frame that begins with {first:#04x}")
        if size < 0:
            raise ProtocolError(CloseReason.BAD_WEBSOCKET, "a frame without a mask")
        if first in _CONTROL:
            if size > MAX_CONTROL_BYTES:
                raise ProtocolError(
                    CloseReason.BAD_WEBSOCKET, f"a control frame of more than {MAX_CONTROL_BYTES} bytes"
                )
        elif (first in _NEXT) is (self._message is None):
            raise ProtocolError(CloseReason.BAD_WEBSOCKET, "a fragment out of order")

    def _check_message(self, size: int) -> None:
        size += 0 if self._message is None else len(self._message)
        if size > self._max_message_bytes:
            raise ProtocolError(CloseReason.PACKET_TOO_LARGE, f"a message of {size} bytes")


def unmask(payload: bytes | bytearray, mask: bytes | bytearray) -> bytes:
    """``payload`` with its mask of four bytes taken off, or put on (§5.3)."""
    size = len(payload)
    key = int.from_bytes((mask * (size // 4 + 1))[:size], "little")
    return (int.from_bytes(payload, "little") ^ key).to_bytes(size, "little")


def control_frame(opcode: Opcode, payload: bytes) -> bytes:
    """Ready for a client; of a payload of at most MAX_CONTROL_BYTES."""
    assert len(payload) <= MAX_CONTROL_BYTES
    return pack(">BB", FINAL | opcode, len(payload)) + payload


def close_frame(status: int, reason: str) -> bytes:
    """The last frame that a client gets."""
    return control_frame(Opcode.CLOSE, pack(">H", status) + reason.encode())


def close_reply(payload: bytes) -> bytes:
    """The close frame that answers a client's, whose payload this is: with its status, if it has one.

    Raises :class:`ProtocolError` for a status that nobody may send, and for a reason that is no UTF-8.
    """
    if not payload:
        return control_frame(Opcode.CLOSE, b"")
    status = int.from_bytes(payload[:2], "big")
    if len(payload) < 2 or not any(status in allowed for allowed in _STATUSES):
        raise ProtocolError(CloseReason.BAD_WEBSOCKET, f"a close frame with {payload[:2]!r}")
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        raise ProtocolError(CloseReason.BAD_WEBSOCKET, "a close frame whose reason is no UTF-8") from None
    return control_frame(Opcode.CLOSE, payload[:2])
