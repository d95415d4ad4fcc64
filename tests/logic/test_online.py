"""Who is online: living comets only."""

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.backend.leases_memory import LeasesMemory
from imd.backend.rooms_memory import RoomsMemory
from imd.interfaces import Instance, Location
from imd.logic.online import Online, Top, Total

T = TypeVar("T")
ONE, TWO = Location("c1", 1), Location("c2", 1)


class OnlineTests(SynchronousTestCase):
    """On rooms in memory."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.leases = LeasesMemory(clock=self.clock, lease_seconds=30)
        self.rooms = RoomsMemory(leases=self.leases)
        self.online = Online(rooms=self.rooms)
        for location in (ONE, TWO):
            self.run_now(self.leases.renew(location))

    def run_now(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.successResultOf(Deferred.fromCoroutine(coroutine))

    def test_top(self) -> None:
        """Largest first, over all comets, the exact type, names whole with their slashes."""
        self.run_now(self.rooms.report(ONE, [("live://a/b", 2), ("live://c", 3), ("live2://d", 9), ("live://e", 0)]))
        self.run_now(self.rooms.report(TWO, [("live://a/b", 2)]))
        self.assertEqual(self.run_now(self.online.top("live", 10)), [Top("a/b", 4), Top("c", 3)])
        self.assertEqual(self.run_now(self.online.top("live", 1)), [Top("a/b", 4)])
        self.assertEqual(self.run_now(self.online.top("li", 10)), [])

    def test_rooms(self) -> None:
        """By name; 0 for a room that nobody is in."""
        self.run_now(self.rooms.report(ONE, [("live://a", 2)]))
        self.assertEqual(self.run_now(self.online.rooms("live", ["a", "b"])), {"a": 2, "b": 0})

    def test_dead_comets_do_not_count(self) -> None:
        """What a comet had in its rooms is gone with its lease."""
        self.run_now(self.rooms.report(ONE, [("live://a", 2)]))
        self.run_now(self.rooms.report(TWO, [("live://a", 5)]))
        self.clock.advance(20)
        self.run_now(self.leases.renew(ONE))
        self.clock.advance(20)
        self.assertEqual(self.run_now(self.online.rooms("live", ["a"])), {"a": 2})

    def test_total(self) -> None:
        """Sums over the comets of the registry, draining ones too: their clients are still there."""
        self.assertEqual(self.online.total(), Total(0, 0))
        self.online.comets_changed(
            [
                Instance("comet", "c1", 1, "", conn_count=10, ip_count=4),
                Instance("comet", "c2", 1, "", conn_count=5, ip_count=5, offline=True),
            ]
        )
        self.assertEqual(self.online.total(), Total(ip_count=9, conn_count=15))
