"""Redis, as processes see it: the memory backends at the other end of a lane, with faults before and after the deed."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from itertools import pairwise
from typing import Any, TypeVar, cast

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from imd.backend.leases_memory import LeasesMemory
from imd.backend.presence_memory import PresenceMemory
from imd.backend.rooms_memory import RoomsMemory
from imd.errors import PresenceUnavailable, Unavailable
from imd.interfaces import Location
from tests.simulation.world import Lane, Process, World

T = TypeVar("T")

QUIET = (
    "read",
    "backlog",
    "locate",
    "hosts",
    "lease",
    "devices",
    "sweep",
    "totals",
    "trace",
    "pages",
)  # calls that are not worth a line of a story
CALL_SECONDS = 2.0  # after which a call is given up; what was on its way may still be done


class Product:
    """One server. Calls of one process are done in their order; each may fail before it was done, or after."""

    def __init__(self, world: World, name: str, error: type[Unavailable], *, slow: float) -> None:
        self.world = world
        self.name = name
        self.error = error
        self.away = False  # nobody is there
        self.run = 1  # starts of the server: what was on its way to an earlier one is not done
        self.fail_before = 0.0  # the share of calls that are not done
        self.fail_after = 0.0  # the share of calls that are done, and nobody hears of it
        self.stall_until = 0.0  # what comes before is done then, though its caller has given up
        self._slow = slow
        self._lanes: dict[str, tuple[Lane, Lane]] = {}

    def lanes(self, process: Process) -> tuple[Lane, Lane]:
        """There and back."""
        if process.name not in self._lanes:
            name = f"{self.name}/{process.name}"
            self._lanes[process.name] = (
                Lane(self.world, name, slow=self._slow),
                Lane(self.world, f"{name}/back", slow=self._slow),
            )
        return self._lanes[process.name]

    def restart(self) -> None:
        """It ends, and is there again at once."""
        self.run += 1

    def call(
        self,
        process: Process,
        words: str,
        execute: Callable[[], Awaitable[T]],
        error: type[Unavailable] | None = None,
    ) -> "Deferred[T]":
        """Have it done there. ``error``: raised when it cannot; None = this product's own."""
        result: Deferred[T] = Deferred()
        if process.alive:
            there, _ = self.lanes(process)
            arrival = there.arrival()
            if self.stall_until > arrival:
                arrival = self.stall_until
                there.blocked_until = arrival
                if arrival > self.world.now + CALL_SECONDS:
                    process.callLater(CALL_SECONDS, self._fail, result, "no answer", error)
            self.world.at(arrival, self._execute, process, words, execute, result, error, self.run)
        return result

    def _fail(self, result: "Deferred[T]", words: str, error: type[Unavailable] | None) -> None:
        if not result.called:
            result.errback((error or self.error)(f"{self.name}: {words}"))

    def _execute(
        self,
        process: Process,
        words: str,
        execute: Callable[[], Awaitable[T]],
        result: "Deferred[T]",
        error: type[Unavailable] | None,
        run: int,
    ) -> None:
        _, back = self.lanes(process)
        chance = process.chance.random() if self.fail_before or self.fail_after else 1.0
        if self.away or run != self.run or chance < self.fail_before:
            self.world.at(back.arrival(), process.post, self._fail, result, "not done", error)
            return
        outcome: list[T | Failure] = []
        Deferred.fromCoroutine(_awaited(execute)).addBoth(outcome.append)
        assert outcome, "memory answers at once"
        if not words.startswith(QUIET):
            self.world.note(self.name, f"{words} for {process.name}")
        if chance < self.fail_before + self.fail_after:
            self.world.note(self.name, f"... and {process.name} does not hear of it")
            self.world.at(back.arrival(), process.post, self._fail, result, "the connection was lost", error)
            return
        self.world.at(back.arrival(), process.post, self._answer, result, outcome[0])

    @staticmethod
    def _answer(result: "Deferred[T]", outcome: T | Failure) -> None:
        if not result.called:
            if isinstance(outcome, Failure):
                result.errback(outcome)
            else:
                result.callback(outcome)


async def _awaited(execute: Callable[[], Awaitable[T]]) -> T:
    return await execute()


class Storage:
    """What presence's server holds."""

    def __init__(self, world: World, *, lease_seconds: float, slow: float) -> None:
        clock = Process(world, "presence")
        self.lease_seconds = lease_seconds
        self.leases = LeasesMemory(clock=clock, lease_seconds=lease_seconds)
        self.presence = PresenceMemory(leases=self.leases)
        self.rooms = RoomsMemory(leases=self.leases)
        self.product = Product(world, "presence", PresenceUnavailable, slow=slow)
        self.renewals: dict[Location, list[float]] = {}  # when each lease was renewed
        self.losses: list[float] = []  # when something was lost

    def snapshot(self) -> object:
        """A backup."""
        presence = self.presence
        return (
            dict(self.leases._leases),
            dict(presence._keys),
            {mid: set(keys) for mid, keys in presence._members.items()},
            {location: set(keys) for location, keys in presence._servers.items()},
            {location: dict(hosted) for location, hosted in self.rooms._hosted.items()},
        )

    def restore(self, snapshot: object) -> None:
        """Go back to a backup. What lived does so no longer, as far as :meth:`lived` can promise."""
        leases, keys, members, servers, hosted = cast(Any, snapshot)
        self.leases._leases = dict(leases)
        presence = self.presence
        presence._keys = dict(keys)
        presence._members = {mid: set(some) for mid, some in members.items()}
        presence._servers = {location: set(some) for location, some in servers.items()}
        self.rooms._hosted = {location: dict(rooms) for location, rooms in hosted.items()}
        self.losses.append(self.product.world.now)

    def empty(self) -> None:
        """Lose everything."""
        self.restore(({}, {}, {}, {}, {}))

    async def renew_lease(self, location: Location) -> bool:
        """And remember when."""
        renewed = await self.leases.renew(location)
        self.renewals.setdefault(location, []).append(self.product.world.now)
        return renewed

    def lived(self, location: Location, begin: float, end: float) -> bool:
        """Whether its lease was there all the time."""
        at = [-1e9, *self.renewals.get(location, ()), 1e9]
        if any(begin - self.lease_seconds < loss < end for loss in self.losses):
            return False
        return not any(
            late > early + self.lease_seconds and late > begin and early + self.lease_seconds < end
            for early, late in pairwise(at)
        )


class RemoteLeases:
    """:class:`imd.interfaces.Leases` of one process."""

    def __init__(self, storage: Storage, process: Process) -> None:
        self._storage, self._process = storage, process

    async def renew(self, location: Location) -> bool:
        words = f"lease {location.server}/{location.boot % 1000000}"
        return await self._storage.product.call(self._process, words, lambda: self._storage.renew_lease(location))

    async def release(self, location: Location) -> None:
        words = f"release {location.server}"
        await self._storage.product.call(self._process, words, lambda: self._storage.leases.release(location))


class RemotePresence:
    """:class:`imd.interfaces.Presence` of one process."""

    def __init__(self, storage: Storage, process: Process) -> None:
        self._product, self._held, self._process = storage.product, storage.presence, process

    async def attach(self, location: Location, key: str, mid: int, platform: str = "") -> Location | None:
        words = f"attach {key} at {location.server}"
        return await self._product.call(self._process, words, lambda: self._held.attach(location, key, mid, platform))

    async def attach_many(self, location: Location, arrivals: Sequence[tuple[str, int, str]]) -> dict[str, Location]:
        words = f"attach {[key for key, _, _ in arrivals]} at {location.server}"
        return await self._product.call(self._process, words, lambda: self._held.attach_many(location, arrivals))

    async def devices(self, mid: int, platform: str) -> list[tuple[str, Location]]:
        return await self._product.call(self._process, "devices", lambda: self._held.devices(mid, platform))

    async def detach(self, location: Location, key: str, mid: int) -> bool:
        words = f"detach {key} from {location.server}"
        return await self._product.call(self._process, words, lambda: self._held.detach(location, key, mid))

    async def detach_many(self, location: Location, entries: Sequence[tuple[str, int]]) -> None:
        words = f"detach {[key for key, _ in entries]} from {location.server}"
        await self._product.call(self._process, words, lambda: self._held.detach_many(location, entries))

    async def renew(self, location: Location, entries: Sequence[tuple[str, int]]) -> list[str]:
        words = f"renew {[key for key, _ in entries]} at {location.server}"
        return await self._product.call(self._process, words, lambda: self._held.renew(location, entries))

    async def locate_keys(self, keys: Collection[str]) -> dict[str, Location]:
        ordered = sorted(keys)
        return await self._product.call(self._process, "locate", lambda: self._held.locate_keys(ordered))

    async def locate_members(self, mids: Collection[int]) -> dict[int, dict[str, Location]]:
        return await self._product.call(self._process, "locate", lambda: self._held.locate_members(mids))


class RemoteRooms:
    """:class:`imd.interfaces.Rooms` of one process."""

    def __init__(self, storage: Storage, process: Process) -> None:
        self._product, self._held, self._process = storage.product, storage.rooms, process

    async def host(self, location: Location, room: str) -> None:
        words = f"host {room} at {location.server}"
        await self._product.call(self._process, words, lambda: self._held.host(location, room))

    async def unhost(self, location: Location, room: str) -> None:
        words = f"unhost {room} at {location.server}"
        await self._product.call(self._process, words, lambda: self._held.unhost(location, room))

    async def report(self, location: Location, counts: Sequence[tuple[str, int]]) -> dict[str, int]:
        words = f"report {dict(counts)} of {location.server}"
        return await self._product.call(self._process, words, lambda: self._held.report(location, counts))

    async def hosts(self, rooms: Collection[str]) -> dict[str, list[Location]]:
        ordered = sorted(rooms)
        return await self._product.call(self._process, "hosts", lambda: self._held.hosts(ordered))

    async def counts(self, rooms: Collection[str]) -> dict[str, int]:
        return await self._product.call(self._process, "hosts", lambda: self._held.counts(rooms))

    async def top(self, room_type: str, limit: int) -> list[tuple[str, int]]:
        return await self._product.call(self._process, "hosts", lambda: self._held.top(room_type, limit))
