"""Where a client stands in a timeline."""

from twisted.trial.unittest import SynchronousTestCase

from imd.comet.position import Position, Stage
from tests.support.version_2 import live_position


class PositionTests(SynchronousTestCase):
    """What is next, what was had, what is not."""

    def test_next(self) -> None:
        """It moves behind what is next."""
        position = live_position(4)
        self.assertEqual((position.take("e", 5, 3), position.last, position.stage), (0, 7, Stage.LIVE))

    def test_follow(self) -> None:
        """It moves behind just what is next, while it is live."""
        position = live_position(4)
        refused = [position.follow(2, 4, "e"), position.follow(2, 6, "e"), position.follow(2, 5, "f")]
        self.assertEqual((refused, position.last, position.stage), ([False] * 3, 4, Stage.LIVE))
        self.assertEqual((position.follow(2, 5, "e"), position.last), (True, 6))
        position.stage = Stage.READING
        self.assertEqual((position.follow(2, 7, "e"), position.last), (False, 6))

    def test_had(self) -> None:
        """All of it, or the beginning."""
        position = live_position(4)
        self.assertEqual((position.take("e", 3, 2), position.last), (2, 4))
        self.assertEqual((position.take("e", 3, 4), position.last), (2, 6))

    def test_gap(self) -> None:
        """It is behind, and remembers how far the timeline goes."""
        position = live_position(4)
        self.assertEqual((position.take("e", 6, 2), position.last, position.stage), (0, 4, Stage.BEHIND))
        self.assertEqual((position.head, position.doubt), (7, False))

    def test_not_live(self) -> None:
        """What is next is left to the timeline; what was had is a duplicate all the same."""
        for stage in (Stage.OPENING, Stage.READING, Stage.WAITING):
            position = live_position(4)
            position.stage = stage
            self.assertEqual((position.take("e", 4, 2), position.last, position.stage), (1, 4, stage))
            self.assertEqual(position.head, 5)

    def test_another_epoch(self) -> None:
        """A doubt, and no place."""
        position = live_position(4)
        self.assertEqual((position.take("f", 5, 1), position.last, position.stage), (0, 4, Stage.BEHIND))
        self.assertEqual((position.head, position.doubt), (4, True))

    def test_opening(self) -> None:
        """What comes before the first page is remembered, and counts if the page is of the same epoch."""
        for epoch, head, doubt in (("e", 9, False), ("f", 7, True)):
            position = Position()
            position.take("e", 9, 1)
            position.opened(6, 7, epoch)
            self.assertEqual((position.last, position.head, position.doubt), (6, head, doubt))

    def test_small(self) -> None:
        """There are some for each of 100,000 channels."""
        self.assertFalse(hasattr(Position(), "__dict__"))
