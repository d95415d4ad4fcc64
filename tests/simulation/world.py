"""The world: virtual time, and the processes that live in it."""

from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from traceback import format_exception
from typing import Any

from twisted.internet.error import AlreadyCalled, AlreadyCancelled

from tests.simulation.story import Story

EPOCH = 1_800_000_000.0  # the wall clock when a story begins
TURN_SECONDS = 0.001  # what a reactor's turn takes at most


class World:
    """One queue of everything that is still to come. Chance comes from one seed, in one stream a name: so what happens in one
    place does not depend on the order in which others draw."""

    def __init__(self, *, seed: int) -> None:
        self.seed = seed
        self.now = 0.0
        self.wall_offset = 0.0  # seconds that the wall clock has jumped
        self.story = Story()
        self._queue: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._serial = 0

    def random(self, name: str) -> Random:
        """The stream of this name."""
        return Random(f"{self.seed}/{name}")

    def wall(self) -> float:
        """The wall clock, which jumps."""
        return EPOCH + self.now + self.wall_offset

    def at(self, due: float, call: Callable[..., object], *args: Any) -> None:
        """Call it then, whoever lives."""
        self._serial += 1
        heappush(self._queue, (max(due, self.now), self._serial, call, args))

    def after(self, seconds: float, call: Callable[..., object], *args: Any) -> None:
        """Call it so much later."""
        self.at(self.now + seconds, call, *args)

    def note(self, who: str, words: str) -> None:
        """For the story."""
        self.story.note(self.now, who, words)

    def fault(self, words: str) -> None:
        """For the story, and for the verdict."""
        self.story.fault(self.now, words)

    def run_until(self, end: float) -> None:
        """Let everything happen that is due by then."""
        queue = self._queue
        while queue and queue[0][0] <= end:
            due, _, call, args = heappop(queue)
            self.now = due
            call(*args)
        self.now = end


class Timer:
    """What :meth:`Process.callLater` answers."""

    __slots__ = ("_args", "_call", "_kwargs", "_process", "_state")

    def __init__(self, process: "Process", call: Callable[..., object], args: Any, kwargs: Any) -> None:
        self._process = process
        self._call = call
        self._args = args
        self._kwargs = kwargs
        self._state = ""  # empty while it is to come

    def active(self) -> bool:
        return not self._state

    def cancel(self) -> None:
        if self._state:
            raise AlreadyCancelled if self._state == "cancelled" else AlreadyCalled
        self._state = "cancelled"

    def due(self) -> None:
        """Its time has come."""
        if not self._state:
            self._process.post(self._fire, timer=True)

    def _fire(self) -> None:
        if not self._state:
            self._state = "called"
            self._call(*self._args, **self._kwargs)


class Process:
    """One start of one operating system process: a clock for what runs in it, which may be paused, and end.

    What comes while it is paused is held and runs in one burst when it goes on: its timers first, or what came from outside
    first, as a reactor may. Nothing runs in one that ended, and nothing leaves it any more.
    """

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name  # with its boot: unique
        self.alive = True
        self.paused = False
        self.chance = world.random(name)
        self._held: list[tuple[bool, Callable[..., object], tuple[Any, ...]]] = []
        self._turn_at = 0.0  # when its next turn begins

    def seconds(self) -> float:
        return self.world.now

    def callLater(self, delay: float, callable: Callable[..., object], /, *args: Any, **kwargs: Any) -> Timer:
        timer = Timer(self, callable, args, kwargs)
        if self.alive:
            due = self.world.now + delay + self.chance.random() * TURN_SECONDS
            if delay <= 0:
                due = self._turn_at = max(self._turn_at, due)
            self.world.at(due, timer.due)
        return timer

    def callFromThread(self, callable: Callable[..., object], /, *args: Any, **kwargs: Any) -> None:
        self.callLater(0, callable, *args, **kwargs)

    def post(self, call: Callable[..., object], *args: Any, timer: bool = False) -> None:
        """Run it in this process: now, or when it goes on."""
        if not self.alive:
            return
        if self.paused:
            self._held.append((timer, call, args))
            return
        try:
            call(*args)
        except Exception as error:  # a reactor would log it and go on: here it is a fault
            self.world.fault(f"{self.name}: {''.join(format_exception(error))}")

    def pause(self) -> None:
        """As SIGSTOP does."""
        self.paused = True
        self.world.note(self.name, "is paused")

    def resume(self) -> None:
        """As SIGCONT does."""
        if not (self.paused and self.alive):
            return
        self.paused = False
        held, self._held = self._held, []
        order = self.chance.choice(("as it came", "timers first", "messages first"))
        self.world.note(self.name, f"goes on, {order}")
        if order != "as it came":
            held.sort(key=lambda each: each[0] != (order == "timers first"))
        for _, call, args in held:
            self.post(call, *args)

    def end(self) -> None:
        """As SIGKILL does."""
        self.alive = False
        self._held.clear()


class Lane:
    """One way between two places: what goes in comes out in order, some time later. Lanes do not wait for each other."""

    __slots__ = ("_chance", "_last", "_slow", "_world", "blocked_until")

    def __init__(self, world: World, name: str, *, slow: float) -> None:
        self._world = world
        self._chance = world.random(name)
        self._slow = slow  # the share of what takes long
        self._last = 0.0  # when the latest comes out
        self.blocked_until = 0.0

    def arrival(self) -> float:
        """When what goes in now comes out."""
        chance = self._chance
        delay = chance.random() * (0.4 if chance.random() < self._slow else 0.004)
        self._last = max(self._last + 1e-6, self._world.now + delay, self.blocked_until)
        return self._last
