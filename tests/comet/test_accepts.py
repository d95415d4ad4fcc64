"""Shared accept sets."""

from twisted.trial.unittest import SynchronousTestCase

from imd.comet.accepts import MAX_OPERATIONS, MAX_SETS, AcceptSets


class AcceptSetsTests(SynchronousTestCase):
    """Equal ones are one."""

    def test_shared(self) -> None:
        """Whatever the order and the repeats."""
        sets = AcceptSets()
        self.assertIs(sets.share([1000, 1001]), sets.share((1001, 1000, 1000)))
        self.assertEqual(sets.share([1000]), {1000})

    def test_bounded(self) -> None:
        """Neither many sets nor large ones are remembered."""
        sets = AcceptSets()
        for number in range(3 * MAX_SETS):
            self.assertEqual(sets.share([number]), {number})
            self.assertLessEqual(len(sets._sets), MAX_SETS)
        large = range(MAX_OPERATIONS + 1)
        self.assertIsNot(sets.share(large), sets.share(large))
        self.assertEqual(sets.share(large), set(large))
