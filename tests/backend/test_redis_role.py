"""A role's calls are measured, and fail as the role's own."""

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.backend.redis import RedisLink
from imd.backend.redis_role import RedisRole
from imd.backend.redis_settings import RedisSettings
from imd.errors import BrokerUnavailable, DeadlineExceeded
from imd.metrics import Metrics


class RedisRoleTests(SynchronousTestCase):
    """What becomes of a call's end."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.metrics = Metrics()
        self.role = RedisRole(
            link=RedisLink(settings=RedisSettings(), reactor=self.clock),
            clock=self.clock,
            metrics=self.metrics,
            name="broker",
            unavailable=BrokerUnavailable,
        )
        self.work: Deferred[int] = Deferred()

    def tell(self) -> Deferred[int]:
        async def wait() -> int:
            return await self.work

        return Deferred.fromCoroutine(self.role.told("publish", wait()))

    def measured(self, result: str) -> float:
        return self.metrics.backend_seconds.values["broker", "publish", result][-1]

    def test_an_answer_comes_through(self) -> None:
        """With its time."""
        telling = self.tell()
        self.clock.advance(0.3)
        self.work.callback(7)
        self.assertEqual(self.successResultOf(telling), 7)
        self.assertAlmostEqual(self.measured("ok"), 0.3)

    def test_a_failure_is_the_roles_own(self) -> None:
        """In the same words; the metric keeps the kind."""
        telling = self.tell()
        self.work.errback(DeadlineExceeded("no answer within 3 s"))
        failure = self.failureResultOf(telling, BrokerUnavailable)
        self.assertEqual(str(failure.value), "no answer within 3 s")
        self.measured("deadline_exceeded")

    def test_a_cancelled_call_is_no_failure(self) -> None:
        """CancelledError goes through."""
        telling = self.tell()
        telling.cancel()
        self.failureResultOf(telling, CancelledError)
        self.measured("cancelled")

    def test_a_link_that_is_not_open(self) -> None:
        """A command fails at once."""
        failure = self.failureResultOf(Deferred.fromCoroutine(self.role.command("count", "XLEN", "x")))
        self.assertIsInstance(failure.value, BrokerUnavailable)
