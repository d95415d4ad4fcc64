"""The era of a store: what ``imd/backend/lua/era.lua`` writes down, and how what processes saw proves a loss."""

from collections.abc import Callable
from typing import NamedTuple

from imd.interfaces import Sighting


class _Record(NamedTuple):
    """What is in the store, and is lost with it."""

    epoch: str
    tenure: str
    run: int  # of the product, when the tenure began
    forks: tuple[tuple[str, int], ...]  # (earlier tenure, appended when it ended), the latest first
    appended: int  # pushes, ever


class Era:
    """The rule of docs/decisions/0013, once more: there it is a script, here it is for a store in memory, of one partition.

    So the simulation tests that rule, and :class:`imd.backend.sightings.Sightings`, which is imd's own; that the script is
    this rule is what the tests of the Redis backend are for.
    """

    def __init__(self, *, now_ms: Callable[[], int], token: Callable[[], str]) -> None:
        self._now_ms = now_ms  # the product's clock
        self._token = token  # 12 random hex digits
        self._record: _Record | None = None  # None = emptied, or new
        self._greatest = ""  # of all epochs that this call knows of
        self._turned = False  # this call changed more than the count

    def snapshot(self) -> object:
        """A backup."""
        return self._record

    def restore(self, snapshot: object) -> None:
        """Go back to a backup; None = nothing is left."""
        assert snapshot is None or isinstance(snapshot, _Record)
        self._record = snapshot

    def meet(self, told: str, run: int) -> list[str]:
        """A call begins, by somebody who has seen this (:meth:`Sightings.told`). Answers why there must be a new epoch, for
        each: :meth:`begin_epoch` must follow as often."""
        seen = [(epoch, tenure, int(count)) for epoch, tenure, count in (word.split("/") for word in told.split())]
        record = self._record
        self._turned = False
        self._greatest = max([record.epoch if record else "", *(epoch for epoch, _, _ in seen)])
        if record is None:
            self._record = _Record("", self._token()[:8], run, (), 0)
            return ["empty"]
        return ["lost"] if any(self._lost(record, *each) for each in seen) else []

    def begin_epoch(self) -> str:
        """Nothing that was seen before is good any longer."""
        assert self._record is not None
        ms = self._now_ms()
        if self._greatest:
            ms = max(ms, int(self._greatest[:11], 16) + 1)
        epoch = self._greatest = f"{ms:011x}{self._token()[8:]}"
        self._record = self._record._replace(epoch=epoch, forks=())
        self._turned = True
        return epoch

    def finish(self, appended: int, run: int) -> Sighting:
        """The call ends; it appended so many. Answers what its caller has seen."""
        record = self._record
        assert record is not None
        if appended and record.run != run:
            forks = ((record.tenure, record.appended), *record.forks)[:40]
            record = record._replace(tenure=self._token()[:8], forks=forks)
            self._turned = True
        if self._turned and appended:
            record = record._replace(run=run)
        self._record = record = record._replace(appended=record.appended + appended)
        return Sighting(record.epoch, record.tenure, record.appended)

    @staticmethod
    def _lost(record: _Record, epoch: str, tenure: str, count: int) -> bool:
        if epoch != record.epoch:
            return epoch > record.epoch
        if tenure == record.tenure:
            return count > record.appended
        ended = dict(record.forks).get(tenure)
        return ended is None or count > ended
