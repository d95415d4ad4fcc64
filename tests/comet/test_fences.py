"""Owners of partitions."""

from twisted.trial.unittest import SynchronousTestCase

from imd.comet.fences import Fences
from imd.errors import Fenced


class FencesTests(SynchronousTestCase):
    """The newest owner's rises."""

    def test_an_older_owner(self) -> None:
        """Is refused once a newer one was here; in its own partition only."""
        fences = Fences()
        fences.check(1, 5)
        fences.check(1, 5)
        fences.check(1, 6)
        fences.check(2, 3)
        self.assertRaises(Fenced, fences.check, 1, 5)
        fences.check(1, 6)

    def test_no_partition(self) -> None:
        """Nothing is asked."""
        fences = Fences()
        fences.check(-1, 5)
        fences.check(-1, 1)
