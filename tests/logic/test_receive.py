"""The default hook does nothing, and does not fail at it."""

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from imd.logic.receive import Discard
from imd.protocol import rpc


class DiscardTests(SynchronousTestCase):
    """One promise."""

    def test_takes_anything(self) -> None:
        """It ends at once."""
        self.assertIsNone(
            self.successResultOf(Deferred.fromCoroutine(Discard()(rpc.Receive("c1", "k", 5, 1000, b"x"))))
        )
