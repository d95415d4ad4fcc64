"""Reader: what many clients ask of timelines, in few requests to logic."""

from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import islice

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from imd.comet.limits import Limits
from imd.comet.work import Work
from imd.errors import ImdError, PeerUnavailable
from imd.interfaces import Clock, LogicClient, Timer
from imd.protocol.rpc import Follow, Page, Read

FOLLOWS = 1_000  # in one request: the wire's limit

Answer = Page | ImdError
Hand = Callable[[Answer], None]  # who asked: called once, unless this comet stops before


class Reader:
    """At most ``Limits.reads`` requests are under way; what is asked meanwhile is gathered into the next, the same question of
    many is asked once.

    A question never joins a request that is under way: its answer may be older than what made somebody ask. Answers are
    handed out ``Limits.deliveries_per_turn`` a reactor turn, and nothing is read while some are left: so no more pages are held
    than ``Limits.reads`` answers have.
    """

    _log = Logger()

    __slots__ = (
        "_answers",
        "_asked",
        "_clock",
        "_left",
        "_limits",
        "_logic",
        "_over",
        "_server",
        "_timer",
        "_under_way",
        "_work",
    )

    def __init__(self, *, server: str, logic: LogicClient, clock: Clock, work: Work, limits: Limits) -> None:
        self._server = server
        self._logic = logic
        self._clock = clock
        self._work = work
        self._limits = limits
        self._asked: dict[
            Follow, list[Hand]
        ] = {}  # not sent yet; the first asked first. One a position and a client at most
        self._answers: deque[tuple[Hand, Answer]] = deque()  # not handed out yet
        self._under_way = 0  # requests
        self._over = False  # stopped
        self._left = limits.deliveries_per_turn  # answers that may be handed out in this turn
        self._timer: Timer | None = None  # the next turn; None = nothing was handed out since the last

    def ask(self, follow: Follow, hand: Hand) -> None:
        """The page, or why there is none, will go to ``hand``, after :meth:`go`: so that all that is asked in one step is one
        request."""
        if self._over:
            hand(PeerUnavailable("this comet is stopping"))
            return
        self._asked.setdefault(follow, []).append(hand)

    async def pages(self, follows: tuple[Follow, ...]) -> list[Page]:
        """One page for each. Raises :class:`ImdError`."""
        found: dict[int, Page] = {}
        done: Deferred[None] = Deferred()

        def hand(number: int, answer: Answer) -> None:
            if done.called:
                return
            if isinstance(answer, ImdError):
                done.errback(answer)
                return
            found[number] = answer
            if len(found) == len(follows):
                done.callback(None)

        for number, follow in enumerate(follows):
            self.ask(follow, partial(hand, number))
        self.go()
        await done
        return [found[number] for number in range(len(follows))]

    def stop(self) -> None:
        """Ask nothing more: who waits, and who asks from now on, hears that this comet is stopping."""
        self._over = True
        asked, self._asked = self._asked, {}
        self._answers.extend(
            (hand, PeerUnavailable("this comet is stopping")) for hands in asked.values() for hand in hands
        )
        self._hand_out()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def go(self) -> None:
        """Send what was asked, as far as it may be. Pages may come at once."""
        while self._asked and self._under_way < self._limits.reads and not self._answers:
            asked = {follow: self._asked.pop(follow) for follow in list(islice(self._asked, FOLLOWS))}
            self._under_way += 1
            self._work.start(self._read(asked))

    async def _read(self, asked: dict[Follow, list[Hand]]) -> None:
        answers: list[Answer] = []
        try:
            answers += (await self._logic.read(Read(server=self._server, follows=tuple(asked)))).pages
            if len(answers) != len(asked):
                raise ImdError(f"logic answered {len(answers)} pages for {len(asked)}")
        except ImdError as error:
            self._log.debug("reading timelines failed: {error}", error=error)
            answers = [error] * len(asked)
        except CancelledError:
            raise
        except Exception:  # a bug: those who asked must not wait for ever
            self._log.failure("reading timelines failed")
            answers = [ImdError("reading timelines failed")] * len(asked)
        finally:
            self._under_way -= 1
        for hands, answer in zip(asked.values(), answers, strict=True):
            self._answers.extend((hand, answer) for hand in hands)
        self._hand_out()

    def _turn(self) -> None:
        self._timer = None
        self._left = self._limits.deliveries_per_turn
        self._hand_out()

    def _hand_out(self) -> None:
        while self._answers and (self._left > 0 or self._over):  # a comet that stops waits for who still asks
            self._left -= 1
            hand, answer = self._answers.popleft()
            try:
                hand(answer)
            except Exception:  # whatever is wrong with one client, the next ones get theirs
                self._log.failure("handing out a page failed")
        if self._timer is None and self._left < self._limits.deliveries_per_turn and not self._over:
            self._timer = self._clock.callLater(0, self._turn)
        self.go()
