"""Percentiles out of latency.h."""

from random import Random

from tests.benchmarks.program_case import ProgramCase


class LatencyTests(ProgramCase):
    """Nanoseconds in, percentiles out."""

    def percentiles(self, *values: int) -> list[int]:
        """count, p50, p99, p99.9, max."""
        (line,) = self.self_test("latency", " ".join(map(str, values)).encode())
        return [int(word) for word in line.split()]

    def test_small_values_are_exact(self) -> None:
        """Below 64 each has a bucket of its own."""
        self.assertEqual(self.percentiles(*range(1, 51)), [50, 25, 50, 50, 50])

    def test_large_values_are_close(self) -> None:
        """Never below what it is, at most 1.6 % above, up to the largest, which is exact."""
        random = Random(4)
        values = sorted(int(10 ** random.uniform(0, 12)) for _ in range(5_000))
        found = self.percentiles(*values)
        for each, rank in zip(found[1:4], (2_500, 4_950, 4_995), strict=True):
            self.assertGreaterEqual(each, values[rank - 1])
            self.assertLessEqual(each, 1.016 * values[rank - 1] + 1)
        self.assertEqual((found[0], found[4]), (5_000, values[-1]))

    def test_the_ends(self) -> None:
        """Nothing at all, one value, and the largest there can be."""
        largest = 2**64 - 1
        self.assertEqual(self.percentiles(), [0, 0, 0, 0, 0])
        self.assertEqual(self.percentiles(1_000_000), [1] + [1_000_000] * 4)
        self.assertEqual(self.percentiles(largest), [1] + [largest] * 4)
