"""The client's side of the wire without I/O: requests to bytes, and what the server sent to events."""

from typing import NamedTuple

from imd.protocol.operation import Operation
from imd.protocol.packet import Packet, PacketDecoder, decode_message, encode, walk

MAX_PACKET_BODY_BYTES = 16 << 20  # of what the server may send at once; merged pushes are one message

# What a request is answered with; any other operation is echoed.
_REPLIES: dict[int, int] = {
    Operation.HEARTBEAT: Operation.HEARTBEAT_REPLY,
    Operation.AUTH: Operation.AUTH_REPLY,
    Operation.CHANGE_ROOM: Operation.CHANGE_ROOM_REPLY,
    Operation.SUB: Operation.SUB_REPLY,
    Operation.UNSUB: Operation.UNSUB_REPLY,
}


class Answered(NamedTuple):
    """The server answered a request of ours."""

    sequence: int  # the request's
    body: bytes


class Pushed(NamedTuple):
    """A push came."""

    operation: int
    body: bytes


class ClientCore:
    """One connection: numbers requests, finds their answers, unpacks pushes. ``framed`` = over WebSocket."""

    __slots__ = ("_decoder", "_framed", "_pending", "_sequence")

    def __init__(self, *, framed: bool) -> None:
        self._framed = framed
        self._decoder = PacketDecoder(MAX_PACKET_BODY_BYTES)  # unused when framed
        self._sequence = 0  # of the last request
        self._pending: dict[int, int] = {}  # sequence of a request -> operation of its answer

    def request(self, operation: int, body: bytes = b"") -> tuple[int, bytes]:
        """(sequence, the packet's bytes): for TCP as they are, for WebSocket as one message."""
        # A push carries 0, so the numbers go round without it.
        self._sequence = self._sequence % (2**31 - 1) + 1
        self._pending[self._sequence] = _REPLIES.get(operation, operation)
        return self._sequence, encode(Packet(operation, body, self._sequence))

    def forget(self, sequence: int) -> None:
        """Nobody waits for the answer any more; if it comes it is dropped."""
        self._pending.pop(sequence, None)

    def receive(self, data: bytes) -> list[Answered | Pushed]:
        """What ``data`` completes: a part of the stream, or one whole WebSocket message.

        Raises :class:`imd.errors.ProtocolError`; the connection is of no use then.
        """
        if not self._framed:
            return self._events(list(self._decoder.feed(data)))
        outer = decode_message(data, MAX_PACKET_BODY_BYTES)
        return self._events(list(walk(outer.body)) if outer.operation == Operation.RAW else [outer])

    def _events(self, packets: list[Packet]) -> list[Answered | Pushed]:
        events: list[Answered | Pushed] = []
        for packet in packets:
            if not packet.sequence:
                events.append(Pushed(packet.operation, packet.body))
            elif self._pending.get(packet.sequence) == packet.operation:
                del self._pending[packet.sequence]
                events.append(Answered(packet.sequence, packet.body))
            # else: an answer that came too late
        return events
