"""A job's share of the broker."""

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from imd.backend.assignment_static import AssignmentStatic
from imd.service.partitions_part import PartitionsPart


class PartitionsPartTests(SynchronousTestCase):
    """Between an assignment and who takes it."""

    def test_open_to_close(self) -> None:
        """Owned between the two; without one a job is a spare, and no trouble."""
        owned: list[frozenset[int]] = []

        async def assigned(now: frozenset[int]) -> None:
            owned.append(now)

        part = PartitionsPart(AssignmentStatic(owned=(2, 5)), assigned)
        self.successResultOf(Deferred.fromCoroutine(part.open()))
        self.assertIsNone(part.trouble())
        self.successResultOf(Deferred.fromCoroutine(part.close()))
        self.assertEqual(owned, [frozenset({2, 5}), frozenset()])
