"""The split of partitions: whole, fair, the same for all, and calm."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imd.backend.partition_share import share

NAMES = st.sets(st.text(min_size=1, max_size=8), min_size=1, max_size=8)


class ShareTests(SynchronousTestCase):
    """Promises about any set of members."""

    @given(NAMES, st.integers(0, 70))
    def test_every_partition_has_one_owner(self, names: set[str], partitions: int) -> None:
        """All are given out, none twice."""
        shares = [share(names, name, partitions) for name in names]
        self.assertEqual(frozenset().union(*shares), frozenset(range(partitions)))
        self.assertTrue(all(not one & two for one, two in combinations(shares, 2)))

    @given(NAMES, st.integers(0, 70))
    def test_shares_are_fair(self, names: set[str], partitions: int) -> None:
        """They differ by one at most."""
        sizes = [len(share(names, name, partitions)) for name in names]
        self.assertLessEqual(max(sizes) - min(sizes), 1)

    def test_strangers_get_nothing(self) -> None:
        """A job that is not in the list yet owns nothing."""
        self.assertEqual(share(["a"], "b", 8), frozenset())
        self.assertEqual(share([], "b", 8), frozenset())

    def test_order_does_not_matter(self) -> None:
        """Members are a set, however they were listed."""
        self.assertEqual(share(["b", "a"], "a", 8), share(["a", "b"], "a", 8))

    def test_few_partitions_move(self) -> None:
        """When a fifth job joins four, about a fifth moves, and not everything."""
        four, five = [f"job-{n}" for n in range(4)], [f"job-{n}" for n in range(5)]
        stayed = sum(len(share(four, name, 1000) & share(five, name, 1000)) for name in four)
        self.assertGreater(stayed, 600)
