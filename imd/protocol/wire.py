"""Wire: a push's bytes, ready for clients, made once and shared by every receiver."""

from struct import pack

from imd.protocol.operation import Operation
from imd.protocol.packet import Packet, encode


def binary_frame(payload: bytes) -> bytes:
    """``payload`` as one unmasked, unfragmented binary WebSocket frame (RFC 6455 §5.2)."""
    size = len(payload)
    if size < 126:
        return pack(">BB", 0x82, size) + payload
    if size < 65536:
        return pack(">BBH", 0x82, 126, size) + payload
    return pack(">BBQ", 0x82, 127, size) + payload


class Wire:
    """One or more complete packets of pushes.

    A TCP client gets them bare; a WebSocket client gets them in one frame under a raw (op 9) header, built when the first
    WebSocket receiver asks and kept.
    """

    __slots__ = ("_frame", "packets")

    def __init__(self, packets: bytes) -> None:
        self.packets = packets  # complete packets, back to back
        self._frame: bytes | None = None  # None until a WebSocket receiver asks

    @property
    def frame(self) -> bytes:
        """The whole WebSocket frame."""
        if self._frame is None:
            self._frame = binary_frame(encode(Packet(Operation.RAW, self.packets)))
        return self._frame

    def bytes_for(self, framed: bool) -> bytes:
        """What goes to the socket of a WebSocket (``framed``) or TCP client."""
        return self.frame if framed else self.packets
