"""What every Assignment must do. A backend's test subclasses :class:`AssignmentContract` with trial's ``TestCase``."""

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from imd.interfaces import Assignment
from tests.support.reactor import eventually

if TYPE_CHECKING:
    from twisted.trial.unittest import TestCase as _Case
else:
    _Case = object

PARTITIONS = 8
ALL = frozenset(range(PARTITIONS))


class Job:
    """What a job was told; ``slow`` holds its answers back until it is fired."""

    def __init__(self) -> None:
        self.owned: frozenset[int] = frozenset()
        self.calls: list[frozenset[int]] = []
        self.inside = 0  # calls under way
        self.most = 0  # of them at once
        self.slow: Deferred[None] | None = None

    async def __call__(self, owned: frozenset[int]) -> None:
        self.calls.append(owned)
        self.inside += 1
        self.most = max(self.most, self.inside)
        if self.slow is not None:
            await self.slow
        self.owned = owned
        self.inside -= 1


class AssignmentContract(_Case):
    """Every sentence of :class:`imd.interfaces.Assignment` that one job can see."""

    async def make_assignment(self) -> Assignment:
        """The only job's, with ``PARTITIONS`` partitions in all; stopped by ``addCleanup``."""
        raise NotImplementedError

    async def test_the_only_job_owns_everything(self) -> None:
        """It is told all that it owns, not differences, one call at a time."""
        assignment, job = await self.make_assignment(), Job()
        await assignment.start(job)
        await eventually(lambda: job.owned == ALL)
        self.assertEqual(job.most, 1)

    async def test_stop_gives_everything_up(self) -> None:
        """Before it returns job was told so, and had its time to let go."""
        assignment, job = await self.make_assignment(), Job()
        await assignment.start(job)
        await eventually(lambda: job.owned == ALL)
        job.slow = Deferred()
        stopping = Deferred.fromCoroutine(assignment.stop())
        await eventually(lambda: job.calls[-1] == frozenset())
        self.assertNoResult(stopping)
        job.slow.callback(None)
        await stopping
        self.assertEqual(job.owned, frozenset())

    async def test_stopping_twice_or_unstarted_is_fine(self) -> None:
        """Nobody is told anything more."""
        assignment, job = await self.make_assignment(), Job()
        await assignment.stop()
        await assignment.start(job)
        await eventually(lambda: job.owned == ALL)
        await assignment.stop()
        calls = len(job.calls)
        await assignment.stop()
        self.assertEqual(len(job.calls), calls)
