"""Shares are counted until the broker has answered for them."""

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.backend.broker_memory import BrokerMemory
from imd.errors import BrokerUnavailable
from imd.interfaces import Receipt
from imd.logic.offers import Offers
from imd.metrics import Metrics
from imd.protocol.push import Push, Target

SHARES = [(0, Push(1, 1, Target.ROOM, room="live://1")), (1, Push(1, 1, Target.ALL))]


class SlowBroker(BrokerMemory):
    """Answers when ``answer`` fires."""

    answer: "Deferred[list[Receipt]]"

    async def publish(self, pushes: object) -> list[Receipt]:
        return await self.answer


class OffersTests(SynchronousTestCase):
    """On a broker that answers when it is told to."""

    def setUp(self) -> None:
        self.metrics = Metrics()
        self.broker = SlowBroker(partitions=2, clock=Clock(), metrics=self.metrics)
        self.broker.answer = Deferred()
        self.offers = Offers(broker=self.broker, metrics=self.metrics, by="push")
        self.publishing = Deferred.fromCoroutine(self.offers.publish(SHARES))

    def counted(self) -> tuple[float, float, float]:
        """Offered to rooms, to all, and not answered."""
        metrics = self.metrics
        return metrics.offered.value("room"), metrics.offered.value("all"), metrics.offering.value("push")

    def test_until_the_answer(self) -> None:
        """Each share by its target; they are under way until their receipts come, which are handed on."""
        self.assertEqual(self.counted(), (1, 1, 2))
        self.broker.answer.callback([Receipt(1), Receipt(1)])
        self.assertEqual(self.successResultOf(self.publishing), [Receipt(1), Receipt(1)])
        self.assertEqual(self.counted(), (1, 1, 0))

    def test_without_an_answer(self) -> None:
        """A failure is an end of it too, and goes to whoever asked."""
        self.broker.answer.errback(BrokerUnavailable("away"))
        self.failureResultOf(self.publishing, BrokerUnavailable)
        self.assertEqual(self.counted(), (1, 1, 0))

    def test_cancelled(self) -> None:
        """So is giving up."""
        self.publishing.cancel()
        self.failureResultOf(self.publishing, CancelledError)
        self.assertEqual(self.counted(), (1, 1, 0))
