"""A share of the channels."""

from twisted.trial.unittest import SynchronousTestCase

from imd.comet.bucket import Bucket
from tests.support.comet_fakes import channel


class BucketTests(SynchronousTestCase):
    """Keys and their channels."""

    def test_only_what_is_still_its_own_is_removed(self) -> None:
        """A late loss removes nothing of the newcomer's."""
        bucket = Bucket()
        older, newer = channel("k"), channel("k")
        self.assertIsNone(bucket.put(older))
        self.assertIs(bucket.put(newer), older)
        self.assertFalse(bucket.remove(older))
        self.assertEqual(bucket.snapshot(), (newer,))
        self.assertTrue(bucket.remove(newer))
        self.assertFalse(bucket.remove(newer))
