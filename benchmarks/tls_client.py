"""The clients under TLS: ``c/load_client.c`` in Python, for that has none. Its commands and answers are the same.

``python -m benchmarks.tls_client --port P --connections N --room ID --core C --keys PREFIX``. It costs some 10 µs a packet,
less than a server that encrypts it for Twisted pays, and so it keeps up with one.
"""

import argparse
import json
import os
import select
import socket
import ssl
import sys
import time
from collections import Counter

from imd.protocol.operation import Operation
from imd.protocol.packet import Packet, PacketDecoder, encode
from imd.service.file_limit import raise_file_limit

FIRST_PUSH = 1000
SOURCES = 250
READ_BYTES = 1 << 16
FEW_EVENTS = 64
LOOK_SECONDS = 150e-6  # as the one in C: it looks for packets rather than be woken for each


class Latencies:
    """A histogram, right to 1 %."""

    def __init__(self) -> None:
        self._buckets: Counter[float] = Counter()
        self.largest = 0.0

    def add(self, us: float) -> None:
        self._buckets[float(f"{us:.3g}")] += 1
        self.largest = max(self.largest, us)

    def percentile(self, share: float) -> float:
        """What so many are not above; 0 without any."""
        wanted, seen = share * self._buckets.total(), 0
        for value in sorted(self._buckets):
            seen += self._buckets[value]
            if seen >= wanted:
                return min(value, self.largest)
        return 0.0


class Connection:
    """One client, let in."""

    def __init__(self, stream: ssl.SSLSocket, decoder: PacketDecoder) -> None:
        self.stream = stream
        self.decoder = decoder
        self.packets = 0  # pushes since "begin"


class Crowd:
    """All of them, and what they were sent."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._connections: dict[int, Connection] = {}
        self._gone = 0
        self.begin()

    def begin(self) -> None:
        """Count from zero."""
        self._packets = self._reads = 0
        self._latencies = Latencies()
        for each in self._connections.values():
            each.packets = 0

    def enter(self, connection: Connection) -> None:
        connection.stream.setblocking(False)
        self._connections[connection.stream.fileno()] = connection
        self._epoll.register(connection.stream.fileno(), select.EPOLLIN)

    def read(self) -> None:
        """Whatever has come, of everybody; waits a moment for it."""
        ready = self._epoll.poll(0.01)
        for number, _ in ready:
            self._read(self._connections[number])
        if len(ready) < FEW_EVENTS:
            time.sleep(LOOK_SECONDS)

    def look(self) -> dict[str, float]:
        """What was counted."""
        each = [one.packets for one in self._connections.values()]
        shares = {"p50_us": 0.5, "p99_us": 0.99, "p999_us": 0.999}
        return {
            "packets": self._packets,
            "reads": self._reads,
            "fewest": min(each, default=0),
            "most": max(each, default=0),
            "gone": self._gone,
            **{name: self._latencies.percentile(share) for name, share in shares.items()},
            "max_us": self._latencies.largest,
        }

    def _read(self, one: Connection) -> None:
        """All that is there: one read, whatever the number of its records."""
        self._reads += 1
        while True:
            try:
                data = one.stream.recv(READ_BYTES)
            except (ssl.SSLWantReadError, BlockingIOError):
                return
            except OSError:
                data = b""
            if not data:
                self._epoll.unregister(one.stream.fileno())
                one.stream.close()
                self._gone += 1
                return
            self._take(one, data)

    def _take(self, one: Connection, data: bytes) -> None:
        now = time.monotonic_ns()
        for packet in one.decoder.feed(data):
            if packet.operation >= FIRST_PUSH:
                one.packets += 1
                self._packets += 1
                self._latencies.add(max(0.0, (now - int.from_bytes(packet.body[:8], "big")) / 1000))


def connect(context: ssl.SSLContext, port: int, number: int, room: str, key: str) -> Connection:
    """From an address of 127/8, until it is in the room."""
    plain = socket.socket()
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    plain.bind((f"127.1.0.{number % SOURCES + 1}", 0))
    plain.connect(("127.0.0.1", port))
    stream = context.wrap_socket(plain)
    auth = {"mid": 0, "key": key, "room_id": room, "platform": "load", "accepts": [FIRST_PUSH]}
    stream.sendall(encode(Packet(Operation.AUTH, json.dumps(auth).encode(), 1)))
    decoder = PacketDecoder()
    while True:
        data = stream.recv(READ_BYTES)
        if not data:
            raise SystemExit(f"connection {number} was closed before it was let in")
        if any(packet.operation == Operation.AUTH_REPLY for packet in decoder.feed(data)):
            return Connection(stream, decoder)


def say(event: str, **fields: float) -> None:
    print(json.dumps({"event": event, **fields}), flush=True)


def main() -> None:
    """Until it is told to quit."""
    parser = argparse.ArgumentParser()
    for name in ("--port", "--connections", "--core"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--room", required=True)
    parser.add_argument("--keys", default="load")
    arguments, _ = parser.parse_known_args()  # it knows one transport, and nobody
    os.sched_setaffinity(0, {arguments.core})
    raise_file_limit(arguments.connections)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    began = time.monotonic()
    crowd = Crowd()
    for number in range(arguments.connections):
        key = f"{arguments.keys}-{number}"
        crowd.enter(connect(context, arguments.port, number, arguments.room, key))
    say("in", connections=arguments.connections, seconds=time.monotonic() - began)
    os.set_blocking(sys.stdin.fileno(), False)
    while True:
        crowd.read()
        for line in os.read(0, 4096).splitlines() if select.select([0], [], [], 0)[0] else ():
            if line == b"begin":
                crowd.begin()
                say("begun")
            elif line == b"look":
                say("look", **crowd.look())
            else:
                return


if __name__ == "__main__":
    main()
