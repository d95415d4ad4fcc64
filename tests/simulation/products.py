"""Redis, as processes see it: the memory backends at the other end of a lane, with faults before and after the deed."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from itertools import pairwise
from struct import pack, unpack
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from imd.backend.broker_memory import BrokerMemory
from imd.backend.leases_memory import LeasesMemory
from imd.backend.presence_memory import PresenceMemory
from imd.backend.publication import count_answered, count_refused, count_unknown
from imd.backend.rooms_memory import RoomsMemory
from imd.errors import BrokerUnavailable, Overloaded, PresenceUnavailable, Unavailable
from imd.interfaces import Backlog, Entry, Location, Receipt
from imd.metrics import Metrics
from imd.protocol.push import Push, load
from tests.simulation.world import Lane, Process, World

T = TypeVar("T")

QUIET = ("read", "backlog", "locate", "hosts", "lease")  # calls that are not worth a line of a story
CALL_SECONDS = 2.0  # after which a call is given up; what was on its way may still be done


class Product:
    """One server. Calls of one process are done in their order; each may fail before it was done, or after."""

    def __init__(self, world: World, name: str, error: type[Unavailable], *, slow: float) -> None:
        self.world = world
        self.name = name
        self.error = error
        self.away = False  # nobody is there
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

    def call(self, process: Process, words: str, execute: Callable[[], Awaitable[T]]) -> "Deferred[T]":
        """Have it done there."""
        result: Deferred[T] = Deferred()
        if process.alive:
            there, _ = self.lanes(process)
            arrival = there.arrival()
            if self.stall_until > arrival:
                arrival = self.stall_until
                there.blocked_until = arrival
                if arrival > self.world.now + CALL_SECONDS:
                    process.callLater(CALL_SECONDS, self._fail, result, "no answer")
            self.world.at(arrival, self._execute, process, words, execute, result)
        return result

    def _fail(self, result: "Deferred[T]", words: str) -> None:
        if not result.called:
            result.errback(self.error(f"{self.name}: {words}"))

    def _execute(
        self, process: Process, words: str, execute: Callable[[], Awaitable[T]], result: "Deferred[T]"
    ) -> None:
        _, back = self.lanes(process)
        chance = process.chance.random() if self.fail_before or self.fail_after else 1.0
        if self.away or chance < self.fail_before:
            self.world.at(back.arrival(), process.post, self._fail, result, "not done")
            return
        outcome: list[T | Failure] = []
        Deferred.fromCoroutine(_awaited(execute)).addBoth(outcome.append)
        assert outcome, "memory answers at once"
        if not words.startswith(QUIET):
            self.world.note(self.name, f"{words} for {process.name}")
        if chance < self.fail_before + self.fail_after:
            self.world.note(self.name, f"... and {process.name} does not hear of it")
            self.world.at(back.arrival(), process.post, self._fail, result, "the connection was lost")
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

    async def renew_lease(self, location: Location) -> bool:
        """And remember when."""
        renewed = await self.leases.renew(location)
        self.renewals.setdefault(location, []).append(self.product.world.now)
        return renewed

    def lived(self, location: Location, begin: float, end: float) -> bool:
        """Whether its lease was there all the time."""
        at = [-1e9, *self.renewals.get(location, ()), 1e9]
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

    async def devices(self, mid: int, platform: str) -> list[tuple[str, Location]]:
        return await self._product.call(self._process, "devices", lambda: self._held.devices(mid, platform))

    async def detach(self, location: Location, key: str, mid: int) -> bool:
        words = f"detach {key} from {location.server}"
        return await self._product.call(self._process, words, lambda: self._held.detach(location, key, mid))

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


class Stored:
    """What became of one entry of the broker."""

    __slots__ = ("answered", "committed_at", "handed_out", "number", "partition", "push", "stored_at")

    def __init__(self, number: int, partition: int, push: Push, stored_at: float) -> None:
        self.number = number
        self.partition = partition
        self.push = push
        self.stored_at = stored_at
        self.committed_at: float | None = None  # None until it is
        self.handed_out: list[str] = []  # processes, one for each time
        self.answered = False  # whoever published it heard of it


class BrokerStorage:
    """The broker's server. Readers have cursors of their own, as Redis' have."""

    def __init__(self, world: World, broker: BrokerMemory, *, slow: float) -> None:
        self.world = world
        self.broker = broker
        self.product = Product(world, "broker", BrokerUnavailable, slow=slow)
        self.log: dict[int, Stored] = {}  # everything that was ever stored, by number
        self._readers: dict[int, list[Callable[[], None]]] = {}  # partition -> who waits there

    async def publish(self, pushes: Sequence[tuple[int, Push]]) -> tuple[list[Receipt], list[Stored]]:
        """As :meth:`imd.interfaces.Broker.publish`; and what was stored."""
        receipts = await self.broker.publish(pushes)
        stored = []
        for partition, held in enumerate(self.broker._partitions):
            for number in reversed(held.stored):
                if number in self.log:
                    break
                entry = Stored(number, partition, load(held.stored[number].data), self.world.now)
                stored.append(entry)
        stored.sort(key=lambda each: each.number)
        for entry in stored:
            self.log[entry.number] = entry
        for partition in sorted({entry.partition for entry in stored}):
            for wake in self._readers.pop(partition, []):
                wake()
        return receipts, stored

    async def commit(self, partition: int, tokens: Sequence[bytes], fence: int) -> None:
        """As :meth:`imd.interfaces.Broker.commit`."""
        await self.broker.commit(partition, tokens, fence)
        for token in tokens:
            entry = self.log[unpack(">Q", token)[0]]
            if entry.committed_at is None:
                entry.committed_at = self.world.now

    def after(self, partition: int, cursor: int, limit: int) -> list[Stored]:
        """What a reader at ``cursor`` gets."""
        numbers = [number for number in self.broker._partitions[partition].stored if number > cursor]
        return [self.log[number] for number in numbers[:limit]]

    def wait(self, partition: int, wake: Callable[[], None]) -> None:
        """Call it at the next publish there."""
        self._readers.setdefault(partition, []).append(wake)


class RemoteBroker:
    """:class:`imd.interfaces.Broker` of one process."""

    def __init__(self, storage: BrokerStorage, process: Process, metrics: Metrics) -> None:
        self._metrics = metrics
        self.partitions = storage.broker.partitions
        self._storage, self._process = storage, process
        self._product = storage.product
        self._cursors: dict[int, int] = {}  # partition -> the last number read

    async def publish(self, pushes: Sequence[tuple[int, Push]]) -> list[Receipt]:
        words = f"publish {' '.join(_words(push) for _, push in pushes)}"
        try:
            receipts, stored = await self._product.call(self._process, words, lambda: self._storage.publish(pushes))
        except Overloaded as error:
            count_refused(self._metrics, len(pushes), error)
            raise
        except BaseException:
            count_unknown(self._metrics, len(pushes))
            raise
        count_answered(self._metrics, (push for _, push in pushes), receipts)
        for entry in stored:
            entry.answered = True
        return receipts

    async def rewind(self, partition: int) -> int:
        fence = await self._product.call(
            self._process, f"rewind {partition}", lambda: self._storage.broker.rewind(partition)
        )
        self._cursors[partition] = 0
        return fence

    async def commit(self, partition: int, tokens: Sequence[bytes], fence: int = 0) -> None:
        words = f"commit {partition}: {[unpack('>Q', token)[0] for token in tokens]}"
        await self._product.call(self._process, words, lambda: self._storage.commit(partition, tokens, fence))
        self._metrics.committed.add(len(tokens))

    async def backlog(self) -> Backlog:
        return await self._product.call(self._process, "backlog", self._storage.broker.backlog)

    async def read(self, partition: int, limit: int, wait_seconds: float) -> list[Entry]:
        entries: list[Stored] = []
        ends = self._process.seconds() + wait_seconds
        while True:
            cursor = self._cursors[partition]
            call = partial(self._after, partition, cursor, limit)
            entries = await self._product.call(self._process, "read", call)
            left = ends - self._process.seconds()
            if entries or left <= 0:
                break
            await self._arrival(partition, cursor, left)
        for entry in entries:
            entry.handed_out.append(self._process.name)
            self._cursors[partition] = entry.number
        return [Entry(pack(">Q", entry.number), entry.push) for entry in entries]

    async def _after(self, partition: int, cursor: int, limit: int) -> list[Stored]:
        return self._storage.after(partition, cursor, limit)

    async def _arrival(self, partition: int, cursor: int, seconds: float) -> None:
        if self._storage.after(partition, cursor, 1):
            return
        arrived: Deferred[None] = Deferred()

        def wake() -> None:
            if not arrived.called:
                arrived.callback(None)

        timer = self._process.callLater(seconds, wake)
        self._storage.wait(partition, lambda: self._process.post(wake))
        try:
            await arrived
        finally:
            if timer.active():
                timer.cancel()


def _words(push: Push) -> str:
    names = ",".join(push.keys) or ",".join(map(str, push.mids)) or push.room
    return f"{push.body.decode() or 'kick'}->{push.target.name.lower()}({names})"
