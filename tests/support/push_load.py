"""A back end that pushes all the time, and what it was promised."""

from collections.abc import Sequence
from itertools import cycle
from uuid import uuid4

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from tests.support.http_call import CallFailed, http
from tests.support.reactor import reactor

RATE = 60.0  # pushes a second, at most, unless told otherwise
PATIENCE_SECONDS = 3.0  # that an answer may take, the same


class PushLoad:
    """Pushes "<name> 0", "<name> 1"… one after another to each of ``targets`` (name -> ``to`` of /v1/push), in turns.

    A push that was not answered with 200 is repeated at the next logic under the same idempotency key until it is: then it is
    in :attr:`accepted`.
    """

    def __init__(
        self,
        *,
        logics: Sequence[str],
        targets: dict[str, object],
        rate: float = RATE,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self.logics = logics  # base URLs; may be replaced
        self._targets = targets
        self._rate = rate
        self._patience_seconds = patience_seconds
        self.accepted: dict[str, list[bytes]] = {name: [] for name in targets}  # bodies in order
        self.accepted_at: dict[bytes, float] = {}  # body -> when the answer came, the reactor's seconds
        self.refused: list[str] = []  # what came instead of a 200, and from which logic
        self.longest_seconds = 0.0  # that a push took, all its tries
        self._stopping = False
        self._running: Deferred[None] | None = None  # None before start

    def start(self) -> "PushLoad":
        self._running = Deferred.fromCoroutine(self._run())
        return self

    async def stop(self) -> None:
        """Returns when the last push is accepted."""
        self._stopping = True
        assert self._running is not None, "it was not started"
        await self._running

    @property
    def count(self) -> int:
        """Pushes accepted so far."""
        return sum(map(len, self.accepted.values()))

    def cancel(self) -> None:
        """A clean-up: stop, whatever is under way."""
        if self._running is not None and not self._running.called:
            self._running.addErrback(lambda failure: failure.trap(CancelledError))
            self._running.cancel()

    async def _run(self) -> None:
        for turn, (name, to) in enumerate(cycle(self._targets.items())):
            if self._stopping:
                return
            began = reactor.seconds()
            body = f"{name} {len(self.accepted[name])}"
            push = {"to": to, "op": 1000, "body": body, "idempotency_key": uuid4().hex}
            tries = turn
            while not await self._push(self.logics[tries % len(self.logics)], push):
                tries += 1
            self.accepted[name].append(body.encode())
            self.accepted_at[body.encode()] = reactor.seconds()
            took = reactor.seconds() - began
            self.longest_seconds = max(self.longest_seconds, took)
            await deferLater(reactor, max(0.0, 1 / self._rate - took))

    async def _push(self, logic: str, push: dict[str, object]) -> bool:
        try:
            answer = await http("POST", logic, "/v1/push", msgspec.json.encode(push), seconds=self._patience_seconds)
        except CallFailed as error:
            self.refused.append(f"{logic}: {error}")
            await deferLater(reactor, 0.05)
            return False
        if answer.status != 200:
            self.refused.append(f"{logic}: {answer.status} {answer.body!r}")
            await deferLater(reactor, 0.05)
        return answer.status == 200


def in_order(received: list[bytes], accepted: list[bytes]) -> str:
    """Empty when every accepted push is there, the first copies in the order of acceptance; else what is wrong."""
    wanted = set(accepted)
    firsts = list(dict.fromkeys(body for body in received if body in wanted))
    if firsts == accepted:
        return ""
    missing = [body for body in accepted if body not in set(firsts)]
    at = next((n for n, (a, b) in enumerate(zip(firsts, accepted, strict=False)) if a != b), len(firsts))
    return f"{len(missing)} of {len(accepted)} missing: {missing[:5]}; first difference at {at}: {firsts[at : at + 5]}"
