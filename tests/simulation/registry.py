"""The registry and the assignment, as a ZooKeeper would keep them: sessions that end late, news that comes late."""

from collections.abc import Awaitable, Callable, Sequence

from twisted.internet.defer import Deferred

from imd.backend.partition_share import share
from imd.errors import ServerIdTaken
from imd.interfaces import Instance
from tests.simulation.world import Lane, Process, World

Listener = Callable[[Sequence[Instance]], None]
SESSION_SECONDS = 3.0


class _Watch:
    """One listener of one process."""

    def __init__(self, process: Process, role: str, listener: Listener, lane: Lane) -> None:
        self.process = process
        self.role = role
        self.listener = listener
        self.lane = lane
        self.over = False

    def tell(self, instances: Sequence[Instance]) -> None:
        """News arrived in the process."""
        if not self.over:
            self.listener(instances)


class Ensemble:
    """Which processes there are, as the sessions say."""

    def __init__(self, world: World, *, slow: float) -> None:
        self.world = world
        self._slow = slow
        self._entries: dict[tuple[str, str], tuple[Instance, Process]] = {}
        self._watches: list[_Watch] = []
        self._lanes: dict[str, Lane] = {}
        self.entered_at: dict[
            tuple[str, int], float
        ] = {}  # (comet, boot) -> when everybody may know of it, at the latest
        self.worker_ids = 0

    def lane(self, process: Process) -> Lane:
        """To and from a process."""
        if process.name not in self._lanes:
            self._lanes[process.name] = Lane(self.world, f"registry/{process.name}", slow=self._slow)
        return self._lanes[process.name]

    async def trip(self, process: Process) -> None:
        """A request goes there."""
        arrived: Deferred[None] = Deferred()

        def arrive() -> None:
            if not arrived.called:
                arrived.callback(None)

        self.world.at(self.lane(process).arrival(), process.post, arrive)
        await arrived

    def enter(self, instance: Instance, process: Process) -> None:
        """As :meth:`imd.interfaces.Registry.register`."""
        name = (instance.role, instance.id)
        held = self._entries.get(name)
        if held is not None and held[1] is not process:
            raise ServerIdTaken(f"{name} is {held[1].name}'s")
        self._entries[name] = (instance, process)
        if held is None:
            self.world.note("registry", f"{process.name} is in")
            self.entered_at[instance.id, instance.boot] = self.world.now
        self._tell(instance.role)

    def update(self, instance: Instance, process: Process) -> None:
        """As :meth:`imd.interfaces.Registry.update`."""
        if (held := self._entries.get((instance.role, instance.id))) is not None and held[1] is process:
            self.enter(instance, process)

    def leave(self, process: Process) -> list[Instance]:
        """Its session ended, or it took itself out; answers what it had entered."""
        gone = [name for name, (_, owner) in self._entries.items() if owner is process]
        left = [self._entries.pop(name)[0] for name in gone]
        if gone:
            self.world.note("registry", f"{process.name} is out")
        for role, _ in gone:
            self._tell(role)
        return left

    def watch(self, process: Process, role: str, listener: Listener) -> Callable[[], None]:
        """As :meth:`imd.interfaces.Registry.watch`."""
        lane = Lane(self.world, f"watch/{process.name}/{role}", slow=self._slow)
        watch = _Watch(process, role, listener, lane)
        self._watches.append(watch)
        self._send(watch)

        def end() -> None:
            watch.over = True
            self._watches.remove(watch)

        return end

    def living(self, role: str) -> list[Instance]:
        """As it stands."""
        return [instance for (each, _), (instance, _) in sorted(self._entries.items()) if each == role]

    def _tell(self, role: str) -> None:
        for watch in self._watches:
            if watch.role == role:
                self._send(watch)

    def _send(self, watch: _Watch) -> None:
        self.world.at(watch.lane.arrival(), watch.process.post, watch.tell, self.living(watch.role))


class RemoteRegistry:
    """:class:`imd.interfaces.Registry` of one process."""

    def __init__(self, ensemble: Ensemble, process: Process) -> None:
        self._ensemble, self._process = ensemble, process
        self._registered = False

    def trouble(self) -> str | None:
        """None once it is registered, if it ever is."""
        return None if self._registered else "not registered"

    async def register(self, instance: Instance) -> None:
        await self._ensemble.trip(self._process)
        self._ensemble.enter(instance, self._process)
        self._registered = True

    async def update(self, instance: Instance) -> None:
        await self._ensemble.trip(self._process)
        self._ensemble.update(instance, self._process)

    async def unregister(self, instance: Instance) -> None:
        await self._ensemble.trip(self._process)
        self._ensemble.leave(self._process)

    def watch(self, role: str, listener: Listener) -> Callable[[], None]:
        return self._ensemble.watch(self._process, role, listener)

    async def lease_worker_id(self) -> int:
        await self._ensemble.trip(self._process)
        self._ensemble.worker_ids += 1
        return self._ensemble.worker_ids - 1


Changed = Callable[[frozenset[int]], Awaitable[None]]


class _Member:
    """A job, as the assignment knows it."""

    def __init__(self, process: Process, changed: Changed) -> None:
        self.process = process
        self.changed = changed
        self.owned: frozenset[int] = frozenset()  # what it has, or was told to take
        self.keeps: frozenset[int] = frozenset()  # what it will have once it has answered
        self.busy = False
        self.leaving: Deferred[None] | None = None  # fires when it has given up everything


class Coordinator:
    """Shares the partitions: one that is given up is someone else's only after ``changed`` has returned."""

    def __init__(self, ensemble: Ensemble, *, partitions: int) -> None:
        self._ensemble = ensemble
        self._partitions = partitions
        self._members: dict[str, _Member] = {}  # by the process' name
        self.moves = 0  # how often a partition found another owner

    def join(self, process: Process, changed: Changed) -> None:
        """A job begins, or is back."""
        self._members[process.name] = _Member(process, changed)
        self.look()

    def leave(self, process: Process) -> "Deferred[None]":
        """A job wants to end."""
        left: Deferred[None] = Deferred()
        member = self._members.get(process.name)
        if member is None:
            left.callback(None)
        else:
            member.leaving = left
            self.look()
        return left

    def lose(self, process: Process) -> Changed | None:
        """Its session ended: what it had goes to others, whatever it does. Answers whom to tell when it is back."""
        member = self._members.pop(process.name, None)
        self.look()
        return member.changed if member is not None else None

    def asks(self, process: Process) -> bool:
        """Whether it is being told what it has."""
        member = self._members.get(process.name)
        return member is not None and member.busy

    def owner(self, partition: int) -> Process | None:
        """Whose it is."""
        return next((each.process for each in self._members.values() if partition in each.owned), None)

    def look(self) -> None:
        """Bring about what should be."""
        names = [name for name, member in self._members.items() if member.leaving is None]
        taken = frozenset().union(*(member.owned for member in self._members.values()))
        for name, member in list(self._members.items()):
            if member.busy:
                continue
            wanted = share(names, name, self._partitions)
            keeps = member.owned & wanted
            if keeps == member.owned:
                keeps |= wanted - taken
                taken |= keeps
            if keeps != member.owned:
                self._tell(member, keeps)
            elif member.leaving is not None and not member.owned:
                del self._members[name]
                member.leaving.callback(None)

    def _tell(self, member: _Member, keeps: frozenset[int]) -> None:
        member.busy, member.keeps = True, keeps
        member.owned |= keeps
        world, lane = self._ensemble.world, self._ensemble.lane(member.process)
        world.note("assignment", f"{member.process.name} has {sorted(keeps)}")
        self.moves += 1

        def ask() -> None:
            asked = Deferred.fromCoroutine(_awaited(member.changed, keeps))
            asked.addCallback(lambda _: world.at(lane.arrival(), self._told, member))
            asked.addErrback(lambda failure: world.fault(f"changed failed: {failure.getTraceback()}"))

        world.at(lane.arrival(), member.process.post, ask)

    def _told(self, member: _Member) -> None:
        if member.process.alive and self._members.get(member.process.name) is member:
            member.owned, member.busy = member.keeps, False
            self.look()


async def _awaited(changed: Changed, owned: frozenset[int]) -> None:
    await changed(owned)
