"""Gathering: what many ask one by one, in few requests."""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from imd.errors import ImdError, Overloaded, PeerUnavailable
from imd.interfaces import Clock, Timer

TOGETHER = 128  # in a request: bounds what one slow answer can hold up, and how long the answers take to hand out
UNDER_WAY = 8  # requests: one that a peer is slow with holds up nobody but those in it
WAITING = 5_000  # who have to wait because all of those are under way; more are refused, as a link would
GATHER_SECONDS = 0.02  # that one waits at most for others to share a request with, while a place is free

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class Gathering(Generic[Question, Answer]):
    """The first is asked at once. Whoever asks while that is under way waits for its answer, or for a full request, or for
    ``GATHER_SECONDS``: so nobody pays for company in a quiet hour, and in a busy one the requests grow with the load.

    What comes of one request, an error too, is for those in it alone. Who is cancelled is not asked for any more, if it is not
    too late.
    """

    _log = Logger()

    __slots__ = ("_ask", "_clock", "_running", "_timer", "_waiting")

    def __init__(
        self, *, clock: Clock, ask: Callable[[Sequence[Question]], Awaitable[Sequence[Answer | ImdError]]]
    ) -> None:
        self._clock = clock
        self._ask = ask  # one answer, or error, a question, in their order; raises ImdError for all of them
        self._waiting: deque[tuple[Question, Deferred[Answer]]] = deque()
        self._running: set[Deferred[Any]] = set()  # one a request that is under way
        self._timer: Timer | None = None  # when those who wait have done so for long enough; None = nobody does

    def ask(self, question: Question) -> Deferred[Answer]:
        """Its answer. Raises :class:`Overloaded` when too many wait."""
        if len(self._waiting) >= WAITING:
            raise Overloaded(f"{WAITING} wait to ask")
        answer: Deferred[Answer] = Deferred()
        self._waiting.append((question, answer))
        if not self._running or len(self._waiting) >= TOGETHER:
            self._go()
        elif self._timer is None:
            self._timer = self._clock.callLater(GATHER_SECONDS, self._due)
        return answer

    def close(self) -> None:
        """Whoever waits still, or is being asked for, hears that nobody answers."""
        self._stop_timer()
        waiting, self._waiting = self._waiting, deque()
        for running in list(self._running):
            running.cancel()
        _hand_out([(answer, PeerUnavailable("the links were closed")) for _, answer in waiting])

    def _due(self) -> None:
        self._timer = None
        self._go()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _go(self) -> None:
        """Ask for those who wait, as far as there is a place."""
        self._stop_timer()
        while self._waiting and len(self._running) < UNDER_WAY:
            asked: list[tuple[Question, Deferred[Answer]]] = []
            while self._waiting and len(asked) < TOGETHER:
                question, answer = self._waiting.popleft()
                if not answer.called:  # else it was cancelled
                    asked.append((question, answer))
            if asked:
                self._begin(asked)

    def _begin(self, asked: list[tuple[Question, Deferred[Answer]]]) -> None:
        running = Deferred.fromCoroutine(self._answers(asked))
        self._running.add(running)  # until it is answered: perhaps at once
        running.addCallback(self._answered, running, asked)

    async def _answers(self, asked: list[tuple[Question, Deferred[Answer]]]) -> list[Answer | ImdError]:
        try:
            answers = list(await self._ask([question for question, _ in asked]))
            assert len(answers) == len(asked)
            return answers
        except ImdError as error:
            return [error] * len(asked)
        except CancelledError:
            return [PeerUnavailable("the links were closed")] * len(asked)
        except Exception:  # a bug: those who asked must not wait for ever
            self._log.failure("asking for {count} failed", count=len(asked))
            return [ImdError("internal error")] * len(asked)

    def _answered(
        self,
        answers: list[Answer | ImdError],
        running: Deferred[Any],
        asked: list[tuple[Question, Deferred[Answer]]],
    ) -> None:
        self._running.discard(running)
        self._go()  # first: the next are under way while these are handed out
        _hand_out([(answer, found) for (_, answer), found in zip(asked, answers, strict=True)])


def _hand_out(answers: Sequence[tuple[Deferred[Answer], Answer | ImdError]]) -> None:
    for answer, found in answers:
        if answer.called:
            continue  # cancelled
        if isinstance(found, ImdError):
            answer.errback(found)
        else:
            answer.callback(found)
