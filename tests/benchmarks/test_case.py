"""What is measured."""

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.case import KINDS, SUBJECTS, Audience, Kind, Load, audiences, limit_of, loads, meets


class CaseTests(SynchronousTestCase):
    """Audiences and loads."""

    def test_every_pair(self) -> None:
        """Each transport with each number of connections."""
        found = [str(each) for each in audiences(("tcp", "websocket"), (1_000, 10_000))]
        self.assertEqual(found, ["tcp × 1,000", "websocket × 1,000", "tcp × 10,000", "websocket × 10,000"])
        self.assertEqual(audiences(("tcp", "tls"), (5_000,)), [Audience("tcp", 5_000)])

    def test_paces(self) -> None:
        """Those of the figures that imd is compared with; in between, 50,000 deliveries a second."""
        paces = {count: found(count, "paced")[0].rate for count in (10, 1_000, 5_000, 10_000, 15_000)}
        self.assertEqual(paces, {10: 20, 1_000: 20, 5_000: 10, 10_000: 5, 15_000: 50_000 / 15_000})

    def test_loads(self) -> None:
        """Each kind by itself, with bodies of each size; merged is what is called so only."""
        said = ["20 msg/s", "flat out", "flat out, 20 merged", "flat out, broadcast"]
        self.assertEqual([each.pace for each in found(1_000, *KINDS)], said)
        self.assertEqual(next(str(each) for each in found(1_000, "flat", sizes=(10, 100))), "flat out, 10 bytes")
        self.assertEqual(found(1_000, "flat", sizes=(10, 100)), [Load(0, 2, 10), Load(0, 2, 100)])

    def test_who_meets_whom(self) -> None:
        """The loop has no TLS, and stands in for itself there; over HTTP only a pace makes sense."""
        tls, flat, paced = Audience("tls", 10), Load(0, 2, 100), Load(20, 2, 100)
        self.assertEqual([name for name in SUBJECTS if not meets(name, tls, paced)], ["loop", "imd-http"])
        self.assertEqual([name for name in SUBJECTS if meets(name, tls, Load(0, 2, 100, merged=20))], [])
        self.assertEqual([name for name in SUBJECTS if not meets(name, Audience("tcp", 10), flat)], ["imd-http"])
        self.assertEqual(
            (limit_of(tls), limit_of(Audience("websocket", 10)).transport), (Audience("tcp", 10), "websocket")
        )


def found(connections: int, *kinds: Kind, sizes: tuple[int, ...] = (100,)) -> list[Load]:
    return loads(connections, kinds=kinds, seconds=2, body_bytes=sizes, merged=20)
