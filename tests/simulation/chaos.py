"""Chaos: brings about the faults of a plan, and remembers what they may excuse."""

from typing import TYPE_CHECKING

from tests.simulation.rpc_network import COMET_DEADLINE_SECONDS, SILENCE_SECONDS

if TYPE_CHECKING:
    from tests.simulation.simulation import Part, Simulation

STORE_SECONDS = (
    14.0  # after which presence is right again though its store was lost: a full cycle of renewals, and a lease
)
LATE_SECONDS = 6.0  # a request that was given up may be done so much later than its fault ended


class Excuses:
    """When something was disturbed, by name."""

    def __init__(self) -> None:
        self._spans: dict[str, list[tuple[float, float]]] = {}

    def add(self, name: str, begin: float, end: float) -> None:
        """It was."""
        self._spans.setdefault(name, []).append((begin, end))

    def any(self, name: str, begin: float, end: float) -> bool:
        """Whether it was at some time between these."""
        return any(since < end and until > begin for since, until in self._spans.get(name, ()))


class Chaos:
    """Ends when the storm does; what it broke is repaired by then or soon after."""

    def __init__(self, sim: "Simulation") -> None:
        self._sim = sim
        self._chance = sim.world.random("chaos")

    def begin(self) -> None:
        """The first fault comes some time; backups are made meanwhile."""
        self._back_up()
        if self._sim.plan.faults:
            self._next()

    def _next(self) -> None:
        self._sim.world.after(self._chance.expovariate(self._sim.plan.fault_rate), self._struck)

    def _struck(self) -> None:
        if self._sim.world.now <= self._sim.plan.storm_seconds:
            self.strike(self._chance.choice(self._sim.plan.faults))
            self._next()

    def strike(self, fault: str) -> None:
        """One of :data:`tests.simulation.plan.FAULTS`, now."""
        sim = self._sim
        deed, _, whom = fault.partition(" ")
        if deed in ("crash", "stop", "pause"):
            parts = [part for part in sim.parts(whom) if part.listening and not part.process.paused]
            if parts:
                getattr(self, f"_{deed}")(self._chance.choice(parts))
        elif deed == "strand":
            self._strand()
        elif deed in ("cut", "block"):
            self._disconnect(deed)
        elif deed == "store":
            self._store(whom)
        elif deed == "jump":
            sim.world.wall_offset += self._chance.choice((-3600, -2, 2, 3600)) * self._chance.random()
            sim.world.note("chaos", f"the wall clock is {sim.world.wall_offset:.1f} s off")
        else:
            self._product(deed, whom)

    def _back_up(self) -> None:
        sim = self._sim
        if sim.world.now < sim.plan.storm_seconds:
            sim.store.back_up(sim.storage.snapshot())
            sim.world.after(self._chance.expovariate(0.7), self._back_up)

    def _store(self, deed: str) -> None:
        """Of all of Redis: what presence has goes with the rest."""
        sim, chance, now = self._sim, self._chance, self._sim.world.now
        sim.world.note("chaos", f"the store {deed}")
        restarts = deed != "lost" or chance.random() < 0.5
        if deed == "lost":
            sim.storage.empty()
            sim.store.empty(restart=restarts)
        elif deed == "goes back":
            presence = sim.store.roll_back()
            if presence is None:
                return
            sim.storage.restore(presence)
        else:
            sim.store.restart()
        if restarts:
            sim.storage.product.restart()
        sim.excuses.add("store", now - LATE_SECONDS, now + STORE_SECONDS)
        sim.excuses.add("late", now - LATE_SECONDS, now + 2 * LATE_SECONDS)

    def _crash(self, part: "Part") -> None:
        self._sim.crash(part, silent=self._chance.random() < 0.3)

    def _stop(self, part: "Part") -> None:
        self._sim.stop(part)

    def _pause(self, part: "Part") -> None:
        sim, seconds = self._sim, self._chance.choice((0.2, 2.0, 8.0)) * self._chance.random()
        now = sim.world.now
        part.process.pause()
        sim.world.note("chaos", f"... for {seconds:.2f} s")
        sim.excuses.add(f"{part.role} paused", now, now + seconds + LATE_SECONDS)
        sim.excuses.add(part.process.name, now, now + seconds + LATE_SECONDS)
        if part.role != "job":
            sim.excuses.add("late", now - LATE_SECONDS, now + seconds + 2 * LATE_SECONDS)
        if seconds > SILENCE_SECONDS:
            sim.world.after(SILENCE_SECONDS, sim.network.starve, part.process)
            sim.world.after(SILENCE_SECONDS, sim.end_session, part)
        sim.world.after(seconds, self._resume, part)

    def _strand(self) -> None:
        """The registry gives up a job that goes on."""
        sim, seconds = self._sim, self._chance.uniform(1, 8)
        part = self._chance.choice(sim.parts("job")) if sim.parts("job") else None
        if part is None or not sim.strand(part):
            return
        sim.world.note("chaos", f"{part.process.name} is cut off from the registry for {seconds:.2f} s")
        sim.excuses.add("job paused", sim.world.now, sim.world.now + seconds + LATE_SECONDS)
        sim.excuses.add(part.process.name, sim.world.now, sim.world.now + seconds + LATE_SECONDS)
        sim.world.after(seconds, self._resume, part)

    def _resume(self, part: "Part") -> None:
        if part.process.alive:
            part.process.resume()
            self._sim.begin_session(part)

    def _disconnect(self, deed: str) -> None:
        sim, chance, now = self._sim, self._chance, self._sim.world.now
        connections = list(sim.network.connections.values())
        if not connections:
            return
        connection = chance.choice(connections)
        one, other = connection.dialer.process, connection.server.process
        seconds = 0.0
        if deed == "cut":
            sim.network.cut(connection, silent=chance.random() < 0.3)
        else:
            seconds = chance.choice((0.5, 2.5, 6.0)) * chance.random()
            sim.network.block(one, other, seconds)
        sim.world.note("chaos", f"{deed} {one.name} - {other.name} for {seconds:.2f} s")
        end = now + seconds + SILENCE_SECONDS + COMET_DEADLINE_SECONDS
        if one.name.startswith("job"):
            sim.excuses.add(other.name, now - COMET_DEADLINE_SECONDS, end + COMET_DEADLINE_SECONDS)
        else:
            sim.excuses.add("late", now - LATE_SECONDS, end + LATE_SECONDS)

    def _product(self, name: str, deed: str) -> None:
        sim, chance = self._sim, self._chance
        product = sim.store.product if name == "broker" else sim.storage.product
        seconds = chance.uniform(0.2, 5.0)
        sim.world.note("chaos", f"{name} {deed} for {seconds:.2f} s")
        if deed == "away":
            product.away = True
        elif deed == "flaky":
            product.fail_before, product.fail_after = chance.random() * 0.5, chance.random() * 0.5
        else:
            product.stall_until = max(product.stall_until, sim.world.now + seconds)
            sim.excuses.add("late", sim.world.now - LATE_SECONDS, sim.world.now + seconds + 2 * LATE_SECONDS)
        sim.world.after(seconds, self._mend, name)

    def _mend(self, name: str) -> None:
        product = self._sim.store.product if name == "broker" else self._sim.storage.product
        product.away, product.fail_before, product.fail_after = False, 0.0, 0.0
        self._sim.world.note("chaos", f"{name} is well")
