"""Pushes are accepted whole or not at all, in order, once per idempotency key."""

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.backend.broker_memory import BrokerMemory
from imd.errors import BadRequest, BodyTooLarge, BrokerUnavailable, Overloaded, RegistryUnavailable
from imd.interfaces import Receipt
from imd.logic.ids import IdMaker, accepted_at_ms
from imd.logic.order import Order
from imd.logic.push import Pusher
from imd.logic.push_limits import PushLimits
from imd.logic.push_request import PushRequest, PushResult, Result, To
from imd.metrics import Metrics
from imd.protocol.push import Push, Target

NOW = 1_800_000_000.25


class Tap:
    """A broker in memory that notes each call."""

    def __init__(self, inner: BrokerMemory) -> None:
        self.inner = inner
        self.partitions = inner.partitions
        self.calls: list[list[tuple[int, Push]]] = []
        self.answers = True  # else a publish waits for ever

    async def publish(self, pushes: Sequence[tuple[int, Push]]) -> list[Receipt]:
        self.calls.append(list(pushes))
        if not self.answers:
            await Deferred()
        return await self.inner.publish(pushes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class PusherCase(SynchronousTestCase):
    """A pusher on a broker in memory."""

    def setUp(self) -> None:
        self.metrics = Metrics()
        inner = BrokerMemory(partitions=4, clock=Clock(), metrics=self.metrics, max_backlog_entries=100)
        self.successResultOf(Deferred.fromCoroutine(inner.open()))
        self.broker = Tap(inner)
        self.ids = IdMaker(now=lambda: NOW, worker_id=1)
        self.pusher = self.make()

    def make(self, **limits: int) -> Pusher:
        return Pusher(
            broker=self.broker, ids=self.ids, now=lambda: NOW, limits=PushLimits(**limits), metrics=self.metrics
        )

    def stored(self) -> list[Push]:
        return [push for call in self.broker.calls for _, push in call]


class PusherTests(PusherCase):
    """What /v1/push asks for."""

    def push(self, *requests: PushRequest, pusher: str = "") -> list[PushResult]:
        return self.successResultOf(Deferred.fromCoroutine(self.pusher.push(requests, pusher=pusher)))

    def refused(self, error: type[Exception], *requests: PushRequest) -> str:
        failure = self.failureResultOf(Deferred.fromCoroutine(self.pusher.push(requests)), error)
        return str(failure.value)

    def test_one_call_for_an_array(self) -> None:
        """An array goes to the broker at once, answered in its order, ids rising."""
        answers = self.push(
            PushRequest(to=To(room="live://1"), op=1, body="a"), PushRequest(to=To(all=True), op=2, body="b")
        )
        self.assertEqual(len(self.broker.calls), 1)
        self.assertEqual([answer.result for answer in answers], [Result.ACCEPTED, Result.ACCEPTED])
        self.assertEqual([answer.id for answer in answers], [str(push.id) for push in self.stored()])
        self.assertLess(int(answers[0].id), int(answers[1].id))
        self.assertEqual(self.stored()[0].at_ms, int(NOW * 1000))
        self.assertEqual(accepted_at_ms(int(answers[0].id)), int(NOW * 1000))

    def test_one_id_for_many_targets(self) -> None:
        """A push to keys, members, rooms and all is one push: its shares have its id."""
        [answer] = self.push(
            PushRequest(to=To(keys=("a", "b"), mids=(1, 2, 3), rooms=("r", "s"), all=True), op=1, body="x")
        )
        self.assertEqual({str(push.id) for push in self.stored()}, {answer.id})
        self.assertEqual(
            {push.target for push in self.stored()}, {Target.KEYS, Target.MEMBERS, Target.ROOM, Target.ALL}
        )

    def test_repeated(self) -> None:
        """The same push with the same key is stored once and answered with the first one's id."""
        request = PushRequest(
            to=To(keys=("a",), mids=(1, 2, 3, 4, 5), rooms=("r", "s")), op=1, body="x", idempotency_key="k"
        )
        [first] = self.push(request)
        [again] = self.push(request)
        self.assertEqual(again, PushResult(first.id, Result.REPEATED))

    def test_repeated_within_an_array(self) -> None:
        """Twice in one array is repeated too."""
        request = PushRequest(to=To(room="r"), op=1, body="x", idempotency_key="k")
        first, second = self.push(request, request)
        self.assertEqual(second, PushResult(first.id, Result.REPEATED))

    def test_rest_of_a_half_stored_push(self) -> None:
        """When a first try reached some partitions only, the second completes it under the first one's id."""
        request = PushRequest(to=To(rooms=("r", "s")), op=1, body="x", idempotency_key="k")
        shares = request.order().shares(self.ids.make(), 0, 4)
        self.successResultOf(Deferred.fromCoroutine(self.broker.inner.publish(shares[:1])))
        [answer] = self.push(request)
        self.assertEqual(answer, PushResult(str(shares[0][1].id), Result.ACCEPTED))
        self.assertEqual(self.push(request)[0].result, Result.REPEATED)

    def test_conflict(self) -> None:
        """The same key for another body is a conflict, and the others in the array go their way."""
        [first] = self.push(PushRequest(to=To(room="r"), op=1, body="x", idempotency_key="k"))
        conflict, other = self.push(
            PushRequest(to=To(room="r"), op=1, body="y", idempotency_key="k"),
            PushRequest(to=To(room="r"), op=1, body="z"),
        )
        self.assertEqual(conflict, PushResult(first.id, Result.CONFLICT))
        self.assertEqual(other.result, Result.ACCEPTED)

    def test_keys_of_pushers_do_not_meet(self) -> None:
        """Two back ends may use the same idempotency key."""
        request = PushRequest(to=To(room="r"), op=1, body="x", idempotency_key="1")
        self.assertEqual(self.push(request, pusher="shop")[0].result, Result.ACCEPTED)
        self.assertEqual(self.push(request, pusher="game")[0].result, Result.ACCEPTED)

    def test_bad_item_refuses_the_array(self) -> None:
        """Nothing of an array with a bad item is stored; the words say which item, and which field."""
        good = PushRequest(to=To(room="r"), op=1, body="x")
        bad = PushRequest(to=To(mids=(0,)), op=1, body="x")
        self.assertIn("[1]: to.mids: ", self.refused(BadRequest, good, bad))
        self.assertTrue(self.refused(BadRequest, bad).startswith("to.mids: "))
        self.assertEqual(self.broker.calls, [])
        self.assertEqual(self.metrics.pushes.value("members", "bad_request"), 2)

    def test_limits_of_a_call(self) -> None:
        """Too many pushes, too large a body, too many bytes over all rooms: refused before anything is stored."""
        self.pusher = self.make(pushes=1, body_bytes=4, stored_bytes=6)
        request = PushRequest(to=To(room="r"), op=1, body="four")
        self.refused(BadRequest, request, request)
        self.refused(BodyTooLarge, PushRequest(to=To(room="r"), op=1, body="fives"))
        self.refused(BodyTooLarge, PushRequest(to=To(rooms=("r", "s")), op=1, body="four"))
        self.assertEqual(self.broker.calls, [])

    def test_empty_array(self) -> None:
        """No pushes, no answers."""
        self.assertEqual(self.push(), [])

    def test_broker_trouble(self) -> None:
        """A full or absent broker's word goes to the caller, and is counted."""
        many = PushRequest(to=To(rooms=tuple(f"r{number}" for number in range(101))), op=1, body="x")
        self.refused(Overloaded, many)
        self.assertEqual(self.metrics.pushes.value("room", "overloaded"), 1)
        self.successResultOf(Deferred.fromCoroutine(self.broker.inner.close()))
        self.refused(BrokerUnavailable, PushRequest(to=To(all=True), op=1, body="x"))
        self.assertEqual(self.metrics.pushes.value("all", "broker_unavailable"), 1)

    def test_no_worker_id(self) -> None:
        """Before the registry has leased a worker id, a push is refused as unavailable."""
        self.ids = IdMaker(now=lambda: NOW)
        self.pusher = self.make()
        self.refused(RegistryUnavailable, PushRequest(to=To(all=True), op=1, body="x"))

    def test_counts(self) -> None:
        """Pushes are counted by target and outcome, and their stored shares apart."""
        request = PushRequest(to=To(rooms=("r", "s"), all=True), op=1, body="x", idempotency_key="k")
        self.push(request)
        self.push(request)
        self.assertEqual(self.metrics.pushes.value("room", "accepted"), 1)
        self.assertEqual(self.metrics.pushes.value("all", "repeated"), 1)
        self.assertEqual(self.metrics.published.value("room"), 2)
        self.assertEqual(self.metrics.published.value("all"), 1)
        self.assertEqual((self.metrics.offered.value("room"), self.metrics.offered.value("all")), (4, 2))
        self.assertEqual(self.metrics.asking.value(), 0)

    def test_every_push_has_one_outcome(self) -> None:
        """Refused, cancelled or failed: each is counted as asked for, and once by its outcome. An array counts whole."""
        good = PushRequest(to=To(all=True), op=1, body="x")
        self.refused(BadRequest, PushRequest(to=To(), op=1, body="x"))
        self.refused(BadRequest, PushRequest(to=To(room="r"), op=1))
        self.refused(BadRequest, good, PushRequest(to=To(keys=("",), mids=(1,)), op=1, body="x"))
        self.pusher = self.make(pushes=1)
        self.refused(BadRequest, good, good)
        self.broker.answers = False
        asked = Deferred.fromCoroutine(self.pusher.push([good]))
        self.assertEqual(self.metrics.asking.value(), 1)
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        outcomes = {
            ("nobody", "bad_request"): 1,
            ("room", "bad_request"): 1,
            ("keys", "bad_request"): 1,
            ("members", "bad_request"): 1,
            ("all", "bad_request"): 3,
            ("all", "cancelled"): 1,
        }
        self.assertEqual(dict(self.metrics.pushes.values), outcomes)
        self.assertEqual(sum(self.metrics.asked.values.values()), sum(outcomes.values()))
        self.assertEqual(self.metrics.asking.value(), 0)


class PushOrderTests(PusherCase):
    """What is ordered from within."""

    def push(self, order: Order) -> PushResult:
        return self.successResultOf(Deferred.fromCoroutine(self.pusher.push_order(order)))

    def test_one(self) -> None:
        """Accepted and counted as a back end's is."""
        result = self.push(Order(7, b"x", rooms=("r",), idempotency_key="k", pusher="member:5"))
        self.assertEqual((result.result, [push.room for push in self.stored()]), (Result.ACCEPTED, ["r"]))
        again = self.push(Order(7, b"x", rooms=("r",), idempotency_key="k", pusher="member:5"))
        self.assertEqual(again, PushResult(result.id, Result.REPEATED))
        self.assertEqual((self.metrics.asked.value("room"), self.metrics.pushes.value("room", "repeated")), (2, 1))

    def test_nobody(self) -> None:
        """An order for nobody is refused and counted."""
        refused = Deferred.fromCoroutine(self.pusher.push_order(Order(7, b"x")))
        self.failureResultOf(refused, BadRequest)
        self.assertEqual(self.metrics.pushes.value("nobody", "bad_request"), 1)


class GoimPushTests(PusherCase):
    """The four ways that goim's endpoints push."""

    def run_push(self, coroutine: Any) -> list[Push]:
        id = self.successResultOf(Deferred.fromCoroutine(coroutine))
        pushes = self.stored()
        self.assertTrue(all(push.id == id for push in pushes))
        return pushes

    def test_keys(self) -> None:
        """Keys that nobody can have are skipped like unknown ones, and repeated ones count once."""
        pushes = self.run_push(self.pusher.push_keys(7, b"x", ["a", "", "b" * 129, "a"]))
        self.assertEqual([(push.operation, push.body, push.keys) for push in pushes], [(7, b"x", ("a",))])

    def test_members(self) -> None:
        """0 is nobody."""
        pushes = self.run_push(self.pusher.push_members(0, b"x", [0, 5, 5]))
        self.assertEqual([push.mids for push in pushes], [(5,)])

    def test_room(self) -> None:
        """By the whole id, slashes and all."""
        [push] = self.run_push(self.pusher.push_room(7, b"x", "live://a/b"))
        self.assertEqual((push.target, push.room), (Target.ROOM, "live://a/b"))

    def test_all(self) -> None:
        """With its speed."""
        [push] = self.run_push(self.pusher.push_all(7, b"x", 100))
        self.assertEqual((push.target, push.speed), (Target.ALL, 100))

    def test_nobody(self) -> None:
        """Only impossible targets: accepted for nobody, nothing is stored."""
        self.assertEqual(self.run_push(self.pusher.push_keys(7, b"x", [""])), [])
        self.assertEqual(self.metrics.drops.value("logic", "impossible"), 1)
        self.assertEqual(self.metrics.pushes.value("keys", "accepted"), 1)

    def test_body_limit(self) -> None:
        """The body's limit holds here too."""
        self.pusher = self.make(body_bytes=1)
        self.failureResultOf(Deferred.fromCoroutine(self.pusher.push_all(7, b"xy")), BodyTooLarge)
