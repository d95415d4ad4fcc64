"""Where the time goes: shares that add up, and a picture of them."""

import os
from xml.etree import ElementTree

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.profile import COLOURS, Spent, picture, share, spent, table
from benchmarks.sampled import ROOMS

NOTHING = Spent(0.0, 0.0, 0.0, 0.0)
COSTS = {"logic": {"logic": 8.0, "kernel": 2.0}, "comet": {"comet": 3.0, "protocol": 0.05, "kernel": 7.0}}


class ShareTests(SynchronousTestCase):
    """Of one process."""

    def test_rooms(self) -> None:
        """Python's user time by samples; ZeroMQ's threads and the kernel as they are accounted; nothing is lost."""
        found = share(NOTHING, Spent(3.0, 0.5, 0.1, 1.0), {"logic": 20, "zmq": 5, "kazoo": 5}, 1_000_000)
        self.assertEqual({room: round(us, 6) for room, us in found.items()}, {
            "logic": 2.0, "zmq": 1.0, "other": 0.6, "kernel": 1.0
        })  # fmt: skip
        self.assertEqual(list(found), [room for room in COLOURS if room in found])

    def test_without_samples(self) -> None:
        """A process that is not ours is one room."""
        self.assertEqual(
            share(NOTHING, Spent(2.0, 0.0, 0.0, 1.0), {}, 1_000_000, main="Redis"), {"Redis": 2.0, "kernel": 1.0}
        )

    def test_spent(self) -> None:
        """Never less than before."""
        before = spent(os.getpid())
        sum(range(3_000_000))
        self.assertGreaterEqual(spent(os.getpid()).main, before.main)

    def test_colours(self) -> None:
        """Each room that is told apart has one; kazoo's is counted among the others."""
        self.assertEqual({room for _, room in ROOMS} - {"kazoo"} - set(COLOURS), set())


class PictureTests(SynchronousTestCase):
    """For people."""

    def test_picture(self) -> None:
        """It is XML that asks for nothing else; each share is there with its figure, bars as long as they are worth."""
        drawn = picture(COSTS, "a <title>")
        root = ElementTree.fromstring(drawn)
        said = [each.text for each in root.iter("{http://www.w3.org/2000/svg}title")]
        self.assertEqual(
            said,
            [
                "logic, logic: 8.0 µs",
                "logic, kernel: 2.0 µs",
                "comet, comet: 3.0 µs",
                "comet, protocol: 0.1 µs",
                "comet, kernel: 7.0 µs",
            ],
        )
        bars = {
            title.text: float(rect.attrib["width"])
            for rect in root.iter("{http://www.w3.org/2000/svg}rect")
            for title in rect
        }
        self.assertEqual(round(bars["logic, logic: 8.0 µs"] / bars["logic, kernel: 2.0 µs"], 1), 4.0)
        self.assertNotIn("href", drawn)
        self.assertEqual(drawn.count("http"), 1)

    def test_table(self) -> None:
        """The same in figures."""
        self.assertEqual(
            table(COSTS, "t").rows,
            (
                ("logic", "8.0", ""),
                ("comet", "", "3.0"),
                ("protocol", "", "0.1"),
                ("kernel", "2.0", "7.0"),
                ("together", "10.0", "10.1"),
            ),
        )
