"""Ids rise, whatever the clock does."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imd.errors import RegistryUnavailable
from imd.logic.ids import EPOCH_MS, MAX_WORKER_ID, IdMaker, accepted_at_ms

NOON_MS = EPOCH_MS + 1_000_000


class IdMakerTests(SynchronousTestCase):
    """The layout, and its two guarantees."""

    def setUp(self) -> None:
        self.ms = NOON_MS

    def maker(self, worker_id: int | None = 5) -> IdMaker:
        return IdMaker(now=lambda: self.ms / 1000, worker_id=worker_id)

    def test_layout(self) -> None:
        """41 bits of ms, 10 of worker, 12 of sequence, by a value computed by hand."""
        maker = self.maker()
        self.assertEqual(maker.make(), (1_000_000 << 22) + (5 << 12))
        self.assertEqual(maker.make(), (1_000_000 << 22) + (5 << 12) + 1)
        self.assertEqual(accepted_at_ms(maker.make()), NOON_MS)

    def test_last_day_fits_63_bits(self) -> None:
        """An id is a positive int64 as long as the epoch lasts."""
        self.ms = EPOCH_MS + 2**41 - 1
        self.assertLess(self.maker(MAX_WORKER_ID).make(), 2**63)

    def test_spill_into_the_next_ms(self) -> None:
        """More than 4,096 in a ms run ahead of the clock, and it catches up."""
        maker = self.maker()
        ids = [maker.make() for _ in range(5000)]
        self.assertEqual(len(set(ids)), 5000)
        self.assertEqual(ids, sorted(ids))
        self.assertEqual(accepted_at_ms(ids[4095]), NOON_MS)
        self.assertEqual(accepted_at_ms(ids[4096]), NOON_MS + 1)
        self.ms += 2
        self.assertEqual(maker.make(), (1_000_002 << 22) + (5 << 12))

    def test_clock_before_the_epoch(self) -> None:
        """A machine without a battery makes ids all the same."""
        self.ms = 0
        maker = self.maker()
        self.assertLess(maker.make(), maker.make())

    def test_no_worker_id(self) -> None:
        """Without a lease there is no id that is surely unique."""
        with self.assertRaises(RegistryUnavailable):
            self.maker(None).make()

    def test_worker_id_changes(self) -> None:
        """A smaller worker id makes no smaller id."""
        maker = self.maker(700)
        before = maker.make()
        maker.take(3)
        self.assertGreater(maker.make(), before)
        self.assertEqual(maker.worker_id, 3)

    @given(
        st.lists(
            st.one_of(
                st.integers(-5000, 5000).map(lambda ms: ("clock", ms)),
                st.integers(0, MAX_WORKER_ID).map(lambda id: ("worker", id)),
                st.integers(1, 5000).map(lambda count: ("make", count)),
            ),
            max_size=20,
        )
    )
    def test_rises_whatever_happens(self, steps: list[tuple[str, int]]) -> None:
        """Clock jumps, new leases and bursts in any order: each id is larger than all before."""
        self.ms = NOON_MS
        maker = self.maker()
        latest = -1
        for step, amount in steps:
            if step == "clock":
                self.ms += amount
            elif step == "worker":
                maker.take(amount)
            else:
                for _ in range(amount):
                    id = maker.make()
                    self.assertGreater(id, latest)
                    latest = id
