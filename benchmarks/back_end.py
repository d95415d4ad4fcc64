"""A back end that pushes over HTTP: prepared requests on connections that are kept, with next to no work of its own."""

import json
import select
import socket
import struct
import time
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle

STAMP_BYTES = 9  # of a body, which hold the time: 12 letters of base64, no bit of which is another byte's
STAMP = b"@" * 12  # where those letters go
PATIENCE_SECONDS = 30.0
TICK_SECONDS = 1.0
READ_BYTES = 1 << 18


class NotAccepted(Exception):
    """logic answered something else than that it has the pushes."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a back end did. Times are from when a request was due to its answer, milliseconds."""

    pushes: int
    requests: int
    seconds: float  # from the first request to the last answer
    late: int  # requests that were not sent within a tenth of a second of when they were due
    p50_ms: float
    p99_ms: float


def requests(members: range, *, together: int, body_bytes: int, keep: bool) -> list[bytes]:
    """One for each ``together`` of the members, each of whom is pushed to once; bodies hold :data:`STAMP`.

    ``keep``: as members' pushes are by default, else live.
    """
    filler = b64encode(b"x" * (body_bytes - STAMP_BYTES)).decode()
    body = STAMP.decode() + filler
    live = {} if keep else {"keep": False}
    pushes = [{"to": {"mids": [mid]}, "op": 1000, "body_base64": body, **live} for mid in members]
    found = []
    for start in range(0, len(pushes), together):
        said = pushes[start : start + together] if together > 1 else pushes[start]
        content = json.dumps(said, separators=(",", ":")).encode()
        head = f"POST /v1/push HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n\r\n"
        found.append(head.encode() + content)
    return found


class _Connection:
    """One request under way at most."""

    __slots__ = ("answer", "due", "socket")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.answer = b""  # what has come of it
        self.due = 0.0  # when the request under way was to be sent


class BackEnd:
    """Pushes on ``connections`` connections, at a pace or as fast as answers come."""

    def __init__(self, port: int, prepared: Sequence[bytes], *, together: int, connections: int) -> None:
        self._together = together  # pushes in each of ``prepared``
        self._next = cycle(prepared)
        self._epoll = select.epoll()
        self._connections = [_Connection(port) for _ in range(connections)]
        self._by_number = {each.socket.fileno(): each for each in self._connections}
        for number in self._by_number:
            self._epoll.register(number, select.EPOLLIN)

    def push(self, rate: float, seconds: float, tick: Callable[[], None]) -> Pushed:
        """``rate``: requests a second; 0 = as many as are answered. Raises :class:`NotAccepted`."""
        free = list(self._connections)
        times: list[float] = []
        began = now = time.monotonic()
        ends, ticked, sent, late = began + seconds, began, 0, 0
        while True:
            while free and now < ends and (due := began + sent / rate if rate else now) <= now:
                late += now - due > 0.1
                self._send(free.pop(), due)
                sent += 1
                now = time.monotonic()
            if len(free) == len(self._connections) and now >= ends:
                break
            wait = min(due if free else ends, ends) - now if now < ends else PATIENCE_SECONDS
            ready = self._epoll.poll(max(0.0, wait))
            now = time.monotonic()
            if not ready and now > ends + PATIENCE_SECONDS:
                raise NotAccepted(f"no answer within {PATIENCE_SECONDS:g} s")
            for number, _ in ready:
                connection = self._by_number[number]
                if self._answered(connection):
                    times.append(now - connection.due)
                    free.append(connection)
            if now - ticked > TICK_SECONDS:
                ticked = now
                tick()
        times.sort()
        return Pushed(
            pushes=sent * self._together,
            requests=sent,
            seconds=now - began,
            late=late,
            p50_ms=1000 * _percentile(times, 0.5),
            p99_ms=1000 * _percentile(times, 0.99),
        )

    def close(self) -> None:
        self._epoll.close()
        for each in self._connections:
            each.socket.close()

    def _send(self, connection: _Connection, due: float) -> None:
        connection.due = due
        stamp = b64encode(struct.pack(">q", int(due * 1e9)) + b"x")
        connection.socket.sendall(next(self._next).replace(STAMP, stamp))

    def _answered(self, connection: _Connection) -> bool:
        """Read once; whether all of the answer is there."""
        data = connection.socket.recv(READ_BYTES)
        if not data:
            raise NotAccepted("logic hung up")
        answer = connection.answer = connection.answer + data if connection.answer else data
        start = answer.find(b"\r\n\r\n") + 4
        if start < 4:
            return False
        length = answer.lower().find(b"content-length:", 0, start)
        if len(answer) < start + int(answer[length + 15 : answer.find(b"\r\n", length)]):
            return False
        if not answer.startswith(b"HTTP/1.1 200") or answer.count(b'"accepted"') != self._together:
            raise NotAccepted(answer[:2000].decode(errors="replace"))
        connection.answer = b""
        return True


def _percentile(times: Sequence[float], share: float) -> float:
    """Of sorted ones; 0 without any."""
    return times[min(len(times) - 1, int(share * len(times)))] if times else 0.0
