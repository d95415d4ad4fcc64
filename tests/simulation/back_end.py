"""A back end: pushes to keys, members, rooms and all, and tries again when it heard nothing."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from imd.errors import ImdError, Overloaded, Unavailable
from imd.logic.push_request import PushRequest, PushResult, Result, To
from tests.simulation.client import OPERATIONS
from tests.simulation.logic import LogicProcess

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation

TRIES = 4
ANSWER_SECONDS = 3.0


class BackEnd:
    """Speaks to any logic. A push that it repeats has an idempotency key."""

    def __init__(self, sim: "Simulation", *, keys: list[str], mids: list[int]) -> None:
        self._sim = sim
        self._keys = keys
        self._mids = mids
        self._chance = sim.world.random("back end")
        self.accepted: list[bytes] = []  # bodies of pushes that were answered: accepted
        self._serial = 0

    def begin(self) -> None:
        """Push so much, spread over the storm; some of it in bursts."""
        plan = self._sim.plan
        at = 1.0
        for _ in range(plan.pushes):
            if self._chance.random() < 0.6:
                at = self._chance.uniform(1.0, plan.storm_seconds)
            self._sim.world.after(at + self._chance.random() * 0.01, self.push)

    def push_in_calm(self) -> None:
        """Some to all that is kept: nothing excuses their loss."""
        for _ in range(3):
            self._sim.world.after(self._chance.uniform(5, 10), self.push)

    def push(self) -> None:
        """One push to somebody."""
        chance = self._chance
        self._serial += 1
        to, speed = To(all=True), 0
        kind = chance.choice(("keys", "keys", "members", "members", "room", "room", "room", "room", "all", "speed"))
        if kind == "keys":
            to = To(keys=tuple(chance.sample(self._keys, chance.randint(1, min(3, len(self._keys))))))
        elif kind == "members":
            to = To(mids=tuple(chance.sample(self._mids, chance.randint(1, min(3, len(self._mids))))))
        elif kind == "room":
            to = To(room=chance.choice(self._sim.plan.rooms))
        elif kind == "speed":
            speed = chance.choice((2, 20))
        self._ask_for(to, speed)

    def push_among(self, keys: Sequence[str], room: str) -> None:
        """One push to a room, or to one who may be in it."""
        self._serial += 1
        self._ask_for(To(room=room) if self._chance.random() < 0.6 else To(keys=(self._chance.choice(keys),)), 0)

    def _ask_for(self, to: To, speed: int) -> None:
        chance = self._chance
        body = f"p{self._serial}" + "." * chance.choice((0, 0, 40, 300))
        key = f"once-{self._serial}" if chance.random() < 0.5 else ""
        request = PushRequest(
            to,
            chance.choice(OPERATIONS),
            body=body,
            idempotency_key=key,
            speed=speed,
            keep=False if chance.random() < 0.2 else None,
            trace=chance.random() < self._sim.plan.traced,
        )
        self._try(request, TRIES if key else 1)

    def _try(self, request: PushRequest, tries: int) -> None:
        logics = self._sim.open_logics()
        if not logics:
            self._again(request, tries)
            return
        logic = self._chance.choice(logics)
        heard: list[bool] = []
        world = self._sim.world
        there = self._chance.random() * 0.005
        world.after(there, logic.process.post, self._ask, request, logic, tries, heard)
        world.after(ANSWER_SECONDS, self._no_answer, request, tries, heard)

    def _ask(self, request: PushRequest, logic: LogicProcess, tries: int, heard: list[bool]) -> None:
        asked = Deferred.fromCoroutine(logic.push([request]))
        asked.addBoth(self._answered, request, tries, heard)

    def _answered(
        self, answer: list[PushResult] | Failure, request: PushRequest, tries: int, heard: list[bool]
    ) -> None:
        if heard:
            return
        heard.append(True)
        body = (request.body or "").encode()
        if isinstance(answer, Failure):
            if not answer.check(Unavailable, Overloaded):
                self._sim.world.fault(f"a push failed: {answer.getTraceback()}")
            assert isinstance(answer.value, ImdError)
            self._sim.world.note("back end", f"{body.decode()[:8]}: {answer.value.name}")
            self._again(request, tries)
        elif answer[0].result is Result.CONFLICT:
            self._sim.world.fault(f"{body!r} is in conflict with itself")
        else:
            self._sim.world.note("back end", f"{body.decode()[:8]}: {answer[0].result.value}")
            self.accepted.append(body)

    def _no_answer(self, request: PushRequest, tries: int, heard: list[bool]) -> None:
        if not heard:
            heard.append(True)
            self._again(request, tries)

    def _again(self, request: PushRequest, tries: int) -> None:
        if tries > 1:
            self._sim.world.after(self._chance.random(), self._try, msgspec.structs.replace(request), tries - 1)
