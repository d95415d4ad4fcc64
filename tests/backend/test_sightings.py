"""What a process has seen of a partition, and what of it the store has judged."""

from twisted.trial.unittest import SynchronousTestCase

from imd.backend.sightings import MOST, Sightings
from imd.interfaces import Sighting


class SightingsTests(SynchronousTestCase):
    """One sighting, but while answers of two servers cross each other."""

    def test_nothing_was_seen(self) -> None:
        """Nothing is told."""
        seen = Sightings()
        self.assertEqual((seen.told(), seen.all(), seen.appended), ("", (), 0))

    def test_the_highest_count_stays(self) -> None:
        """Answers that come late do not lower it, and are no news."""
        seen = Sightings()
        self.assertTrue(seen.learn("", Sighting("e", "t", 5)))
        self.assertFalse(seen.learn("", Sighting("e", "t", 4)))
        self.assertTrue(seen.learn("e/t/5", Sighting("e", "t", 7)))
        self.assertEqual((seen.told(), seen.appended), ("e/t/7", 7))

    def test_what_was_judged_goes(self) -> None:
        """The store was told the old tenure and answers the new one: the old one has done its work."""
        seen = Sightings()
        seen.learn("", Sighting("e", "t", 5))
        self.assertTrue(seen.learn("e/t/5", Sighting("e", "u", 6)))
        self.assertEqual(seen.all(), (Sighting("e", "u", 6),))

    def test_what_was_not_judged_stays(self) -> None:
        """An answer of the old server that comes after the new one's was told to nobody: it is told next, too."""
        seen = Sightings()
        seen.learn("", Sighting("e", "old", 5))
        seen.learn("e/old/5", Sighting("e", "new", 5))
        seen.learn("e/old/5", Sighting("e", "old", 8))
        self.assertEqual(seen.told(), "e/new/5 e/old/8")
        seen.learn("e/new/5 e/old/8", Sighting("f", "new", 9))
        self.assertEqual(seen.told(), "f/new/9")

    def test_recalled_ones_are_told(self) -> None:
        """Beside what was seen itself; the highest counts."""
        seen = Sightings()
        seen.learn("", Sighting("e", "t", 5))
        seen.recall([Sighting("e", "t", 9), Sighting("e", "s", 3)])
        self.assertEqual(seen.all(), (Sighting("e", "t", 9), Sighting("e", "s", 3)))

    def test_they_are_few(self) -> None:
        """However many are recalled."""
        seen = Sightings()
        seen.recall(Sighting("e", str(number), number) for number in range(20))
        self.assertEqual([each.appended for each in seen.all()], list(range(20 - MOST, 20)))
