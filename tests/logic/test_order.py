"""An order falls apart into shares, one for each partition that it concerns."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imd.errors import BadRequest
from imd.logic.keep import KeepRules
from imd.logic.order import MAX_SHARE_MEMBERS, Order
from imd.protocol.push import Target, fingerprint, partition_of
from imd.protocol.room_type import Keep, RoomType, RoomTypes

PARTITIONS = 8
DAY, WEEK = Keep(10, 86_400_000), Keep(20, 604_800_000)
RULES = KeepRules(inboxes=WEEK, room_types=RoomTypes({"chat": RoomType(keep=DAY)}))


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


class KeptOrderTests(SynchronousTestCase):
    """Shares say what their timelines keep of them."""

    def test_defaults(self) -> None:
        """Members' shares are kept as inboxes are, rooms' as their type is; keys and all are live."""
        order = Order(7, b"x", keys=("a",), mids=(1,), rooms=("chat://1", "live://1"), all=True)
        shares = [push for _, push in order.shares(9, 11, 1, RULES, "trace")]
        self.assertEqual(
            [(push.target, push.keep_count, push.keep_ms, push.timelines) for push in shares],
            [
                (Target.KEYS, 0, 0, ()),
                (Target.MEMBERS, 20, 604_800_000, ("m:1",)),
                (Target.ROOM, 10, 86_400_000, ("r:chat://1",)),
                (Target.ROOM, 0, 0, ()),
                (Target.ALL, 0, 0, ()),
            ],
        )
        self.assertEqual({push.trace for push in shares}, {"trace"})

    def test_asked_to_be_live(self) -> None:
        """Whoever asks for a live push gets one."""
        for _, push in Order(7, b"x", mids=(1,), rooms=("chat://1",), keep=False).shares(9, 11, 1, RULES):
            self.assertEqual(push.timelines, ())

    def test_many_members(self) -> None:
        """No share has more than 500 members; each has its own idempotency key, and none is lost or out of order."""
        mids = tuple(range(1, 2 * MAX_SHARE_MEMBERS + 2))
        order = Order(7, b"x", mids=mids, idempotency_key="k")
        shares = [push for _, push in order.shares(9, 11, 1, RULES)]
        self.assertEqual([len(push.mids) for push in shares], [500, 500, 1])
        self.assertEqual(sum((push.mids for push in shares), ()), mids)
        self.assertEqual(len({push.idempotency_key for push in shares}), 3)
        again = [push.idempotency_key for _, push in order.shares(10, 12, 1, RULES)]
        self.assertEqual([push.idempotency_key for push in shares], again)

    def test_what_cannot_be_kept(self) -> None:
        """An order to keep what nothing keeps is refused, with what to do about it; one that says nothing is not."""
        kept = Order(1, b"", mids=(1,), rooms=("chat://1",), keep=True)
        kept.check_keep(RULES)
        cases = {
            "keys and to all": (Order(1, b"", keys=("a",), mids=(1,), keep=True), RULES),
            "to all": (Order(1, b"", all=True, keep=True), RULES),
            r"of live://1: set rooms\.live\.keep = true": (
                Order(1, b"", rooms=("chat://1", "live://1"), keep=True),
                RULES,
            ),
            r"of lobby: set rooms\.\"\"\.keep": (Order(1, b"", rooms=("lobby",), keep=True), RULES),
            r"set inboxes\.keep = true": (Order(1, b"", mids=(1,), keep=True), KeepRules()),
        }
        for words, (order, rules) in cases.items():
            with self.assertRaisesRegex(BadRequest, f"^keep: .*{words}"):
                order.check_keep(rules)
        for asked in (None, False):
            Order(1, b"", keys=("a",), mids=(1,), rooms=("r",), all=True, keep=asked).check_keep(KeepRules())
