"""What every battery must do, on real sockets. A test subclasses :class:`BatteryContract` together with trial's
``SynchronousTestCase``, and says what makes them."""

import gc
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from imd.interfaces import Arm
from imd.service.file_limit import raise_file_limit

if TYPE_CHECKING:
    from twisted.trial.unittest import SynchronousTestCase as _Case
else:
    _Case = object

Pair = tuple[socket.socket, socket.socket]  # the sink, and its peer
MANY = 600  # sinks: more than io_uring takes at once
CROWD = 2_000
FIRES = 10_000  # after which another thread must have had its turn, and a reset have come back
BUFFER_BYTES = 65_536
PATIENCE_SECONDS = 30.0
SETTLE_SECONDS = 0.005


def tcp() -> Pair:
    """Connected over loopback. With sizes of their own the buffers do not grow."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        sink = socket.create_connection(listener.getsockname())
        peer, _ = listener.accept()
    sink.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
    sink.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sink, peer


def make_pairs(case: _Case, count: int, make: Callable[[], Pair] = socket.socketpair) -> list[Pair]:
    """The sinks do not block; all is closed after the test."""
    pairs = [make() for _ in range(count)]
    for sink, peer in pairs:
        case.addCleanup(sink.close)
        case.addCleanup(peer.close)
        sink.setblocking(False)
    return pairs


def received(peer: socket.socket, count: int) -> bytes:
    """The next ``count`` bytes, and what is there beyond them."""
    found = bytearray()
    peer.settimeout(PATIENCE_SECONDS)
    while len(found) < count:
        data = peer.recv(1 << 20)
        assert data, f"the end after {len(found)} bytes of {count}"
        found += data
    peer.setblocking(False)
    try:
        while data := peer.recv(1 << 20):
            found += data
    except BlockingIOError:
        pass
    return bytes(found)


def fill(sink: socket.socket) -> None:
    """Until it takes nothing more. One of TCP may take more later, when its peer's kernel has made room."""
    try:
        while True:
            sink.send(b"-" * 65_536)
    except BlockingIOError:
        return


class BatteryContract(_Case):
    """Sinks of both kinds, some of them full, closed, or reset."""

    def arm(self) -> Arm:
        """What makes one."""
        raise NotImplementedError

    def pairs(self, count: int, make: Callable[[], Pair] = socket.socketpair) -> list[Pair]:
        return make_pairs(self, count, make)

    def test_each_gets_all_in_order(self) -> None:
        """Fire by fire, over TCP and unix sockets."""
        for make in (tcp, socket.socketpair):
            pairs = self.pairs(20, make)
            battery = self.arm()([sink for sink, _ in pairs])
            shots = [b"%d;" % number for number in range(100)]
            for shot in shots:
                self.assertEqual(battery.fire(shot), [])
            expected = b"".join(shots)
            for _, peer in pairs:
                self.assertEqual(received(peer, len(expected)), expected)

    def test_nobody(self) -> None:
        """Nothing is sent to nobody."""
        self.assertEqual(self.arm()([]).fire(b"abc"), [])

    def test_any_number(self) -> None:
        """One, and a few, and more than one system call takes."""
        for count in (1, 2, 5, 127, 128, 129, 256, MANY):
            pairs = self.pairs(count)
            self.assertEqual(self.arm()([sink for sink, _ in pairs]).fire(b"abc"), [])
            self.assertEqual([received(peer, 3) for _, peer in pairs], [b"abc"] * count)
            for pair in pairs:
                for each in pair:
                    each.close()

    def test_a_crowd(self) -> None:
        """2,000, the last of which is full."""
        raise_file_limit(2 * CROWD)
        pairs = self.pairs(CROWD)
        fill(pairs[-1][0])
        self.assertEqual(self.arm()([sink for sink, _ in pairs]).fire(b"abc"), [(CROWD - 1, 0)])
        self.assertEqual({received(peer, 3) for _, peer in pairs[:-1]}, {b"abc"})

    def test_any_size(self) -> None:
        """From nothing and one byte to a megabyte: what is not taken is said, and what is taken arrives."""
        for size in (0, 1, 100, 4096, 1 << 20):
            for make in (tcp, socket.socketpair):
                pairs = self.pairs(6, make)
                data = bytes(number % 251 for number in range(size))
                short = dict(self.arm()([sink for sink, _ in pairs]).fire(data))
                for place, (sink, peer) in enumerate(pairs):
                    taken = short.get(place, size)
                    sink.close()
                    self.assertEqual(received(peer, taken), data[:taken])
                if size < BUFFER_BYTES:
                    self.assertEqual(short, {})

    def test_who_falls_short_is_said_by_place(self) -> None:
        """Nothing or a part of it; the others get all."""
        pairs = self.pairs(8)
        battery = self.arm()([sink for sink, _ in pairs])
        fill(pairs[0][0])
        pairs[2][0].close()
        fill(pairs[7][0])
        self.assertEqual(battery.fire(b"abc"), [(0, 0), (2, 0), (7, 0)])
        self.assertEqual([received(pairs[place][1], 3) for place in (1, 3, 4, 5, 6)], [b"abc"] * 5)
        big = b"x" * (16 << 20)  # more than a socket takes at once
        short = battery.fire(big)
        self.assertEqual([place for place, _ in short], list(range(8)))
        for place, taken in short:
            self.assertEqual(taken > 0, place not in (0, 2, 7), place)
            self.assertLess(taken, len(big))

    def test_what_was_refused_is_never_sent(self) -> None:
        """A full socket is not waited for: what arrives, once there is room again, is what was said to be taken."""
        for make in (tcp, socket.socketpair):
            pairs = self.pairs(8, make)
            battery = self.arm()([sink for sink, _ in pairs])
            taken = [b""] * len(pairs)
            for number in range(60):
                shot = bytes([number]) * BUFFER_BYTES
                short = dict(battery.fire(shot))
                taken = [before + shot[: short.get(place, len(shot))] for place, before in enumerate(taken)]
            self.assertEqual(len(short), len(pairs))  # all are full
            for (_, peer), expected in zip(pairs, taken, strict=True):
                self.assertEqual(received(peer, len(expected)), expected)
            self.assertEqual(battery.fire(b"end"), [])
            for sink, peer in pairs:
                sink.close()
                self.assertEqual(received(peer, 3), b"end")

    def test_closed_before(self) -> None:
        """A sink that was closed when the battery was made takes nothing, ever."""
        pairs = self.pairs(6)
        pairs[3][0].close()
        self.assertEqual(pairs[3][0].fileno(), -1)
        battery = self.arm()([sink for sink, _ in pairs])
        self.assertEqual([battery.fire(b"a"), battery.fire(b"b")], [[(3, 0)], [(3, 0)]])

    def test_peers_that_went(self) -> None:
        """A reset, and a peer that closed, take nothing from the others: they are short, then or soon."""
        for make in (tcp, socket.socketpair):
            pairs = self.pairs(6, make)
            battery = self.arm()([sink for sink, _ in pairs])
            if make is tcp:
                pairs[1][1].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            pairs[1][1].close()
            pairs[4][1].close()
            fires = 1
            while battery.fire(b"d") != [(1, 0), (4, 0)] and fires < FIRES:  # TCP finds out by the answer to the first
                fires += 1
                time.sleep(SETTLE_SECONDS)
            self.assertEqual([received(pairs[place][1], fires) for place in (0, 2, 3, 5)], [b"d" * fires] * 4)
            self.assertLess(fires, FIRES)

    def test_other_threads_run_meanwhile(self) -> None:
        """The interpreter is free while the kernel works: a thread that never gets it by its own asking gets it."""
        ran = threading.Event()
        go = threading.Lock()
        go.acquire()

        def wait() -> None:
            with go:
                ran.set()

        battery = self.arm()([sink for sink, _ in self.pairs(64)])
        other = threading.Thread(target=wait)
        other.start()
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1_000.0)
        try:
            go.release()
            fires = 0
            while not ran.is_set() and fires < FIRES:
                battery.fire(b"x")
                fires += 1
            self.assertTrue(ran.is_set())
        finally:
            sys.setswitchinterval(interval)
            other.join()

    def test_keeps_nothing(self) -> None:
        """Neither the bytes, nor the sinks once it is gone."""
        pairs = self.pairs(8)
        fill(pairs[5][0])
        sinks = [sink for sink, _ in pairs]
        data = bytes(bytearray(b"some bytes of our own"))
        counts = [sys.getrefcount(each) for each in (data, *sinks)]
        battery = self.arm()(sinks)
        for _ in range(200):
            self.assertEqual(battery.fire(data), [(5, 0)])
        del battery
        gc.collect()
        self.assertEqual([sys.getrefcount(each) for each in (data, *sinks)], counts)
