"""One simulation: a cluster and its clients through a storm, then calm, then everybody goes; and what was wrong about it."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogLevel, formatEvent, globalLogBeginner, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from imd.comet.channel import Channel
from tests.simulation import aftermath, judge, kept, ledger
from tests.simulation.back_end import BackEnd
from tests.simulation.chaos import LATE_SECONDS, Chaos, Excuses
from tests.simulation.client import Client
from tests.simulation.comet import CometProcess
from tests.simulation.crowd import Crowd
from tests.simulation.job import JobProcess
from tests.simulation.logic import LogicProcess
from tests.simulation.newer_client import NewerClient
from tests.simulation.plan import LEASE_SECONDS, plan
from tests.simulation.products import Storage
from tests.simulation.registry import SESSION_SECONDS, Coordinator, Ensemble
from tests.simulation.rpc_network import RpcNetwork
from tests.simulation.store import Store
from tests.simulation.world import World

Part = CometProcess | LogicProcess | JobProcess
KINDS: dict[str, Callable[..., Part]] = {"comet": CometProcess, "logic": LogicProcess, "job": JobProcess}

HEAL_SECONDS = 15.0  # after the storm, for all that was broken
CALM_SECONDS = 25.0  # then nobody comes or goes, and all that is owed is done
LEAVE_SECONDS = 30.0  # then everybody goes; lingers and departures end


class Verdict(NamedTuple):
    """What a seed came to."""

    seed: int
    digest: str
    faults: list[str]  # empty = every promise was kept
    story: list[str]  # the last events
    events: int
    checked: int  # deliveries that had to happen, and whose absence nothing would have excused


class Simulation:
    """Everything that there is in one story."""

    def __init__(self, seed: int) -> None:
        world = self.world = World(seed=seed)
        drawn = self.plan = plan(world.random("plan"))
        self.network = RpcNetwork(world, slow=drawn.slow)
        self.ensemble = Ensemble(world, slow=drawn.slow)
        self.coordinator = Coordinator(self.ensemble, partitions=drawn.partitions)
        self.storage = Storage(world, lease_seconds=LEASE_SECONDS, slow=drawn.slow)
        self.store = Store(world, partitions=drawn.partitions, head_seconds=drawn.head_seconds, slow=drawn.slow)
        self.excuses = Excuses()
        self.all_parts: list[Part] = []  # every start of every process
        self._living: dict[str, Part] = {}  # by name
        self._changed: dict[str, Any] = {}  # jobs whose session ended, and whom to tell when they are back
        count = drawn.clients
        keys = [f"key{number % max(2, count // 2) if drawn.shared_keys else number}" for number in range(count)]
        mids = [number % max(1, count - 1) for number in range(count)]
        newer = world.random("versions")
        self.clients: list[Client] = [
            (NewerClient if newer.random() < drawn.newer else Client)(
                self, number=number, keys=[key] if key != "key0" else [key, ""], mid=mid
            )
            for number, (key, mid) in enumerate(zip(keys, mids, strict=True))
        ]
        self.crowd = Crowd(self)
        self.clients += self.crowd.guests
        self.keys = sorted(set(keys))
        self.back_end = BackEnd(self, keys=self.keys, mids=sorted({mid for mid in mids if mid} or {1}))
        self.chaos = Chaos(self)
        self.checked = 0  # timelines of clients that were looked at
        world.note("plan", str(drawn))

    def run(self) -> None:
        """The whole story."""
        world, drawn = self.world, self.plan
        for role, number in (("logic", drawn.logics), ("comet", drawn.comets), ("job", drawn.jobs)):
            for each in range(number):
                self.start(role, f"{role}{each + 1}")
        for client in self.clients:
            client.begin()
        self.back_end.begin()
        self.chaos.begin()
        self.crowd.begin()
        world.run_until(drawn.storm_seconds + HEAL_SECONDS)
        world.note("storm", "is over")
        for client in self.clients:
            client.become_calm()
        self.back_end.push_in_calm()
        world.run_until(drawn.storm_seconds + HEAL_SECONDS + CALM_SECONDS)
        aftermath.check_calm(self)
        self.checked = kept.check(self)
        for client in self.clients:
            client.rest()
        world.run_until(drawn.storm_seconds + HEAL_SECONDS + CALM_SECONDS + LEAVE_SECONDS)
        aftermath.check_end(self)
        ledger.check(self)

    # --- processes

    def parts(self, role: str) -> list[Part]:
        """Those that live."""
        return [part for part in self._living.values() if part.role == role]

    def comets(self) -> list[CometProcess]:
        """Those that live."""
        return [part for part in self._living.values() if isinstance(part, CometProcess)]

    def open_comets(self) -> list[CometProcess]:
        """Those that clients can reach."""
        return [comet for comet in self.comets() if comet.listening]

    def open_logics(self) -> list[LogicProcess]:
        """Those that back ends can reach."""
        return [part for part in self._living.values() if isinstance(part, LogicProcess) and part.listening]

    def taken(self, key: str) -> bool:
        """Whether a client has the key, or is about to: in the calm, clients do not take it from each other."""
        return any(not visit.over and visit.key == key for client in self.clients for visit in client.visits)

    def start(self, role: str, name: str) -> None:
        """Start a process."""
        number = 1 + sum(part.name == name for part in self.all_parts)
        part = self._living[name] = KINDS[role](self, name, start=number)
        self.all_parts.append(part)
        self._begin(part, part.open(), "open")

    def stop(self, part: Part) -> None:
        """As SIGTERM does, and start it again."""
        if not (part.process.alive and part.listening):
            return
        if part.busy:  # as an assignment does: it has one call at a time
            self.world.after(0.5, self.stop, part)
            return
        self.world.note(part.process.name, "stops")
        self.excuses.add(part.process.name, self.world.now - LATE_SECONDS, 1e9)
        closing = self._begin(part, part.close(), "close")
        closing.addCallback(lambda _: self.crash(part))

    def crash(self, part: Part, *, silent: bool = False) -> None:
        """As SIGKILL does, and start it again some time. ``silent``: as if its machine were gone."""
        process, world = part.process, self.world
        if not process.alive:
            return
        world.note(process.name, "is gone" if part.stopped else "is killed")
        part.listening = False
        process.end()
        self.excuses.add(process.name, world.now - LATE_SECONDS, 1e9)
        if part.role == "logic":
            self.excuses.add("late", world.now - LATE_SECONDS, world.now + 2 * LATE_SECONDS)
        if isinstance(part, CometProcess):
            for client in self.clients:
                for visit in client.visits:
                    if visit.comet is part and not visit.over:
                        visit.stream.comet_died(6.0 if silent else 0.05)
        self.network.vanish(process, silent=silent)
        world.after(SESSION_SECONDS, self.end_session, part)
        world.after(world.random(f"restart/{process.name}").uniform(0.3, 5.0), self._restart, part)

    def _restart(self, part: Part) -> None:
        self.start(part.role, part.name)

    def _begin(self, part: Part, coroutine: Any, words: str) -> "Deferred[None]":
        def failed(failure: Failure) -> None:
            # its daemon ends it, and starts it again
            self.world.note(part.process.name, f"cannot {words}: {failure.getErrorMessage()}")
            part.process.callLater(0, self.crash, part)

        return Deferred.fromCoroutine(coroutine).addErrback(failed)

    # --- sessions with the registry

    def end_session(self, part: Part) -> None:
        """It has not been heard of for too long."""
        process = part.process
        if process.alive and not process.paused:
            return
        left = self.ensemble.leave(process)
        if process.alive:
            self._changed[process.name] = (left, self.coordinator.lose(process))
        elif part.role == "job":
            self.coordinator.lose(process)

    def strand(self, part: Part) -> bool:
        """The registry hears nothing of it any more, and it nothing of that. False when it is not the time for that."""
        process = part.process
        calm = part.listening and process.alive and not process.paused and not part.busy
        if not calm or process.name in self._changed or self.coordinator.asks(process):
            return False
        self._changed[process.name] = (self.ensemble.leave(process), self.coordinator.lose(process))
        return True

    def begin_session(self, part: Part) -> None:
        """It goes on, and finds its session gone."""
        left, changed = self._changed.pop(part.process.name, ([], None))
        lane = self.ensemble.lane(part.process)
        if changed is not None:
            part.process.post(self._give_up, part, changed)
        for instance in left:
            self.world.at(lane.arrival(), part.process.post, self._enter_again, part, instance)

    def _enter_again(self, part: Part, instance: Any) -> None:
        if part.listening:
            self.ensemble.enter(instance, part.process)

    def _give_up(self, part: Part, changed: Any) -> None:
        def given_up(_: object) -> None:
            part.busy = False
            if part.listening:
                self.coordinator.join(part.process, changed)

        part.busy = True
        Deferred.fromCoroutine(changed(frozenset())).addCallback(given_up)


@contextmanager
def _ordered() -> Iterator[None]:
    """Sets of channels in the order of their keys: by address it would be another one each time."""
    by_address = Channel.__hash__
    by_key: Any = lambda channel: hash(channel.key)  # noqa: E731  # mypy would compare a def with object's
    setattr(Channel, "__hash__", by_key)  # noqa: B010  # as above
    try:
        yield
    finally:
        setattr(Channel, "__hash__", by_address)  # noqa: B010  # as above


@contextmanager
def _logged(sim: Simulation) -> Iterator[None]:
    """Whatever is logged as a failure or an error is a fault."""

    @implementer(ILogObserver)
    def observe(event: Any) -> None:
        level = event.get("log_level")
        if "log_failure" in event or level in (LogLevel.error, LogLevel.critical):
            failure = event.get("log_failure")
            sim.world.fault(f"{formatEvent(event)} {failure.getTraceback() if failure else ''}")

    globalLogPublisher.addObserver(observe)
    try:
        yield
    finally:
        globalLogPublisher.removeObserver(observe)


@implementer(ILogObserver)
def _ignore(event: Any) -> None:
    """Nobody reads it."""


def quiet() -> None:
    """Log to nobody but simulations: once a process."""
    globalLogBeginner.beginLoggingTo([_ignore], redirectStandardIO=False, discardBuffer=True)


def simulate(seed: int) -> Verdict:
    """Run a seed. Its story is the same each time, in a process whose strings hash the same (PYTHONHASHSEED)."""
    gc.disable()
    sim = Simulation(seed)
    try:
        with _ordered(), _logged(sim):
            sim.run()
            checked = sim.checked + judge.check(sim)
    finally:
        gc.enable()
    story = sim.world.story
    return Verdict(seed, story.digest, list(story.faults), list(story.last), story.events, checked)
