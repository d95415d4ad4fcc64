"""Appends to one partition: what gathers goes together, in order, and every push is accounted for once."""

from collections.abc import Sequence
from typing import Any, cast

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from imd.backend import redis_appender
from imd.backend.redis_appender import RedisAppender, places_of
from imd.backend.redis_partitions import RedisPartitions
from imd.backend.redis_role import RedisRole
from imd.backend.redis_script import RedisScript
from imd.errors import BrokerUnavailable
from imd.interfaces import Receipt
from imd.metrics import Metrics
from imd.protocol.push import Push, Target, fingerprint, load
from imd.protocol.timeline import Place

PLACES = msgspec.msgpack.encode(["e", 7, 1])


class Calls:
    """Redis, as the partitions bring it: each call waits until a test answers it."""

    def __init__(self) -> None:
        self.ids: list[list[int]] = []  # of the pushes of each call
        self.waiting: list[Deferred[Any]] = []

    async def run(
        self, _role: object, _call: str, _script: object, _partition: int, arguments: Any, **_: object
    ) -> Any:
        self.ids.append([load(each).id for each in arguments[3::4]])
        waiting: Deferred[Any] = Deferred()
        self.waiting.append(waiting)
        return await waiting

    def answer(self, *, length: int = 1, earlier: Sequence[Any] = ()) -> None:
        self.waiting.pop(0).callback([length, [b""] * len(self.ids[-1]), list(earlier)])

    def fail(self) -> None:
        self.waiting.pop(0).errback(BrokerUnavailable("away"))


def pushes(*ids: int) -> list[Push]:
    """Live ones, to all."""
    return [Push(id, 5, Target.ALL, 1000, b"hi") for id in ids]


class RedisAppenderTests(SynchronousTestCase):
    """One partition of a Redis that answers when it is told to."""

    def setUp(self) -> None:
        self.calls = Calls()
        self.metrics = Metrics()
        self.lengths: list[tuple[int, int]] = []
        self.appender = RedisAppender(
            store=cast(RedisPartitions, self.calls),
            role=cast(RedisRole, None),
            script=RedisScript(b"", ""),
            partition=3,
            idempotency_ms=1000,
            metrics=self.metrics,
            length_seen=lambda partition, length: self.lengths.append((partition, length)),
        )

    def counted(self) -> dict[str, float]:
        stored = {label: count for (label,), count in self.metrics.published.values.items()}
        return stored | {reason: count for (reason,), count in self.metrics.unpublished.values.items()}

    def test_gathered(self) -> None:
        """The first leaves at once; what comes meanwhile leaves together, in order; each caller gets its own receipts."""
        answers = [self.appender.append(pushes(*ids)) for ids in ((1,), (2, 3), (4,))]
        self.assertEqual((self.calls.ids, self.appender.pending), ([[1]], 4))
        self.calls.answer(length=9)
        self.assertEqual((self.calls.ids, self.appender.pending), ([[1], [2, 3, 4]], 3))
        self.assertEqual(self.successResultOf(answers[0]), [Receipt(1)])
        self.assertNoResult(answers[1])
        self.calls.answer()
        self.assertEqual(self.successResultOf(answers[1]), [Receipt(2), Receipt(3)])
        self.assertEqual(self.successResultOf(answers[2]), [Receipt(4)])
        self.assertEqual((self.lengths, self.counted()), ([(3, 9), (3, 1)], {"all": 4}))
        self.assertEqual(self.appender.pending, 0)

    def test_as_much_as_a_call_may_have(self) -> None:
        """A share is not cut that fits into a call of its own; one that does not is stored piece by piece."""
        self.patch(redis_appender, "CHUNK", 2)
        answers = [self.appender.append(pushes(*ids)) for ids in ((1,), (2,), (3, 4), (5, 6, 7))]
        while self.calls.waiting:
            self.calls.answer()
        self.assertEqual(self.calls.ids, [[1], [2], [3, 4], [5, 6], [7]])
        self.assertEqual([receipt.id for receipt in self.successResultOf(answers[3])], [5, 6, 7])

    def test_a_call_fails(self) -> None:
        """For all in it, of whom nobody knows; what waited is asked for nevertheless."""
        self.appender.append(pushes(1))
        answers = [self.appender.append(pushes(id)) for id in (2, 3)]
        self.calls.answer()
        late = self.appender.append(pushes(4))
        self.calls.fail()
        for answer in answers:
            self.failureResultOf(answer, BrokerUnavailable)
        self.calls.answer()
        self.assertEqual(self.successResultOf(late), [Receipt(4)])
        self.assertEqual(self.counted(), {"all": 2, "unknown": 2})

    def test_a_piece_fails(self) -> None:
        """What is behind it in its share is not asked for: refused, not unknown."""
        self.patch(redis_appender, "CHUNK", 2)
        answer = self.appender.append(pushes(1, 2, 3))
        self.calls.fail()
        self.failureResultOf(answer, BrokerUnavailable)
        self.assertEqual((self.calls.ids, self.counted()), ([[1, 2]], {"unknown": 2, "broker_unavailable": 1}))
        self.assertEqual(self.appender.pending, 0)

    def test_cancelled(self) -> None:
        """What is on its way is counted by its answer, what waits is not sent; who came with them is not disturbed."""
        first, second, third = (self.appender.append(pushes(id)) for id in (1, 2, 3))
        for answer in (first, second):
            answer.cancel()
            self.failureResultOf(answer, CancelledError)
        self.assertEqual((self.appender.pending, self.counted()), (3, {}))
        self.calls.answer()
        self.assertEqual((self.appender.pending, self.counted()), (1, {"all": 1, "cancelled": 1}))
        self.calls.answer()
        self.assertEqual(self.successResultOf(third), [Receipt(3)])
        self.assertEqual((self.calls.ids, self.counted()), ([[1], [3]], {"all": 2, "cancelled": 1}))

    def test_repeated_and_conflicting(self) -> None:
        """By the earlier push's mark; the others are stored."""
        push = Push(2, 5, Target.ALL, 1000, b"hi", idempotency_key="k")
        mark = b"1:" + fingerprint(push).hex().encode() + b":"
        answer = self.appender.append([*pushes(1), push, push])
        self.calls.answer(earlier=[2, mark, 3, b"1:00:"])
        self.assertEqual(
            self.successResultOf(answer), [Receipt(1), Receipt(1, repeated=True), Receipt(1, conflict=True)]
        )
        self.assertEqual(self.counted(), {"all": 1, "repeated": 1, "conflict": 1})


class PlacesTests(SynchronousTestCase):
    """What the script packs."""

    def test_places(self) -> None:
        """None, one, several, and what is none."""
        self.assertEqual(places_of(b""), ())
        self.assertEqual(places_of(PLACES), (Place(7, "e-1"),))
        self.assertEqual(places_of(msgspec.msgpack.encode(["e", 7, 1, 8, 2])), (Place(7, "e-1"), Place(8, "e-2")))
        for packed in (b"\x05", b"\x90", b"\x92\xa1e\x01", b"\xc1"):
            self.assertRaises(msgspec.DecodeError, places_of, packed)
