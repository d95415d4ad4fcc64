"""The lease of the number that makes push ids unique."""

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from imd.backend.registry_static import RegistryStatic
from imd.errors import RegistryUnavailable
from imd.service.worker_id import WorkerId


class SlowRegistry(RegistryStatic):
    """Answers when the test does."""

    def __init__(self) -> None:
        super().__init__()
        self.answer: Deferred[int] = Deferred()

    async def lease_worker_id(self) -> int:
        return await self.answer


class WorkerIdTests(SynchronousTestCase):
    """From a registry that takes its time."""

    def setUp(self) -> None:
        self.registry = SlowRegistry()
        self.taken: list[int] = []
        self.part = WorkerId(registry=self.registry, take=self.taken.append)
        self.successResultOf(Deferred.fromCoroutine(self.part.open()))

    def test_does_not_hold_up(self) -> None:
        """Open at once; until there is an id /readyz says what pushes wait for."""
        self.assertIn("worker id", self.part.trouble() or "")
        self.registry.answer.callback(7)
        self.assertEqual((self.taken, self.part.trouble()), ([7], None))

    def test_closed_while_it_waits(self) -> None:
        """Nothing is asked any more, and that is no fault."""
        self.successResultOf(Deferred.fromCoroutine(self.part.close()))
        self.assertEqual((self.taken, self.flushLoggedErrors()), ([], []))

    def test_none_left(self) -> None:
        """It is logged, and stays trouble."""
        self.registry.answer.errback(RegistryUnavailable("all are in use"))
        self.assertEqual(len(self.flushLoggedErrors(RegistryUnavailable)), 1)
        self.assertIsNotNone(self.part.trouble())
