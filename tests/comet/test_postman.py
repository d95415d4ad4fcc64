"""Items for one key each: what an item for many keys promises holds for them too, and they are counted alike."""

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from imd.errors import CloseReason, PeerUnavailable
from imd.protocol.rpc import Batch, Item, Kind, Outcome, Outcomes
from tests.support.comet_fakes import BOOT, SERVER, Comet, FakeConnection, pushed, to_all, to_keys, to_room
from tests.support.version_2 import kept_for_keys, seqs


def bodies(connection: FakeConnection) -> list[bytes]:
    return [packet.body for packet in connection.packets()]


class PostmanTests(SynchronousTestCase):
    """Three at a turn."""

    def setUp(self) -> None:
        self.comet = Comet(deliveries_per_turn=3, outbox_bytes=1500)

    def client(self, key: str, *, version: int = 1, mid: int = 0) -> FakeConnection:
        connection = self.comet.client(key, version=version, mid=mid, room_id="live://1", accepts=[1000])
        self.settle()
        connection.writes.clear()
        return connection

    def settle(self) -> None:
        for _ in range(20):
            self.comet.clock.turn()

    def push(self, *items: Item) -> Deferred[Outcomes]:
        return Deferred.fromCoroutine(self.comet.server.push(Batch(SERVER, BOOT, items)))

    def outcomes(self, *items: Item) -> list[Outcome]:
        pushing = self.push(*items)
        self.settle()
        return list(self.successResultOf(pushing).outcomes)

    def test_each_outcome(self) -> None:
        """In the batch's order: unknown, somebody else by now, not accepted, too slow, faulty, delivered."""
        connection = self.client("a", mid=5)
        slow, faulty = self.client("slow"), self.client("faulty")
        self.comet.client("deaf")
        assert slow.session is not None
        slow.session.pause_writing()
        faulty.faulty = True
        found = self.outcomes(
            to_keys(b"1", "nobody"),
            Item(Kind.KEYS, pushed(b"2"), 1, 1000, ("a",), mids=(6,)),
            to_keys(b"3", "deaf"),
            to_keys(b"4" * 2000, "slow"),
            to_keys(b"5", "faulty"),
            Item(Kind.KEYS, pushed(b"6"), 1, 1000, ("a",), mids=(5,)),
        )
        self.assertEqual(
            found,
            [
                Outcome(unknown=("nobody",)),
                Outcome(unknown=("a",)),
                Outcome(filtered=1),
                Outcome(dropped=(("slow_consumer", 1),)),
                Outcome(dropped=(("fault", 1),)),
                Outcome(delivered=1),
            ],
        )
        self.assertEqual(bodies(connection), [b"6"])
        self.assertEqual(faulty.closes, [CloseReason.INTERNAL_ERROR])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        metrics = self.comet.metrics
        self.assertEqual(metrics.packets_offered.value("keys"), 4)
        counted = [metrics.deliveries.value("keys", fate) for fate in ("delivered", "filtered")]
        self.assertEqual((counted, self.comet.dropped("slow_consumer"), self.comet.dropped("fault")), ([1, 1], 1, 1))
        self.assertEqual((metrics.items_taken.value(), metrics.items_settled.value()), (6, 6))

    def test_held(self) -> None:
        """What the outbox holds is delivered, and written in order."""
        connection = self.client("a")
        assert connection.session is not None
        connection.session.pause_writing()
        self.assertEqual(self.outcomes(to_keys(b"1", "a"), to_keys(b"2", "a")), [Outcome(delivered=1)] * 2)
        connection.session.resume_writing()
        self.assertEqual(bodies(connection), [b"1", b"2"])

    def test_version_2(self) -> None:
        """Kept ones stand in the inbox; one that comes again is a duplicate; live ones have no place."""
        connection = self.client("b", version=2, mid=7)
        found = self.outcomes(kept_for_keys(b"x", {"b": 1}), kept_for_keys(b"x", {"b": 1}), to_keys(b"y", "b"))
        self.assertEqual(found, [Outcome(delivered=1), Outcome(duplicate=1), Outcome(delivered=1)])
        self.assertEqual([seq for _, seq in seqs(connection.written)], [1, 0])
        self.assertEqual(self.comet.metrics.deliveries.value("keys", "duplicate"), 1)

    def test_order_with_others(self) -> None:
        """A channel gets what it is sent in the order that it came, whatever it is, over several turns."""
        connection = self.client("a")
        items = [to_keys(b"0", "a"), to_room(b"1"), to_keys(b"2", "a"), to_keys(b"3", "a"), to_all(b"4"), to_room(b"5")]
        pushing = [self.push(*items), self.push(*(to_keys(b"%d" % number, "a") for number in range(6, 12)))]
        self.assertEqual(len(connection.writes), 3)
        self.settle()
        self.assertEqual(bodies(connection), [b"%d" % number for number in range(12)])
        for each in pushing:
            self.successResultOf(each)

    def test_what_waits(self) -> None:
        """It is bounded as other items are, and all of it is given back."""
        self.client("a")
        batches = [self.push(*(to_keys(b"x", "a") for _ in range(2))) for _ in range(5)]
        self.assertEqual(self.comet.metrics.items_waiting.value(), 7)
        self.assertGreater(self.comet.server._delivery.waiting_bytes, 0)
        self.settle()
        self.assertEqual(self.comet.metrics.items_waiting.value(), 0)
        self.assertEqual(self.comet.server._delivery.waiting_bytes, 0)
        self.assertEqual([len(self.successResultOf(each).outcomes) for each in batches], [2] * 5)

    def test_stop(self) -> None:
        """What waits is unknown; what was delivered is counted, though job will not hear of it."""
        self.client("a")
        waiting = self.push(*(to_keys(b"x", "a") for _ in range(5)))
        self.comet.server._delivery.stop()
        self.failureResultOf(waiting, PeerUnavailable)
        metrics = self.comet.metrics
        self.assertEqual(metrics.deliveries.value("keys", "delivered"), 3)
        self.assertEqual((metrics.items_settled.value(), metrics.items_left.value()), (3, 2))
