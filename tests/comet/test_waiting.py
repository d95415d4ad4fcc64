"""Packets behind one that is handled."""

from twisted.trial.unittest import SynchronousTestCase

from imd.comet.waiting import Waiting
from imd.protocol.packet import Packet


class WaitingTests(SynchronousTestCase):
    """In order, and bounded."""

    def test_in_order(self) -> None:
        """First come, first taken."""
        waiting = Waiting()
        packets = [Packet(4, b"%d" % number) for number in range(5)]
        self.assertTrue(all(waiting.keep(packet, limit=5, limit_bytes=5) for packet in packets))
        self.assertEqual([waiting.take() for _ in range(len(waiting))], packets)
        self.assertFalse(waiting)

    def test_bounded_in_number(self) -> None:
        """What was taken makes room."""
        waiting = Waiting()
        kept = [waiting.keep(Packet(2), limit=2, limit_bytes=10) for _ in range(3)]
        self.assertEqual(kept, [True, True, False])
        waiting.take()
        self.assertTrue(waiting.keep(Packet(2), limit=2, limit_bytes=10))

    def test_bounded_in_bytes(self) -> None:
        """One that is refused takes no room: a smaller one still fits."""
        waiting = Waiting()
        kept = [waiting.keep(Packet(4, b"x" * size), limit=9, limit_bytes=10) for size in (6, 5, 4, 1)]
        self.assertEqual(kept, [True, False, True, False])
        waiting.take()
        self.assertTrue(waiting.keep(Packet(4, b"x" * 6), limit=9, limit_bytes=10))
