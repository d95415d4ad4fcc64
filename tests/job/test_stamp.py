"""Promises of a stamp."""

from twisted.trial.unittest import SynchronousTestCase

from imd.interfaces import Location
from imd.job.stamp import name_of


class StampTests(SynchronousTestCase):
    """Names of processes."""

    def test_a_start_has_a_name(self) -> None:
        """Another start of the same process has another."""
        self.assertEqual(name_of(Location("job1", 1_700_000_000_000)), "job1@1700000000000")
