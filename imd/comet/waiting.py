"""Waiting: the packets of one client that came while an earlier one is handled."""

from collections import deque

from imd.protocol.packet import Packet


class Waiting:
    """In the order they came, bounded in number and in the bytes of their bodies. A session has one only while it waits."""

    __slots__ = ("_packets", "_size_bytes")

    def __init__(self) -> None:
        self._packets: deque[Packet] = deque()
        self._size_bytes = 0  # of their bodies

    def __len__(self) -> int:
        return len(self._packets)

    def keep(self, packet: Packet, *, limit: int, limit_bytes: int) -> bool:
        """Put it behind the others. False, and not kept, when it would be one more than ``limit``, or too many bytes."""
        size_bytes = self._size_bytes + len(packet.body)
        if len(self._packets) >= limit or size_bytes > limit_bytes:
            return False
        self._packets.append(packet)
        self._size_bytes = size_bytes
        return True

    def take(self) -> Packet:
        """The one that came first. Precondition: there is one."""
        packet = self._packets.popleft()
        self._size_bytes -= len(packet.body)
        return packet
