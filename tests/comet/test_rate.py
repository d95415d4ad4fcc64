"""Packets a second."""

from twisted.trial.unittest import SynchronousTestCase

from imd.comet.rate import TokenBucket


class TokenBucketTests(SynchronousTestCase):
    """A burst of three, two a second."""

    def take(self, bucket: TokenBucket, now: float, times: int) -> int:
        return sum(bucket.take(now, 2, 3) for _ in range(times))

    def test_burst_then_rate(self) -> None:
        """A full bucket holds the burst; then tokens come at the rate, and never more than the burst."""
        bucket = TokenBucket()
        self.assertEqual(self.take(bucket, 1000, 10), 3)
        self.assertEqual(self.take(bucket, 1000.4, 10), 0)
        self.assertEqual(self.take(bucket, 1000.5, 10), 1)
        self.assertEqual(self.take(bucket, 1001.5, 10), 2)
        self.assertEqual(self.take(bucket, 2000, 10), 3)

    def test_steady_rate_is_never_refused(self) -> None:
        """A client that keeps within the rate has its token every time, on a clock since the epoch too."""
        bucket = TokenBucket()
        self.assertTrue(all(bucket.take(1.7e9 + number / 6.999, 7, 1) for number in range(1, 10_000)))

    def test_several_tokens(self) -> None:
        """What costs more takes more; when there is not enough, nothing is taken."""
        bucket = TokenBucket()
        self.assertTrue(bucket.take(1000, 2, 3, 2.5))
        self.assertFalse(bucket.take(1000, 2, 3, 1))
        self.assertTrue(bucket.take(1000, 2, 3, 0.5))
        self.assertFalse(bucket.take(1000, 2, 3, 0.5))

    def test_small(self) -> None:
        """One float: there is one per connection."""
        self.assertEqual(TokenBucket.__slots__, ("_full_at",))
