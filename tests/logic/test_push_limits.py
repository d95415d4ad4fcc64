"""The limits of a push: each is refused by the name of its field, and what is at the limit is not."""

from twisted.trial.unittest import SynchronousTestCase

from imd.errors import BadRequest, BodyTooLarge
from imd.logic.order import Order
from imd.logic.push_limits import PushLimits

LIMITS = PushLimits(body_bytes=10, targets=3)


class PushLimitsTests(SynchronousTestCase):
    """One order at a time."""

    def test_at_the_limits(self) -> None:
        """What is just small enough passes."""
        for order in (
            Order(0, b"x" * 10, keys=("é" * 64, "b"), rooms=("r" * 255,)),
            Order(-(2**31), b"", mids=(-(2**63), 2**63 - 1, 1), idempotency_key="k" * 128),
            Order(1, b"", all=True, speed=2**31 - 1),
        ):
            LIMITS.check(order)

    def test_beyond_them(self) -> None:
        """What is just too large is refused with its field."""
        cases = {
            "^to: names nobody": Order(1, b""),
            "^to: more than 3": Order(1, b"", keys=("a", "b"), mids=(1,), rooms=("r",)),
            r"^to.keys: .* 128": Order(1, b"", keys=("é" * 64 + "x",)),
            r"^to.keys: a key has 1": Order(1, b"", keys=("",)),
            r"^to.mids: .* 0": Order(1, b"", mids=(0,)),
            r"^to.mids: .* int64": Order(1, b"", mids=(2**63,)),
            r"^to.rooms: .* 255": Order(1, b"", rooms=("r" * 256,)),
            r"^to.rooms: a room id has 1": Order(1, b"", rooms=("",)),
            "^speed: goes with": Order(1, b"", rooms=("r",), speed=1),
            "^speed: connections": Order(1, b"", all=True, speed=-1),
            "^idempotency_key: ": Order(1, b"", all=True, idempotency_key="k" * 129),
        }
        for words, order in cases.items():
            with self.assertRaisesRegex(BadRequest, words):
                LIMITS.check(order)

    def test_body(self) -> None:
        """A body over the limit has an error of its own."""
        with self.assertRaisesRegex(BodyTooLarge, "^body: 11 bytes, at most 10$"):
            LIMITS.check(Order(1, b"x" * 11, all=True))
