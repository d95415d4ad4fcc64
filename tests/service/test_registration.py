"""A process in the registry: when it is entered, offered, reported and taken out."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.backend.registry_static import RegistryStatic
from imd.errors import RegistryUnavailable, ServerIdTaken
from imd.interfaces import Instance
from imd.service.offer import Offer
from imd.service.registration import LOOK_SECONDS, REPORT_SECONDS, Registration


class FailingRegistry(RegistryStatic):
    """One that can be away."""

    away: Exception | None = None

    async def update(self, instance: Instance) -> None:
        if self.away:
            raise self.away
        await super().update(instance)

    async def unregister(self, instance: Instance) -> None:
        if self.away:
            raise self.away
        await super().unregister(instance)


class RegistrationTests(SynchronousTestCase):
    """A comet's, whose connections grow."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.registry = FailingRegistry()
        self.seen: list[Instance] = []
        self.registry.watch("comet", lambda instances: self.seen.extend(instances))
        self.count = 0
        self.registration = Registration(
            registry=self.registry, clock=self.clock, describe=self.describe, offered=False
        )
        self.offer = Offer(self.registration)

    def describe(self) -> Instance:
        return Instance("comet", "c1", 1, "tcp://127.0.0.1:1", conn_count=self.count)

    def run_now(self, coroutine: Any) -> None:
        self.successResultOf(Deferred.fromCoroutine(coroutine))

    def test_offline_until_it_is_offered(self) -> None:
        """Peers can reach it from open to close; clients are sent to it only between the offer's own open and close."""
        for step in (self.registration.open, self.offer.open, self.offer.close):
            self.run_now(step())
        self.assertEqual([each.offline for each in self.seen], [True, False, True])
        self.run_now(self.registration.close())
        self.registry.watch("comet", lambda instances: self.assertEqual(instances, []))

    def test_reports(self) -> None:
        """Every ten seconds what is so by then, and no more once it is closed."""
        self.run_now(self.registration.open())
        self.run_now(self.offer.open())
        self.seen.clear()
        for _ in range(2):
            self.count += 7
            self.clock.advance(REPORT_SECONDS)
        self.assertEqual([(each.conn_count, each.offline) for each in self.seen], [(7, False), (14, False)])
        self.run_now(self.registration.close())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_notable_change(self) -> None:
        """A twentieth more or less is told within a second; less than that, within ten."""
        self.run_now(self.registration.open())
        self.seen.clear()
        for self.count in (1, 100, 104, 104, 110, 0, 0):
            self.clock.advance(LOOK_SECONDS)
        self.assertEqual([each.conn_count for each in self.seen], [1, 100, 110, 0])

    def test_registry_away(self) -> None:
        """Neither an offer nor a report nor the end fails for it; the next report says all."""
        self.run_now(self.registration.open())
        self.registry.away = RegistryUnavailable("away")
        self.run_now(self.offer.open())
        self.clock.advance(REPORT_SECONDS)
        self.registry.away = None
        self.clock.advance(REPORT_SECONDS)
        self.assertFalse(self.seen[-1].offline)
        self.registry.away = RegistryUnavailable("away")
        self.run_now(self.registration.close())
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_bug_in_a_report(self) -> None:
        """It is logged, and the reports go on."""
        self.run_now(self.registration.open())
        self.registry.away = KeyError("planted")
        self.clock.advance(REPORT_SECONDS)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.registry.away = None
        self.count = 3
        self.clock.advance(REPORT_SECONDS)
        self.assertEqual(self.seen[-1].conn_count, 3)

    def test_taken(self) -> None:
        """An id that another living process has is the caller's to hear; nothing goes on."""
        self.run_now(self.registry.register(Instance("comet", "c1", 0, "")))
        self.failureResultOf(Deferred.fromCoroutine(self.registration.open()), ServerIdTaken)
        self.assertEqual(self.clock.getDelayedCalls(), [])
