"""The accounts of publishing."""

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from imd.backend.publication import count_answered, count_refused, count_unknown
from imd.errors import Overloaded
from imd.interfaces import Receipt
from imd.metrics import Metrics
from imd.protocol.push import Push, Target


class PublicationTests(SynchronousTestCase):
    """Each share once."""

    def setUp(self) -> None:
        self.metrics = Metrics()

    def test_receipts(self) -> None:
        """Stored by target, the others by what they met."""
        pushes = [Push(1, 1, Target.ROOM), Push(2, 1, Target.ALL), Push(3, 1, Target.ALL)]
        count_answered(self.metrics, pushes, [Receipt(1), Receipt(1, repeated=True), Receipt(1, conflict=True)])
        self.assertEqual(dict(self.metrics.published.values), {("room",): 1})
        self.assertEqual(dict(self.metrics.unpublished.values), {("repeated",): 1, ("conflict",): 1})

    def test_no_receipts(self) -> None:
        """Refused by the error's name, cancelled before anything was sent, a bug of ours, or nobody knows."""
        for error in (Overloaded("full"), CancelledError(), ValueError()):
            count_refused(self.metrics, 2, error)
        count_unknown(self.metrics, 3)
        reasons = {("overloaded",): 2, ("cancelled",): 2, ("error",): 2, ("unknown",): 3}
        self.assertEqual(dict(self.metrics.unpublished.values), reasons)
