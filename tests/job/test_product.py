"""Promises of a product that may be away."""

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from imd.errors import PresenceUnavailable
from imd.job.product import Product
from imd.job.settings import JobSettings


class ProductTests(SynchronousTestCase):
    """Calls that are made until they succeed."""

    def setUp(self) -> None:
        """A product, away as long as ``error`` is set."""
        self.clock = Clock()
        self.product = Product(name="presence", clock=self.clock, settings=JobSettings())
        self.error: Exception | None = PresenceUnavailable("no Redis")
        self.tries = 0

    async def ask(self) -> str:
        """One call."""
        self.tries += 1
        if self.error is not None:
            raise self.error
        return "here"

    def persist(self) -> Deferred[str]:
        """Under way."""
        return Deferred.fromCoroutine(self.product.persist(self.ask))

    def test_it_asks_until_there_is_an_answer(self) -> None:
        """With growing pauses, a second at most."""
        answer = self.persist()
        self.clock.pump([0.05] * 200)
        self.assertNoResult(answer)
        self.assertTrue(10 <= self.tries <= 20, self.tries)
        self.error = None
        self.clock.pump([0.05] * 20)
        self.assertEqual(self.successResultOf(answer), "here")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_going_and_coming_are_said_once(self) -> None:
        """However many callers wait; trouble tells in between."""
        with capturedLogs() as logs:
            answers = [self.persist() for _ in range(5)]
            self.clock.pump([0.05] * 50)
            self.assertEqual(self.product.trouble(), "presence: no Redis")
            self.error = None
            self.clock.pump([0.05] * 50)
        for answer in answers:
            self.successResultOf(answer)
        self.assertIsNone(self.product.trouble())
        self.assertEqual(len(logs), 2)

    def test_a_bug_is_raised_at_once(self) -> None:
        """Only absence is waited out."""
        self.error = ZeroDivisionError()
        self.failureResultOf(self.persist(), ZeroDivisionError)
        self.assertEqual(self.tries, 1)

    def test_it_can_be_given_up(self) -> None:
        """Cancelling ends the pause."""
        answer = self.persist()
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])
