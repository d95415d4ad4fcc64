"""Pushes to a comet, as job would send them."""

import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import zmq

from benchmarks.case import Load
from benchmarks.load_client import ROOM
from imd.protocol import rpc
from imd.protocol.packet import Packet, encode

OPERATION = 1000
WINDOW = 2  # pushes under way: one that is being written, one that waits. A third would be merged with that
PATIENCE_SECONDS = 30.0
TICK_SECONDS = 1.0


class PushFailed(Exception):
    """A comet did not take a push, or did not give it to everybody."""


class Pusher:
    """One DEALER socket to a comet's RPC. No more than ``WINDOW`` pushes, times what may be merged, are under way, paced ones
    neither: a comet that falls behind is then sent less, which shows."""

    def __init__(self, endpoint: str, *, server: str, boot: int, connections: int) -> None:
        self._server = server
        self._boot = boot
        self._connections = connections  # that each push must reach
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.connect(endpoint)
        self._under_way = 0
        self._sent = 0

    def send(self, load: Load, tick: Callable[[], None]) -> int:
        """For the load's time; how many messages, each of which was answered. Raises :class:`PushFailed`."""
        began = time.monotonic()
        ends, ticked, sent, window = began + load.seconds, began, 0, WINDOW * load.merged
        while (now := time.monotonic()) < ends:
            due = began + sent / load.rate if load.rate else now
            if self._under_way < window and due <= now:
                self._push(load.body_bytes)
                sent += 1
            elif self._under_way:
                self._wait(due - now if self._under_way < window else ends - now)
            else:
                time.sleep(min(due, ends) - now)
            if now - ticked > TICK_SECONDS:
                ticked = now
                tick()
        while self._under_way:
            if not self._wait(PATIENCE_SECONDS):
                raise PushFailed(f"the comet did not answer a push within {PATIENCE_SECONDS:g} s")
        return sent

    def close(self) -> None:
        self._context.destroy(linger=0)

    def _push(self, body_bytes: int) -> None:
        body = struct.pack(">q", time.monotonic_ns()).ljust(body_bytes, b"x")[:body_bytes]
        item = rpc.Item(rpc.Kind.ROOM, encode(Packet(OPERATION, body)), operation=OPERATION, room=ROOM)
        batch = rpc.Batch(self._server, self._boot, (item,))
        self._sent += 1
        parts = [struct.pack(">Q", self._sent), rpc.Method.PUSH.value, struct.pack(">I", 60_000), rpc.dump(batch)]
        self._socket.send_multipart(parts)
        self._under_way += 1

    def _wait(self, seconds: float) -> bool:
        """For one answer; False when none came."""
        if not self._socket.poll(max(0, int(seconds * 1000))):
            return False
        _, status, body = self._socket.recv_multipart()
        self._under_way -= 1
        if status != b"\0\0":
            raise PushFailed(body.decode(errors="replace"))
        outcome = cast(rpc.Outcomes, rpc.load(rpc.Outcomes, body)).outcomes[0]
        if outcome.delivered != self._connections:
            raise PushFailed(f"{outcome.delivered} of {self._connections} were sent a push: dropped {outcome.dropped}")
        return True


def endpoint(scratch: Path) -> str:
    """Where the comet listens for it."""
    return f"ipc://{scratch}/push"
