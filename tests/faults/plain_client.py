"""A client on a blocking socket: what it sends may be wrong."""

import json
import socket
import struct
from typing import Any

from imd.protocol.packet import HEADER_BYTES, Packet, decode_message, encode
from tests.support.websocket_bytes import frame, upgrade

AUTH, AUTH_REPLY, RAW, CHANGE_ROOM = 7, 8, 9, 12


class PlainClient:
    """Over TCP, or over WebSocket with ``framed``."""

    def __init__(self, port: int, *, framed: bool = False, seconds: float = 10.0, receive_buffer: int = 0) -> None:
        self.stream = socket.socket()
        if receive_buffer:
            self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.stream.settimeout(seconds)
        self.stream.connect(("127.0.0.1", port))
        self._framed = framed
        if framed:
            self.stream.sendall(upgrade())
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += self._exactly(1)
            assert head.startswith(b"HTTP/1.1 101 "), head

    def send(self, operation: int, body: bytes = b"", sequence: int = 1, version: int = 1) -> None:
        packet = encode(Packet(operation, body, sequence, version))
        self.stream.sendall(frame(packet) if self._framed else packet)

    def auth(self, **fields: Any) -> Packet:
        """Op 7 with these fields, and its answer."""
        self.send(AUTH, json.dumps(fields).encode())
        return self.read()

    def change_room(self, room: str) -> Packet:
        self.send(CHANGE_ROOM, room.encode())
        return self.read()

    def read(self) -> Packet:
        """The next packet; EOFError at the end."""
        if self._framed:
            return decode_message(self.read_frame()[1], 1 << 26)
        head = self._exactly(HEADER_BYTES)
        length = struct.unpack(">i", head[:4])[0]
        return decode_message(head + self._exactly(length - HEADER_BYTES), 1 << 26)

    def read_frame(self) -> tuple[int, bytes]:
        """(opcode, payload) of the next frame."""
        first, second = self._exactly(2)
        size = second & 127
        if size == 126:
            size = struct.unpack(">H", self._exactly(2))[0]
        elif size == 127:
            size = struct.unpack(">Q", self._exactly(8))[0]
        return first & 15, self._exactly(size)

    def ended(self) -> bytes:
        """What comes until the server ends the connection; fails (TimeoutError) when it does not."""
        parts = []
        try:
            while data := self.stream.recv(65536):
                parts.append(data)
        except ConnectionError:
            pass
        return b"".join(parts)

    def close(self) -> None:
        self.stream.close()

    def reset(self) -> None:
        """Go without a word: a RST."""
        self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.stream.close()

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self.stream.recv(size - len(data))
            if not part:
                raise EOFError(data)
            data += part
        return data
