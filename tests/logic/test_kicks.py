"""Kicks go through the broker, in order with the pushes to their keys, and fail nobody."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.backend.broker_memory import BrokerMemory
from imd.errors import CloseReason
from imd.interfaces import Location
from imd.logic.ids import IdMaker
from imd.logic.kicks import Kicks
from imd.metrics import Metrics
from imd.protocol.push import Target, partition_of

NOW = 1_800_000_000.0
ONE, TWO = Location("c1", 1), Location("c2", 7)


class KicksTests(SynchronousTestCase):
    """On a broker in memory."""

    def setUp(self) -> None:
        self.metrics = Metrics()
        self.broker = BrokerMemory(partitions=4, clock=Clock(), metrics=self.metrics)
        self.successResultOf(Deferred.fromCoroutine(self.broker.open()))
        self.kicks = self.make(IdMaker(now=lambda: NOW, worker_id=1))

    def make(self, ids: IdMaker) -> Kicks:
        return Kicks(broker=self.broker, ids=ids, now=lambda: NOW, metrics=self.metrics)

    def kick(self, *connections: tuple[str, Location], reason: CloseReason | None = None) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.kicks.kick(connections, reason)))

    def test_replaced(self) -> None:
        """In the key's partition, for that start of that comet, without a reason: the comet looks for itself."""
        self.kick(("k", TWO))
        reading = self.broker.read(partition_of("k", 4), 10, 0)
        [entry] = self.successResultOf(Deferred.fromCoroutine(reading))
        push = entry.push
        self.assertEqual((push.target, push.keys, push.server, push.boot), (Target.KICK, ("k",), "c2", 7))
        self.assertEqual((push.reason, push.at_ms), (0, int(NOW * 1000)))

    def test_several(self) -> None:
        """Each its own, with the reason's code; counted as offered, and taken."""
        self.kick(("a", ONE), ("b", TWO), reason=CloseReason.DEVICE_LIMIT)
        found = [
            entry.push
            for partition in range(4)
            for entry in self.successResultOf(Deferred.fromCoroutine(self.broker.read(partition, 10, 0)))
        ]
        self.assertEqual(
            {(push.keys, push.server, push.reason) for push in found}, {(("a",), "c1", 4031), (("b",), "c2", 4031)}
        )
        self.assertEqual((self.metrics.offered.value("kick"), self.metrics.published.value("kick")), (2, 2))

    def test_broker_away(self) -> None:
        """Whoever asks goes on."""
        self.successResultOf(Deferred.fromCoroutine(self.broker.close()))
        self.kick(("k", ONE))
        self.assertEqual(self.metrics.offered.value("kick"), self.metrics.unpublished.value("broker_unavailable"))

    def test_no_worker_id(self) -> None:
        """Nor is a missing lease for ids in anybody's way."""
        self.kicks = self.make(IdMaker(now=lambda: NOW))
        self.kick(("k", ONE))
