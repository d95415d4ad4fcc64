"""Promises of gathering: who shares a request, who waits, what becomes of whom."""

from collections.abc import Sequence

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.errors import ImdError, Overloaded, PeerDown, PeerUnavailable
from imd.transport.rpc_gather import GATHER_SECONDS, TOGETHER, UNDER_WAY, WAITING, Gathering


class GatheringTests(SynchronousTestCase):
    """A peer that answers when a test says so."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.requests: list[Sequence[int]] = []
        self.pending: list[Deferred[list[str | ImdError]]] = []  # one a request
        self.gathering: Gathering[int, str] = Gathering(clock=self.clock, ask=self.request)

    async def request(self, questions: Sequence[int]) -> list[str | ImdError]:
        self.requests.append(questions)
        self.pending.append(Deferred())
        return await self.pending[-1]

    def answer(self, number: int = 0) -> None:
        """The request of this place among those that are under way."""
        pending = [at for at, each in enumerate(self.pending) if not each.called]
        at = pending[number]
        self.pending[at].callback([f"answer {question}" for question in self.requests[at]])

    def ask(self, *questions: int) -> list[Deferred[str]]:
        return [self.gathering.ask(question) for question in questions]

    def test_the_first_is_asked_at_once(self) -> None:
        """Alone, with no timer."""
        (answer,) = self.ask(1)
        self.assertEqual(self.requests, [[1]])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.answer()
        self.assertEqual(self.successResultOf(answer), "answer 1")

    def test_those_who_come_meanwhile_share_the_next(self) -> None:
        """Which begins when the first is answered; each gets its own answer."""
        first, *others = self.ask(1, 2, 3)
        self.assertEqual(self.requests, [[1]])
        self.answer()
        self.assertEqual(self.requests, [[1], [2, 3]])
        self.successResultOf(first)
        self.answer()
        self.assertEqual([self.successResultOf(each) for each in others], ["answer 2", "answer 3"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_slow_answer_holds_nobody_up_for_long(self) -> None:
        """Those who came meanwhile are asked for after a moment, beside it."""
        self.ask(1, 2, 3)
        self.clock.advance(GATHER_SECONDS / 2)
        self.assertEqual(self.requests, [[1]])
        self.clock.advance(GATHER_SECONDS / 2)
        self.assertEqual(self.requests, [[1], [2, 3]])
        (late,) = self.ask(4)
        self.answer(1)
        self.assertEqual(self.requests[-1], [4])
        self.answer(1)
        self.assertEqual(self.successResultOf(late), "answer 4")

    def test_full_requests(self) -> None:
        """A full one does not wait; no more than so many are under way, and who comes then waits for a place."""
        self.ask(*range(1 + TOGETHER * UNDER_WAY))
        self.assertEqual([len(each) for each in self.requests], [1] + [TOGETHER] * (UNDER_WAY - 1))
        self.clock.advance(GATHER_SECONDS)
        self.assertEqual(len(self.requests), UNDER_WAY)
        self.answer()
        self.assertEqual(len(self.requests[-1]), TOGETHER)
        self.assertEqual([each for request in self.requests for each in request], list(range(1 + TOGETHER * UNDER_WAY)))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_too_many(self) -> None:
        """Beyond the limit they are refused; those who wait already are not."""
        self.ask(*range(1 + TOGETHER * (UNDER_WAY - 1)))
        self.ask(*range(WAITING))
        self.assertRaises(Overloaded, self.gathering.ask, 1)

    def test_errors(self) -> None:
        """One of a question is its own; one of a request is of all in it, and of nobody else."""
        first, *others = self.ask(1, 2, 3)
        self.pending[0].errback(PeerDown("gone"))
        self.failureResultOf(first, PeerDown)
        self.pending[1].callback([PeerUnavailable("for this one"), "fine"])
        self.failureResultOf(others[0], PeerUnavailable)
        self.assertEqual(self.successResultOf(others[1]), "fine")

    def test_a_bug(self) -> None:
        """Is logged, and nobody waits for ever: an exception, or too few answers."""
        results: tuple[Exception | list[str | ImdError], ...] = (ZeroDivisionError("as a bug would"), [])
        for result in results:
            (asked,) = self.ask(1)
            if isinstance(result, Exception):
                self.pending[-1].errback(result)
            else:
                self.pending[-1].callback(result)
            self.failureResultOf(asked, ImdError)
            self.assertEqual(len(self.flushLoggedErrors()), 1)

    def test_cancelled(self) -> None:
        """Who no longer waits is not asked for; too late, and the answer goes nowhere."""
        asked = self.ask(1, 2, 3)
        for number in (0, 1):
            asked[number].cancel()
            self.failureResultOf(asked[number], CancelledError)
        self.answer()
        self.assertEqual(self.requests[1:], [[3]])
        self.answer()
        self.assertEqual(self.successResultOf(asked[2]), "answer 3")

    def test_all_cancelled(self) -> None:
        """There is nothing to ask then."""
        _, second = self.ask(1, 2)
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.answer()
        self.assertEqual(self.requests, [[1]])
        self.ask(3)
        self.assertEqual(self.requests, [[1], [3]])

    def test_close(self) -> None:
        """Whoever waits hears of it, be it asked for or not; no call is left on the clock."""
        asked = self.ask(1, 2)
        self.gathering.close()
        for each in asked:
            self.failureResultOf(each, PeerUnavailable)
        self.assertEqual(self.clock.getDelayedCalls(), [])
