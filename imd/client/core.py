"""The client's side of the wire without I/O: requests to bytes, and what the server sent to events."""

from typing import NamedTuple

from imd.errors import CloseReason, ProtocolError
from imd.protocol.error_body import ErrorBody
from imd.protocol.goodbye import Goodbye
from imd.protocol.operation import Operation
from imd.protocol.packet import Packet, PacketDecoder, decode_message, encode, walk
from imd.protocol.push_header import PushHeader, decode_push_header

MAX_PACKET_BODY_BYTES = 16 << 20  # of what the server may send at once; merged pushes are one message

# What a request is answered with; any other operation is echoed.
_REPLIES: dict[int, int] = {
    Operation.HEARTBEAT: Operation.HEARTBEAT_REPLY,
    Operation.AUTH: Operation.AUTH_REPLY,
    Operation.CHANGE_ROOM: Operation.CHANGE_ROOM_REPLY,
    Operation.SUB: Operation.SUB_REPLY,
    Operation.UNSUB: Operation.UNSUB_REPLY,
}
_REPLIES_2: dict[int, int] = _REPLIES | {
    Operation.SEND: Operation.SEND_REPLY,
    Operation.JOIN: Operation.JOIN_REPLY,
    Operation.LEAVE: Operation.LEAVE_REPLY,
    Operation.SYNC: Operation.SYNC_REPLY,
    Operation.REFRESH: Operation.REFRESH_REPLY,
}


class Answered(NamedTuple):
    """The server answered a request of ours."""

    sequence: int  # the request's
    body: bytes


class Pushed(NamedTuple):
    """A push came."""

    operation: int
    body: bytes
    header: PushHeader | None = None  # of version 2 only, and there always


class Refused(NamedTuple):
    """Version 2: the server did not do what we asked for; the connection stays."""

    sequence: int  # the request's
    error: ErrorBody


Event = Answered | Pushed | Refused | Goodbye


class ClientCore:
    """One connection: numbers requests, finds their answers, unpacks pushes. ``framed`` = over WebSocket.

    Version 2 is strict: an answer of another kind than was asked for, and a push that does not say where it stands, are errors.
    """

    __slots__ = ("_decoder", "_framed", "_newer", "_pending", "_replies", "_sequence", "_version")

    def __init__(self, *, framed: bool, version: int = 1) -> None:
        self._framed = framed
        self._version = version
        self._newer = version > 1
        self._replies = _REPLIES_2 if self._newer else _REPLIES
        self._decoder = PacketDecoder(MAX_PACKET_BODY_BYTES, extensions=self._newer)  # unused when framed
        self._sequence = 0  # of the last request
        self._pending: dict[int, int] = {}  # sequence of a request -> operation of its answer

    def request(self, operation: int, body: bytes = b"") -> tuple[int, bytes]:
        """(sequence, the packet's bytes): for TCP as they are, for WebSocket as one message."""
        # A push carries 0, so the numbers go round without it.
        self._sequence = self._sequence % (2**31 - 1) + 1
        self._pending[self._sequence] = self._replies.get(operation, operation)
        return self._sequence, encode(Packet(operation, body, self._sequence, self._version))

    def notice(self, operation: int, body: bytes) -> bytes:
        """The bytes of a packet that has no answer."""
        return encode(Packet(operation, body, 0, self._version))

    def forget(self, sequence: int) -> None:
        """Nobody waits for the answer any more; if it comes it is dropped."""
        self._pending.pop(sequence, None)

    def receive(self, data: bytes) -> list[Event]:
        """What ``data`` completes: a part of the stream, or one whole WebSocket message.

        Raises :class:`imd.errors.ProtocolError`; the connection is of no use then.
        """
        if not self._framed:
            return self._events(list(self._decoder.feed(data)))
        outer = decode_message(data, MAX_PACKET_BODY_BYTES, extensions=self._newer)
        raw = outer.operation == Operation.RAW
        return self._events(list(walk(outer.body, extensions=self._newer)) if raw else [outer])

    def _events(self, packets: list[Packet]) -> list[Event]:
        events: list[Event] = []
        for packet in packets:
            if self._newer and (packet.extension or not packet.sequence or packet.operation == Operation.ERROR):
                events.append(self._told(packet))
            elif not packet.sequence:
                events.append(Pushed(packet.operation, packet.body))
            elif self._pending.get(packet.sequence) == packet.operation:
                del self._pending[packet.sequence]
                events.append(Answered(packet.sequence, packet.body))
            elif self._newer and packet.sequence in self._pending:
                raise ProtocolError(CloseReason.BAD_BODY, f"op {packet.operation} answers another request")
            # else: an answer that came too late
        return events

    def _told(self, packet: Packet) -> Pushed | Refused | Goodbye:
        """What only version 2 has."""
        if packet.extension:
            return Pushed(packet.operation, packet.body, decode_push_header(packet.extension))
        if packet.operation == Operation.ERROR:
            self._pending.pop(packet.sequence, None)
            return Refused(packet.sequence, ErrorBody.decode(packet.body))
        if packet.operation == Operation.GOODBYE:
            return Goodbye.decode(packet.body)
        raise ProtocolError(CloseReason.BAD_HEADER_LENGTH, f"a push of operation {packet.operation} without its place")
