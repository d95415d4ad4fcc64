"""The outcomes of a batch."""

from twisted.trial.unittest import SynchronousTestCase

from imd.comet.answer import Answer
from imd.errors import PeerUnavailable
from imd.protocol.rpc import Outcome, Outcomes


class AnswerTests(SynchronousTestCase):
    """Filled in any order."""

    def test_in_the_batchs_order(self) -> None:
        """Given when the last is known."""
        answer = Answer(2)
        answer.settle(1, Outcome(2))
        self.assertNoResult(answer.deferred)
        answer.settle(0, Outcome(1))
        self.assertEqual(self.successResultOf(answer.deferred), Outcomes((Outcome(1), Outcome(2))))

    def test_empty(self) -> None:
        """A batch of nothing is answered at once."""
        self.assertEqual(self.successResultOf(Answer(0).deferred), Outcomes(()))

    def test_fail(self) -> None:
        """Once; what is known later changes nothing."""
        answer = Answer(1)
        answer.fail(PeerUnavailable("stopping"))
        answer.fail(PeerUnavailable("stopping"))
        answer.settle(0, Outcome())
        self.failureResultOf(answer.deferred, PeerUnavailable)

    def test_nobody_waits_any_more(self) -> None:
        """A caller that gave up does no harm."""
        answer = Answer(1)
        answer.deferred.addErrback(lambda _: None)
        answer.deferred.cancel()
        answer.settle(0, Outcome())
        self.assertIsNone(self.successResultOf(answer.deferred))
