"""What all stores of timelines have in common."""

from twisted.trial.unittest import SynchronousTestCase

from imd.backend.timelines import HEAD_SECONDS, UNUSED_ROOM_SECONDS, head_life_ms

HEAD_MS, UNUSED_MS = int(HEAD_SECONDS * 1000), int(UNUSED_ROOM_SECONDS * 1000)


class HeadLifeTests(SynchronousTestCase):
    """How long a head is remembered in which nothing is left."""

    def test_whoever_joins_makes_one(self) -> None:
        """Of a room in which nothing ever was it is not remembered for long; of inboxes, which members have, it is."""
        self.assertEqual(head_life_ms("r:chat://1", 0, HEAD_MS), UNUSED_MS)
        self.assertEqual([head_life_ms(name, last, HEAD_MS) for name, last in (("r:a", 1), ("m:7", 0))], [HEAD_MS] * 2)

    def test_shorter_by_the_configuration(self) -> None:
        """Then all are alike."""
        self.assertEqual(head_life_ms("r:a", 0, 5), 5)
