"""A crowd: many who come at one moment, stir while their room is pushed to, and go at one moment."""

from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING

from tests.simulation.client import FOREVER, Client, Visit
from tests.simulation.comet import CometProcess

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation

TOGETHER_SECONDS = 0.004  # in which all of them come, or go
STIR_SECONDS = 0.06  # in which their room is pushed to
PUSHES = (2, 6, 12)  # at that time


class Rush:
    """One coming and going."""

    __slots__ = ("come_at", "go_at", "place", "room", "stir_at")

    def __init__(self, chance: Random, *, rooms: tuple[str, ...], ends_at: float) -> None:
        self.come_at = chance.uniform(1.0, ends_at - 3.0)
        self.stir_at = self.come_at + chance.choice((0.0, 0.3, 1.0)) + chance.random() * 0.1
        self.go_at = min(ends_at, self.stir_at + chance.choice((0.03, 0.5, 3.0)))
        self.room = chance.choice(rooms)
        self.place = chance.randrange(12)  # of the comet that most go to, among those that are open


class Crowd:
    """Draws when there is a rush, and what strikes just then."""

    def __init__(self, sim: "Simulation") -> None:
        plan, self._sim = sim.plan, sim
        self._chance = sim.world.random("crowd")
        rushes = self._chance.randint(1, 2) if plan.crowd else 0
        self.rushes = [Rush(self._chance, rooms=plan.rooms, ends_at=plan.storm_seconds) for _ in range(rushes)]
        self.guests = [Guest(sim, self, number=len(sim.clients) + each) for each in range(plan.crowd)]

    def begin(self) -> None:
        """The guests see to themselves."""
        sim, chance = self._sim, self._chance
        keys = [guest.key for guest in self.guests[:3]]  # few, so that several wait for one
        for rush in self.rushes:
            for _ in range(chance.choice(PUSHES)):
                sim.world.at(rush.stir_at + chance.random() * STIR_SECONDS, sim.back_end.push_among, keys, rush.room)
            if sim.plan.faults and chance.random() < 0.5:
                moment = chance.choice((rush.come_at, rush.stir_at, rush.go_at)) + chance.random() * 0.02
                sim.world.at(moment, sim.chaos.strike, chance.choice(sim.plan.faults))


class Guest(Client):
    """One of them."""

    def __init__(self, sim: "Simulation", crowd: Crowd, *, number: int) -> None:
        self.key = f"guest{number}"
        super().__init__(sim, number=number, keys=[self.key], mid=100 + number)
        self._crowd = crowd
        self._rush: Rush | None = None  # the one that it is in

    def begin(self) -> None:
        """Be there at each."""
        for rush in self._crowd.rushes:
            self._sim.world.at(rush.come_at + self._chance.random() * TOGETHER_SECONDS, self._come, rush)
            self._sim.world.at(rush.stir_at + self._chance.random() * STIR_SECONDS, self._stir, rush)
            self._sim.world.at(rush.go_at + self._chance.random() * TOGETHER_SECONDS, self._go, rush)

    def prepare(self) -> None:
        """Nearly all want to be in one room."""
        assert self._rush is not None
        self.room = self._rush.room if self._chance.random() < 0.9 else self._chance.choice(self._sim.plan.rooms)

    def choose(self, comets: Sequence[CometProcess]) -> CometProcess:
        """Where most of them go."""
        assert self._rush is not None
        return comets[self._rush.place % len(comets)] if self._chance.random() < 0.9 else super().choose(comets)

    def opened(self, visit: Visit) -> None:
        """It is in, perhaps too late."""
        self._beat(visit)
        if self._rush is None:
            self._hang_up(visit)

    def ended(self, visit: Visit) -> None:
        """It does not come again of its own accord."""
        if self._visit is visit:
            self._visit = None

    def _come(self, rush: Rush) -> None:
        self._rush = rush
        if self._sim.open_comets():
            self._dial()

    def _go(self, rush: Rush) -> None:
        if self._rush is rush:
            self._rush = None
            if self._visit is not None:
                self._hang_up(self._visit)

    def _hang_up(self, visit: Visit) -> None:
        if self._chance.random() < 0.1:
            visit.stream.break_off()
        else:
            visit.stream.close()
            visit.lost("hangs up")

    def _stir(self, rush: Rush) -> None:
        visit = self._visit
        if self._rush is not rush or visit is None or visit.opened_at == FOREVER:
            return
        deed = self._chance.choice(("rest", "flap", "flap", "hop", "move", "replace", "replace"))
        if deed == "flap":
            self._flap(visit, self._chance.randint(1, 4))
        elif deed == "hop":  # out and in again, at once or nearly
            room = self.room
            visit.enter("")
            self._sim.world.after(self._chance.choice((0, 0.01)) * self._chance.random(), self._enter, visit, room)
        elif deed == "move":
            visit.enter(self._chance.choice(self._sim.plan.rooms))
        elif deed == "replace":
            visit.stream.close()
            visit.lost("hangs up, and comes again")
            self._sim.world.after(self._chance.random() * 0.01, self._come_again, rush)

    def _enter(self, visit: Visit, room: str) -> None:
        if not visit.over:
            visit.enter(room)

    def _come_again(self, rush: Rush) -> None:
        if self._rush is rush:
            self._come(rush)

    def _flap(self, visit: Visit, times: int) -> None:
        """Not read, and read again, within a few turns of its comet: nothing that is owed to it is excused by that."""
        visit.stream.reading = False
        self._sim.world.after(self._chance.random() * 0.02, self._flap_back, visit, times)

    def _flap_back(self, visit: Visit, times: int) -> None:
        visit.stream.read_again()
        if times > 1 and not visit.over:
            self._sim.world.after(self._chance.random() * 0.01, self._flap, visit, times - 1)
