"""Pushes to a comet, as job would send them."""

import struct
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import cast

import zmq

from benchmarks.case import Load, Target
from benchmarks.load_client import ROOM
from imd.protocol import rpc
from imd.protocol.packet import Packet, encode
from imd.protocol.timeline import Place

OPERATION = 1000
WINDOW = 2  # requests under way: one that is being written, one that waits
EPOCH = "bench"  # of the room's timeline
PATIENCE_SECONDS = 30.0
TICK_SECONDS = 1.0


class PushFailed(Exception):
    """A push was not taken, or not given to everybody."""


def body(size: int) -> bytes:
    """It says when it was made."""
    return struct.pack(">q", time.monotonic_ns()).ljust(size, b"x")[:size]


class Pusher:
    """One DEALER socket to a comet's RPC.

    It stands for a job and for the back ends that push to it. Of the messages that were accepted and are not yet delivered
    there are ``WINDOW`` times as many as may be merged, and each that is delivered is followed by the next. What is accepted
    while requests are under way leaves in the next one, as one item, as job has it. Where nothing is to be merged, each second
    message to the room is a kept one: a comet that finds two of a kind waiting writes them together. Paced, a comet that falls
    behind is sent less, which shows.
    """

    def __init__(self, endpoint: str, *, server: str, boot: int, connections: int) -> None:
        self._server = server
        self._boot = boot
        self.receivers = connections  # that each push must reach; who does not read may be left out
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.connect(endpoint)
        self._gathered: list[bytes] = []  # packets that wait for a request
        self._under_way: deque[int] = deque()  # packets of each request
        self._sent = 0
        self._good = 0, b""  # the last answer that was as wanted: the next is mostly the same, and need not be read

    def send(self, load: Load, tick: Callable[[], None]) -> int:
        """For the load's time; how many messages, each of which was answered. Raises :class:`PushFailed`."""
        began = time.monotonic()
        ends, ticked, sent = began + load.seconds, began, 0
        while (now := time.monotonic()) < ends:
            due = began + sent / load.rate if load.rate else now
            if self._outstanding < WINDOW * load.merged and due <= now:
                self._gathered.append(encode(Packet(OPERATION, body(load.body_bytes))))
                sent += 1
            elif self._gathered and len(self._under_way) < WINDOW:
                self._request(load)
            elif self._under_way:
                self._wait(due - now if self._outstanding < WINDOW * load.merged else ends - now)
            else:
                time.sleep(min(due, ends) - now)
            if now - ticked > TICK_SECONDS:
                ticked = now
                tick()
        self._finish(load)
        return sent

    def close(self) -> None:
        self._context.destroy(linger=0)

    @property
    def _outstanding(self) -> int:
        return len(self._gathered) + sum(self._under_way)

    def _finish(self, load: Load) -> None:
        while self._outstanding:
            if self._gathered and len(self._under_way) < WINDOW:
                self._request(load)
            elif not self._wait(PATIENCE_SECONDS):
                raise PushFailed(f"the comet did not answer a push within {PATIENCE_SECONDS:g} s")

    def _request(self, load: Load) -> None:
        packets, self._gathered = self._gathered[: load.merged], self._gathered[load.merged :]
        self._sent += 1
        kept = load.merged == 1 and load.to == "room" and self._sent % 2 == 0
        places = (Place(self._sent, EPOCH),) if kept else ()
        batch = rpc.Batch(self._server, self._boot, (item(load.to, packets, places),))
        parts = [struct.pack(">Q", self._sent), rpc.Method.PUSH.value, struct.pack(">I", 60_000), rpc.dump(batch)]
        self._socket.send_multipart(parts)
        self._under_way.append(len(packets))

    def _wait(self, seconds: float) -> bool:
        """For one answer; False when none came."""
        self._socket.setsockopt(zmq.RCVTIMEO, max(0, int(seconds * 1000)))  # a poller costs more than all of the rest
        try:
            _, status, answer = self._socket.recv_multipart()
        except zmq.Again:
            return False
        wanted = self._under_way.popleft() * self.receivers
        if status != b"\0\0":
            raise PushFailed(answer.decode(errors="replace"))
        if (wanted, answer) == self._good:
            return True
        outcome = cast(rpc.Outcomes, rpc.load(rpc.Outcomes, answer)).outcomes[0]
        if outcome.delivered < wanted:
            raise PushFailed(f"{outcome.delivered} of {wanted} were sent a push: dropped {outcome.dropped}")
        self._good = wanted, answer
        return True


def item(to: Target, packets: list[bytes], places: tuple[Place, ...] = ()) -> rpc.Item:
    """Packets to the room, or to everybody. ``places``: in the room's timeline, one a packet; empty when they are not kept."""
    joined, count = b"".join(packets), len(packets)
    if to == "all":
        return rpc.Item(rpc.Kind.ALL, joined, count, operation=OPERATION)
    return rpc.Item(rpc.Kind.ROOM, joined, count, operation=OPERATION, room=ROOM, places=places)


def endpoint(scratch: Path) -> str:
    """Where the comet listens for it."""
    return f"ipc://{scratch}/push"
