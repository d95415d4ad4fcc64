"""The loop in Python: real sockets."""

import socket

from twisted.trial.unittest import SynchronousTestCase

from imd.interfaces import Arm
from imd.transport.battery import SocketBattery


class BatteryTests(SynchronousTestCase):
    """Pairs of sockets, some of them full, closed, or reset."""

    arm: Arm = SocketBattery

    def pairs(self, count: int) -> list[tuple[socket.socket, socket.socket]]:
        pairs = [socket.socketpair() for _ in range(count)]
        for pair in pairs:
            for each in pair:
                self.addCleanup(each.close)
                each.setblocking(False)
        return pairs

    def fill(self, sink: socket.socket) -> None:
        with self.assertRaises(BlockingIOError):
            while True:
                sink.send(b"x" * 65536)

    def test_all(self) -> None:
        """Each gets the bytes, once a shot and in order."""
        pairs = self.pairs(5)
        battery = self.arm([ours for ours, _ in pairs])
        self.assertEqual([battery.fire(b"abc"), battery.fire(b"d")], [[], []])
        self.assertEqual([theirs.recv(100) for _, theirs in pairs], [b"abcd"] * 5)

    def test_nobody(self) -> None:
        """Is told nothing."""
        self.assertEqual(self.arm([]).fire(b"abc"), [])

    def test_short(self) -> None:
        """Who takes nothing, or a part, is said by its place; the others get theirs."""
        pairs = self.pairs(5)
        self.fill(pairs[0][0])
        pairs[2][0].close()
        pairs[4][1].close()
        self.assertEqual(self.arm([ours for ours, _ in pairs]).fire(b"abc"), [(0, 0), (2, 0), (4, 0)])
        self.assertEqual([pairs[place][1].recv(100) for place in (1, 3)], [b"abc"] * 2)
        size = 4 << 20  # more than a socket takes at once
        pairs = self.pairs(2)
        short = self.arm([ours for ours, _ in pairs]).fire(b"x" * size)
        self.assertEqual([place for place, _ in short], [0, 1])
        for _, sent in short:
            self.assertTrue(0 < sent < size)
