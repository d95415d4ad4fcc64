"""The store: what is in one Redis beside presence, the broker, the timelines and the traces; and how it is reached."""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, TypeVar

from twisted.internet.defer import Deferred

from imd.backend.broker_memory import BrokerMemory
from imd.backend.sightings import Sightings
from imd.backend.timelines_memory import TimelinesMemory
from imd.backend.traces_memory import TracesMemory
from imd.backend.witness_memory import WitnessMemory
from imd.errors import BrokerUnavailable, Unavailable
from imd.interfaces import Receipt, Sighting
from imd.metrics import Metrics
from imd.protocol.push import Push, load
from imd.protocol.timeline import Place
from tests.simulation.era import Era
from tests.simulation.products import Product
from tests.simulation.truth import Kept, Truth
from tests.simulation.world import EPOCH, Process, World

T = TypeVar("T")

BACKUPS = 6  # that are kept
NOTE_SECONDS = 0.05  # until what a process saw is written down outside of it


class Stored:
    """What became of one entry of the broker."""

    __slots__ = (
        "answered",
        "committed_at",
        "handed_out",
        "lost_at",
        "number",
        "partition",
        "places",
        "push",
        "stored_at",
    )

    def __init__(self, number: int, partition: int, push: Push, places: tuple[Place, ...], stored_at: float) -> None:
        self.number = number
        self.partition = partition
        self.push = push
        self.places = places
        self.stored_at = stored_at
        self.committed_at: float | None = None  # None until it is
        self.lost_at: float | None = None  # when the store lost it; None = it did not, or has it again
        self.handed_out: list[str] = []  # processes, one for each time
        self.answered = False  # whoever published it heard of it


class _Backup(NamedTuple):
    at: float
    broker: object  # its timelines included
    era: object
    truth: dict[str, dict[int, Kept]]
    presence: object


class Store:
    """The server. Its clock does not jump: it is another machine's. Readers have cursors of their own, as Redis' have."""

    def __init__(self, world: World, *, partitions: int, head_seconds: float, slow: float) -> None:
        self.world = world
        self._chance = world.random("store")
        self._clock = Process(world, "store")
        self.timelines = TimelinesMemory(
            metrics=Metrics(), now_ms=self._now_ms, make_epoch=self._make_epoch, head_seconds=head_seconds
        )
        self.broker = BrokerMemory(
            partitions=partitions,
            clock=self._clock,
            metrics=Metrics(),
            timelines=self.timelines,
            now_ms=self._now_ms,
        )
        Deferred.fromCoroutine(self.broker.open())
        self.traces = TracesMemory(clock=self._clock)
        self.era = Era(now_ms=self._now_ms, token=lambda: f"{self._chance.getrandbits(48):012x}")
        self.witness = WitnessMemory()  # in ZooKeeper
        self.product = Product(world, "broker", BrokerUnavailable, slow=slow)
        self.log: dict[int, Stored] = {}  # everything that was ever stored, by number
        self.truth = Truth()
        self.links: list[StoreLink] = []
        self.losses: list[float] = []  # when something was lost
        self.fences: dict[int, int] = {}  # partition -> the newest owner's
        self._unpaid = 1  # losses since the last new epoch; the first one is no loss
        self._why = "claim"  # of a new epoch, when the timelines ask for one
        self._backups: deque[_Backup] = deque(maxlen=BACKUPS)
        self._readers: dict[int, list[Callable[[], None]]] = {}  # partition -> who waits there

    # --- calls

    async def step(self, told: str, execute: Callable[[], Awaitable[T]]) -> tuple[T, Sighting]:
        """One script: it is told what its caller has seen, and answers what there is to be seen."""
        for why in self.era.meet(told, self.product.run):
            self._why = why
            self.timelines.renew_epochs()
        self._why = "claim"
        before = self.broker._appended
        answer = await execute()
        return answer, self.era.finish(self.broker._appended - before, self.product.run)

    def _now_ms(self) -> int:
        return int((EPOCH + self.world.now) * 1000)

    def _make_epoch(self) -> str:
        epoch = self.era.begin_epoch()
        self.world.note("broker", f"epoch {epoch} ({self._why})")
        if not self._unpaid:
            self.world.fault(f"there is a new epoch ({self._why}), and nothing was lost")
        self._unpaid = 0
        return epoch

    async def publish(self, pushes: Sequence[tuple[int, Push]], publisher: str) -> tuple[list[Receipt], list[Stored]]:
        """As :meth:`imd.interfaces.Broker.publish`, in one step; and what was stored, which is looked for one by one."""
        receipts: list[Receipt] = []
        stored: list[Stored] = []
        for pair in pushes:
            receipts += await self.broker.publish([pair])
            stored += self._new(pair[0], publisher)
        self._wake(sorted({entry.partition for entry in stored}))
        return receipts, stored

    def _new(self, partition: int, publisher: str) -> list[Stored]:
        """What is there and was not: one, unless it was a repeat."""
        held = self.broker._partitions[partition]
        number = next(reversed(held.stored), 0)
        if not number or number in self.log:
            return []
        each = held.stored[number]
        entry = self.log[number] = Stored(number, partition, load(each.data), each.places, self.world.now)
        for timeline in self.truth.look(self.timelines, entry.push, self.world.now, publisher):
            self.world.fault(f"{entry.push.body.decode()} is in the broker and not in its timeline {timeline}")
        return [entry]

    async def rewind(self, partition: int) -> int:
        """As :meth:`imd.interfaces.Broker.rewind`."""
        fence = await self.broker.rewind(partition)
        if fence <= self.fences.get(partition, 0):
            self.world.fault(f"partition {partition} was given the fence {fence} after {self.fences[partition]}")
        self.fences[partition] = fence
        return fence

    async def commit(self, partition: int, tokens: Sequence[bytes], fence: int) -> None:
        """As :meth:`imd.interfaces.Broker.commit`."""
        await self.broker.commit(partition, tokens, fence)
        if 0 < fence < self.fences.get(partition, 0) and not self.lost_since(fence):
            self.world.fault(f"partition {partition} was committed with the fence {fence}, after a newer owner's")
        for token in tokens:
            entry = self.log[int.from_bytes(token, "big")]
            if entry.committed_at is None and entry.lost_at is None:
                entry.committed_at = self.world.now

    def lost_since(self, fence: int) -> bool:
        """Whether it lost something after an owner with this fence began: it may have forgotten a newer one."""
        return any((EPOCH + loss) * 1000 >= fence for loss in self.losses)

    async def sweep(self, partition: int, limit: int) -> object:
        """As :meth:`imd.interfaces.Timelines.sweep`."""
        before = set(self.timelines._state.heads)
        swept = await self.timelines.sweep(partition, limit)
        self.truth.forgotten |= before - set(self.timelines._state.heads)
        return swept

    def after(self, partition: int, handed_out: set[int], limit: int) -> list[Stored]:
        """What a reader gets that works on these."""
        numbers = [number for number in self.broker._partitions[partition].stored if number not in handed_out]
        return [self.log[number] for number in numbers[:limit]]

    def wait(self, partition: int, wake: Callable[[], None]) -> None:
        """Call it at the next publish there."""
        self._readers.setdefault(partition, []).append(wake)

    def _wake(self, partitions: Sequence[int]) -> None:
        for partition in partitions:
            for wake in self._readers.pop(partition, []):
                wake()

    # --- faults

    def back_up(self, presence: object) -> None:
        """To go back to, some time."""
        self._backups.append(
            _Backup(self.world.now, self.broker.snapshot(), self.era.snapshot(), self.truth.snapshot(), presence)
        )

    def roll_back(self) -> object | None:
        """Go back to one of the backups, under a new run. Answers that of presence; None = there is no backup."""
        if not self._backups:
            return None
        backup = self._chance.choice(list(self._backups))
        self._backups = deque((each for each in self._backups if each.at <= backup.at), maxlen=BACKUPS)
        self.world.note("broker", f"is as it was at {backup.at:.3f}")
        self.broker.restore(backup.broker)
        self.era.restore(backup.era)
        self._lost(backup.truth)
        self.restart()
        return backup.presence

    def empty(self, *, restart: bool) -> None:
        """Lose everything, under the same run or a new one."""
        self.world.note("broker", "is empty" + (", and another run" if restart else ""))
        self.broker.empty()
        self.era.restore(None)
        self._lost({})
        if restart:
            self.restart()

    def restart(self) -> None:
        """Another run: what was under way is not done, and whoever comes back looks first."""
        self.product.restart()
        for link in self.links:
            link.look()

    def _lost(self, truth: dict[str, dict[int, Kept]]) -> None:
        self.losses.append(self.world.now)
        self._unpaid += 1
        self.truth.restore(truth, self.world.now)
        self.traces = TracesMemory(clock=self._clock)
        here = {number for held in self.broker._partitions for number in held.stored}
        for entry in self.log.values():
            if entry.number in here:
                entry.lost_at = None
            elif entry.committed_at is None and entry.lost_at is None:
                entry.lost_at = self.world.now
        self._wake(sorted(self._readers))


class StoreLink:
    """One process' way to the store, as :class:`imd.backend.redis_partitions.RedisPartitions` is it: with each call goes what
    the process has seen, and what it saw is remembered outside of it too."""

    def __init__(self, store: Store, process: Process) -> None:
        self.store = store
        self.process = process
        self._seen = Sightings()
        self._recalled = False
        store.links.append(self)
        process.callLater(0.02, self._recall)

    def look(self) -> None:
        """Compare the store with what was seen."""
        if self.process.alive:
            looked = Deferred.fromCoroutine(self.call("look", _nothing))
            looked.addErrback(lambda failure: failure.trap(Unavailable))

    async def call(self, words: str, execute: Callable[[], Awaitable[T]], error: type[Unavailable] = Unavailable) -> T:
        """Have it done there."""
        told = self._seen.told()
        answer, sighting = await self.store.product.call(
            self.process, words, lambda: self.store.step(told, execute), error
        )
        if self._seen.learn(told, sighting) and self._recalled:
            self._note()
        return answer

    def _recall(self) -> None:
        recalled = Deferred.fromCoroutine(self.store.witness.recall())
        recalled.addCallback(lambda seen: self._seen.recall(seen.get(0, ())))
        self._recalled = True
        self._note()
        self.look()

    def _note(self) -> None:
        self.store.world.after(NOTE_SECONDS, self._noted, self._seen.all())

    def _noted(self, sightings: tuple[Sighting, ...]) -> None:
        if self.process.alive and sightings:
            self.store.witness.note(0, sightings)


async def _nothing() -> None:
    """What a look asks for."""
