"""The witness in memory."""

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from imd.backend.witness_memory import WitnessMemory
from imd.interfaces import Sighting


class WitnessMemoryTests(SynchronousTestCase):
    """What was noted is recalled."""

    def test_the_last_note_of_each_partition(self) -> None:
        """Of each the last, of others nothing."""
        witness = WitnessMemory()
        one, two = Sighting("e", "t", 1), Sighting("e", "t", 2)
        for partition, sighting in ((3, one), (3, two), (5, one)):
            witness.note(partition, [sighting])
        recalled = self.successResultOf(Deferred.fromCoroutine(witness.recall()))
        self.assertEqual(recalled, {3: (two,), 5: (one,)})
