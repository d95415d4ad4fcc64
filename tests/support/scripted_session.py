"""A session that answers as comet's does when all is well, for tests of what is in front of it."""

import json

from imd.errors import CloseReason
from imd.interfaces import Connection
from imd.protocol.operation import Operation
from imd.protocol.packet import Packet, encode
from imd.protocol.wire import Wire, binary_frame


class ScriptedSession:
    """Believes everybody but who asks for ``"key": "refuse"``; five are online."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.packets: list[Packet] = []
        self.losses: list[CloseReason] = []

    def packet_received(self, packet: Packet) -> None:
        self.packets.append(packet)
        operation = packet.operation
        if operation == Operation.AUTH:
            if json.loads(packet.body)["key"] == "refuse":
                self.connection.close(CloseReason.AUTH_REFUSED)
            else:
                self._answer(packet, Operation.AUTH_REPLY)
        elif operation == Operation.HEARTBEAT:
            self._answer(packet, Operation.HEARTBEAT_REPLY, b"\0\0\0\5")
        elif operation in (Operation.CHANGE_ROOM, Operation.SUB, Operation.UNSUB):
            self._answer(packet, operation + 1, packet.body)
        else:
            self._answer(packet, operation)

    def _answer(self, request: Packet, operation: int, body: bytes = b"") -> None:
        data = encode(Packet(operation, body, request.sequence, request.version))
        self.connection.write(binary_frame(data) if self.connection.framed else data)

    def push(self, *packets: Packet) -> None:
        """As comet writes pushes."""
        wire = Wire(b"".join(map(encode, packets)))
        self.connection.write(wire.bytes_for(self.connection.framed))

    def fail(self, reason: CloseReason, detail: str = "") -> None:
        self.connection.close(reason)

    def frame_received(self) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...

    def lost(self, reason: CloseReason) -> None:
        self.losses.append(reason)
