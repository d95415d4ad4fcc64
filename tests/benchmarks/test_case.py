"""What is measured."""

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.case import Audience, Load, audiences, loads


class CaseTests(SynchronousTestCase):
    """Audiences and loads."""

    def test_every_pair(self) -> None:
        """Each transport with each number of connections."""
        found = [str(each) for each in audiences(("tcp", "websocket"), (1_000, 10_000))]
        self.assertEqual(found, ["tcp × 1,000", "websocket × 1,000", "tcp × 10,000", "websocket × 10,000"])
        self.assertEqual(audiences(("tcp",), (5,)), [Audience("tcp", 5)])

    def test_paces(self) -> None:
        """Those of the figures that imd is compared with; in between, 50,000 deliveries a second."""
        paces = {count: loads(count, seconds=2, body_bytes=100)[0].rate for count in (10, 1_000, 5_000, 10_000, 15_000)}
        self.assertEqual(paces, {10: 20, 1_000: 20, 5_000: 10, 10_000: 5, 15_000: 50_000 / 15_000})

    def test_loads(self) -> None:
        """Paced and flat out; merged only when that is asked for."""
        found = [str(each) for each in loads(1_000, seconds=2, body_bytes=100, merged=20)]
        self.assertEqual(found, ["20 msg/s", "flat out", "flat out, 20 merged"])
        self.assertEqual(loads(1_000, seconds=2, body_bytes=10)[1:], [Load(0, 2, 10)])
