"""What a plain Twisted server does: ``transport.write`` to each client. The commands are those of ``c/send_loop.c``.

``python -m benchmarks.write_server --core C --connections N --transport tcp|websocket|tls [--certificate FOLDER]``
"""

import argparse
import gc
import json
import os
import struct
import time
from typing import Any

from twisted.internet import stdio
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import DefaultOpenSSLContextFactory
from twisted.protocols.basic import LineOnlyReceiver

from imd.protocol.operation import Operation
from imd.protocol.packet import Packet, encode
from imd.protocol.wire import Wire, binary_frame
from imd.service.file_limit import raise_file_limit

OPERATION = 1000
UPGRADED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
AUTH_REPLY = encode(Packet(Operation.AUTH_REPLY, sequence=1))


def say(event: str, **fields: object) -> None:
    print(json.dumps({"event": event, **fields}), flush=True)


class Client(Protocol):
    """Lets anybody in: the first that is heard is answered by the upgrade (WebSocket), the next by op 8."""

    __slots__ = ("_answers", "_room", "transport")

    def __init__(self, room: "Room") -> None:
        self._room = room
        self._answers = [UPGRADED, binary_frame(AUTH_REPLY)] if room.framed else [AUTH_REPLY]

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:
        transport: Any = self.transport
        transport.write(self._answers.pop(0))
        if not self._answers:
            self._room.enter(transport)


class Room(Factory):
    """All clients."""

    noisy = False

    def __init__(self, *, framed: bool, connections: int) -> None:
        self.framed = framed
        self._expected = connections
        self._transports: list[Any] = []

    def buildProtocol(self, addr: IAddress | None) -> Client:
        return Client(self)

    def enter(self, transport: Any) -> None:
        self._transports.append(transport)
        if len(self._transports) == self._expected:
            gc.collect()
            gc.freeze()  # as imd does
            say("in", connections=self._expected)

    def write(self, merged: int, body_bytes: int) -> None:
        """One message, or several at once."""
        body = struct.pack(">q", time.monotonic_ns()).ljust(body_bytes, b"x")[:body_bytes]
        wire = Wire(encode(Packet(OPERATION, body)) * merged)
        data = wire.bytes_for(self.framed)
        for transport in self._transports:
            transport.write(data)


class Commands(LineOnlyReceiver):
    """From the runner."""

    delimiter = b"\n"

    def __init__(self, room: Room, reactor: Any) -> None:
        self._room = room
        self._reactor = reactor

    def lineReceived(self, line: bytes) -> None:
        _, rate, seconds, merged, body_bytes = line.split()
        began = time.monotonic()
        self._send(began, began + float(seconds), float(rate), int(merged), int(body_bytes), 0)

    def _send(self, began: float, ends: float, rate: float, merged: int, body_bytes: int, sent: int) -> None:
        """One message; the next when it is due, or when the reactor has written this one."""
        self._room.write(merged, body_bytes)
        sent += 1
        now = time.monotonic()
        due = began + sent / rate if rate else now
        if due >= ends:
            say("sent", messages=sent * merged, seconds=now - began, waited=0)
            return
        self._reactor.callLater(max(0.0, due - now), self._send, began, ends, rate, merged, body_bytes, sent)


def main() -> None:
    """Until it is killed."""
    from twisted.internet import reactor

    parser = argparse.ArgumentParser()
    parser.add_argument("--core", type=int, required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--transport", required=True)
    parser.add_argument("--certificate", help="The folder with certificate.pem and key.pem, for tls.")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {arguments.core})
    raise_file_limit(arguments.connections)
    room = Room(framed=arguments.transport == "websocket", connections=arguments.connections)
    loop: Any = reactor
    if arguments.transport == "tls":
        context = DefaultOpenSSLContextFactory(
            *(f"{arguments.certificate}/{name}.pem" for name in ("key", "certificate"))
        )
        port = loop.listenSSL(0, room, context, backlog=4096, interface="127.0.0.1")
    else:
        port = loop.listenTCP(0, room, backlog=4096, interface="127.0.0.1")
    stdio.StandardIO(Commands(room, loop), reactor=loop)
    say("listening", port=port.getHost().port)
    loop.run()


if __name__ == "__main__":
    main()
