"""An order falls apart into shares, one for each partition that it concerns."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imd.logic.order import Order
from imd.protocol.push import Target, fingerprint, partition_of

PARTITIONS = 8


class OrderTests(SynchronousTestCase):
    """Nobody is lost, nobody is doubled, and shares can be told apart."""

    def test_targets(self) -> None:
        """The kinds of targets, as metrics name them."""
        order = Order(1, b"", keys=("a",), mids=(1,), rooms=("r",), all=True)
        self.assertEqual(order.targets, ["keys", "members", "room", "all"])
        self.assertEqual(Order(1, b"").targets, [])

    @given(
        st.sets(st.text(min_size=1, max_size=8)),
        st.sets(st.integers(-(2**63), 2**63 - 1)),
        st.sets(st.text(max_size=8)),
    )
    def test_everyone_in_his_partition(self, keys: set[str], mids: set[int], rooms: set[str]) -> None:
        """Each target is in exactly one share, in the partition that keeps its order."""
        order = Order(7, b"x", keys=tuple(keys), mids=tuple(mids), rooms=tuple(rooms))
        found: list[object] = []
        for partition, push in order.shares(9, 11, PARTITIONS):
            self.assertEqual((push.id, push.at_ms, push.operation, push.body), (9, 11, 7, b"x"))
            named = {Target.KEYS: push.keys, Target.MEMBERS: push.mids, Target.ROOM: (push.room,)}[push.target]
            self.assertEqual({partition_of(str(name), PARTITIONS) for name in named}, {partition})
            found += [(push.target, name) for name in named]
        wanted = (
            [(Target.KEYS, k) for k in keys] + [(Target.MEMBERS, m) for m in mids] + [(Target.ROOM, r) for r in rooms]
        )
        self.assertCountEqual(found, wanted)

    def test_all(self) -> None:
        """A broadcast is one share, in the partition of the empty name, with its speed."""
        [(partition, push)] = Order(7, b"x", all=True, speed=50).shares(9, 11, PARTITIONS)
        self.assertEqual((partition, push.target, push.speed), (partition_of("", PARTITIONS), Target.ALL, 50))

    def test_idempotency_keys_of_shares(self) -> None:
        """Shares in one partition have different keys; the same order given again has the same ones."""
        order = Order(7, b"x", keys=("a",), mids=(1,), rooms=("r", "s"), all=True, idempotency_key="k", pusher="shop")
        first = [(push.idempotency_key, fingerprint(push)) for _, push in order.shares(1, 1, 1)]
        again = [(push.idempotency_key, fingerprint(push)) for _, push in order.shares(2, 2, 1)]
        self.assertEqual(first, again)
        self.assertEqual(len({key for key, _ in first}), 5)

    def test_idempotency_keys_of_pushers(self) -> None:
        """Two pushers that count from 1 never meet; no key stays no key."""

        def key(pusher: str, given: str) -> str:
            [(_, push)] = Order(7, b"x", rooms=("r",), idempotency_key=given, pusher=pusher).shares(1, 1, 1)
            return push.idempotency_key

        self.assertNotEqual(key("shop", "1"), key("game", "1"))
        self.assertEqual(key("shop", ""), "")
