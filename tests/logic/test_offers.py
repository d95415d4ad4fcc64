"""What the broker is given is counted, and the broker accounts for it."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.backend.broker_memory import BrokerMemory
from imd.errors import BrokerUnavailable
from imd.interfaces import Receipt
from imd.logic.offers import Offers
from imd.metrics import Metrics
from imd.protocol.push import Push, Target

SHARES = [(0, Push(1, 1, Target.ROOM, room="live://1")), (1, Push(1, 1, Target.ALL))]


class OffersTests(SynchronousTestCase):
    """On a broker in memory."""

    def setUp(self) -> None:
        self.metrics = Metrics()
        self.broker = BrokerMemory(partitions=2, clock=Clock(), metrics=self.metrics)
        self.publishing = Offers(broker=self.broker, metrics=self.metrics).publish(SHARES)

    def test_taken(self) -> None:
        """Each share by its target; their receipts are handed on."""
        self.successResultOf(Deferred.fromCoroutine(self.broker.open()))
        receipts = self.successResultOf(Deferred.fromCoroutine(self.publishing))
        self.assertEqual(receipts, [Receipt(1), Receipt(1)])
        self.assertEqual(dict(self.metrics.offered.values), {("room",): 1, ("all",): 1})
        self.assertEqual(self.metrics.offered.values, self.metrics.published.values)

    def test_refused(self) -> None:
        """They were offered all the same; whoever asked hears why not."""
        self.failureResultOf(Deferred.fromCoroutine(self.publishing), BrokerUnavailable)
        self.assertEqual(dict(self.metrics.offered.values), {("room",): 1, ("all",): 1})
        self.assertEqual(dict(self.metrics.unpublished.values), {("broker_unavailable",): 2})
