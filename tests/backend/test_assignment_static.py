"""The configured assignment keeps the contract."""

from twisted.trial.unittest import TestCase

from imd.backend.assignment_static import AssignmentStatic
from tests.contract import assignment as contract


class AssignmentStaticTests(contract.AssignmentContract, TestCase):
    """The contract, and a share."""

    async def make_assignment(self) -> AssignmentStatic:
        return AssignmentStatic(owned=range(contract.PARTITIONS))

    async def test_a_configured_share(self) -> None:
        """Only these are owned, from the moment that start returns."""
        assignment, job = AssignmentStatic(owned=[1, 3]), contract.Job()
        await assignment.start(job)
        self.assertEqual(job.calls, [frozenset({1, 3})])
