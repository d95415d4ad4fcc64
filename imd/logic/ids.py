"""The ids of pushes: 64 bits, unique, rising with time (snowflake's layout)."""

from collections.abc import Callable

from imd.errors import RegistryUnavailable

EPOCH_MS = 1_735_689_600_000  # 2025-01-01T00:00:00Z; 41 bits of ms last until 2094
WORKER_BITS = 10
SEQUENCE_BITS = 12
MAX_WORKER_ID = (1 << WORKER_BITS) - 1


def accepted_at_ms(id: int) -> int:
    """When an id was made, in ms since the epoch (1970)."""
    return (id >> (WORKER_BITS + SEQUENCE_BITS)) + EPOCH_MS


class IdMaker:
    """Makes ids from the wall clock: 41 bits of ms, 10 of worker id, 12 of sequence.

    Each id is larger than the one before, whatever the clock does: when it goes back, or more than 4,096 ids are asked for in a
    ms, the ids run ahead of it. Two makers never make the same id while no two living processes have the same worker id.
    """

    __slots__ = ("_ms", "_now", "_sequence", "_worker_id")

    def __init__(self, *, now: Callable[[], float], worker_id: int | None = None) -> None:
        self._now = now  # the wall clock, seconds since the epoch
        self._ms = 0  # of the latest id, since EPOCH_MS; never falls
        self._sequence = -1  # of the latest id within its ms; -1 = none made in it yet
        self._worker_id: int | None = None  # None until the registry has leased one
        if worker_id is not None:
            self.take(worker_id)

    @property
    def worker_id(self) -> int | None:
        """0 to 1023, leased in the registry; None = none yet."""
        return self._worker_id

    def take(self, worker_id: int) -> None:
        """Make ids with this worker id from now on."""
        assert 0 <= worker_id <= MAX_WORKER_ID, worker_id
        if worker_id != self._worker_id and self._sequence >= 0:
            # A smaller worker id in the same ms would make a smaller id.
            self._ms, self._sequence = self._ms + 1, -1
        self._worker_id = worker_id

    def make(self) -> int:
        """A new id. Raises :class:`imd.errors.RegistryUnavailable` while no worker id is leased."""
        if self._worker_id is None:
            raise RegistryUnavailable("no worker id for push ids is leased yet")
        ms = int(self._now() * 1000) - EPOCH_MS
        if ms > self._ms:
            self._ms, self._sequence = ms, 0
        elif self._sequence + 1 < 1 << SEQUENCE_BITS:
            self._sequence += 1
        else:
            self._ms, self._sequence = self._ms + 1, 0
        return (self._ms << WORKER_BITS | self._worker_id) << SEQUENCE_BITS | self._sequence
