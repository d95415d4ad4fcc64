"""The limit of a member's devices: the longest there go, never the newest."""

from collections.abc import Collection, Sequence
from itertools import permutations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.backend.broker_memory import BrokerMemory
from imd.errors import CloseReason, PresenceUnavailable
from imd.interfaces import Location
from imd.logic.devices import DeviceLimits, Devices
from imd.logic.ids import IdMaker
from imd.logic.kicks import Kicks
from imd.metrics import Metrics
from imd.protocol.push import Push

NOW = 1_800_000_000.0
ONE = Location("c1", 1)


class OrderedPresence:
    """Who is there, in order of arrival. :class:`imd.interfaces.Presence`."""

    def __init__(self) -> None:
        self.there: list[tuple[int, str, str]] = []  # (mid, platform, key)
        self.asked = 0
        self.away = False

    async def attach(self, location: Location, key: str, mid: int, platform: str = "") -> Location | None:
        self.there = [held for held in self.there if held[2] != key] + [(mid, platform, key)]
        return None

    async def attach_many(self, location: Location, arrivals: Sequence[tuple[str, int, str]]) -> dict[str, Location]:
        raise NotImplementedError

    async def detach_many(self, location: Location, entries: Sequence[tuple[str, int]]) -> None:
        raise NotImplementedError

    async def devices(self, mid: int, platform: str) -> list[tuple[str, Location]]:
        self.asked += 1
        if self.away:
            raise PresenceUnavailable("away")
        return [(key, ONE) for of, on, key in self.there if (of, on) == (mid, platform)]

    async def detach(self, location: Location, key: str, mid: int) -> bool:
        raise NotImplementedError

    async def renew(self, location: Location, entries: Sequence[tuple[str, int]]) -> list[str]:
        raise NotImplementedError

    async def locate_keys(self, keys: Collection[str]) -> dict[str, Location]:
        raise NotImplementedError

    async def locate_members(self, mids: Collection[int]) -> dict[int, dict[str, Location]]:
        raise NotImplementedError


class DevicesTests(SynchronousTestCase):
    """On presence that keeps the order of arrival."""

    def setUp(self) -> None:
        metrics = Metrics()
        self.presence = OrderedPresence()
        self.broker = BrokerMemory(partitions=1, clock=Clock(), metrics=metrics)
        self.successResultOf(Deferred.fromCoroutine(self.broker.open()))
        self.kicks = Kicks(
            broker=self.broker, ids=IdMaker(now=lambda: NOW, worker_id=1), now=lambda: NOW, metrics=metrics
        )
        self.limit(DeviceLimits(default=2, per_platform={"web": 1, "bot": 0}))

    def limit(self, limits: DeviceLimits) -> None:
        self.devices = Devices(presence=self.presence, kicks=self.kicks, limits=limits)

    def attach(self, key: str, mid: int = 5, platform: str = "ios") -> None:
        self.successResultOf(Deferred.fromCoroutine(self.presence.attach(ONE, key, mid, platform)))

    def connect(self, key: str, mid: int = 5, platform: str = "ios") -> list[str]:
        """Whose connections were ended by it."""
        self.attach(key, mid, platform)
        return self.check(key, mid, platform)

    def check(self, key: str, mid: int = 5, platform: str = "ios") -> list[str]:
        self.successResultOf(Deferred.fromCoroutine(self.devices.connected(key, mid, platform)))
        pushes = self.kicked()
        self.assertEqual({push.reason for push in pushes} - {CloseReason.DEVICE_LIMIT.code}, set())
        return [push.keys[0] for push in pushes]

    def kicked(self) -> list[Push]:
        return [entry.push for entry in self.successResultOf(Deferred.fromCoroutine(self.broker.read(0, 100, 0)))]

    def test_the_oldest_goes(self) -> None:
        """As many as the limit stay; each one more ends the one that is there longest."""
        self.assertEqual([self.connect(key) for key in "ab"], [[], []])
        self.assertEqual(self.connect("c"), ["a"])

    def test_limits_of_platforms(self) -> None:
        """Each platform has its own, and its own devices; 0 is no limit, and costs no question."""
        self.connect("a")
        self.assertEqual(self.connect("w", platform="web"), [])
        self.assertEqual(self.connect("x", platform="web"), ["w"])
        asked = self.presence.asked
        for number in range(5):
            self.assertEqual(self.connect(f"bot{number}", platform="bot"), [])
        self.assertEqual(self.presence.asked, asked)

    def test_no_limit(self) -> None:
        """The default is none: presence is not even asked."""
        self.limit(DeviceLimits())
        for number in range(5):
            self.connect(f"k{number}")
        self.assertEqual(self.presence.asked, 0)

    def test_anonymous(self) -> None:
        """Clients without a member's id are not one member's."""
        for number in range(5):
            self.assertEqual(self.connect(f"k{number}", mid=0), [])
        self.assertEqual(self.presence.asked, 0)

    def test_lower_limit(self) -> None:
        """After a lower limit all that are too many go, the longest there first."""
        for key in "abcd":
            self.attach(key)
        self.assertEqual(self.connect("e"), ["a", "b", "c"])

    def test_same_device_again(self) -> None:
        """A device that comes back is no second one."""
        self.connect("a")
        self.connect("b")
        self.assertEqual(self.connect("a"), [])

    def test_never_the_newest(self) -> None:
        """Not even when presence thinks that it is there longest."""
        for key in "abc":
            self.attach(key)
        self.assertEqual(self.check("a"), [])

    def test_at_once(self) -> None:
        """However two or three that connect at once take turns, the ones that came last stay, no more and no fewer."""
        for order in permutations("abc"):
            self.setUp()
            for key in "abc":
                self.attach(key)
            ended = {gone for key in order for gone in self.check(key)}
            self.assertEqual(ended, {"a"}, order)

    def test_many(self) -> None:
        """All of whom have come already: presence is asked for those that have a limit, and one failure is told."""
        for key in "abcd":
            self.attach(key)
        arrivals = [("c", 5, "ios"), ("d", 5, "ios"), ("e", 5, "bot"), ("f", 0, "ios")]
        self.successResultOf(Deferred.fromCoroutine(self.devices.all_connected(arrivals)))
        self.assertEqual({push.keys[0] for push in self.kicked()}, {"a", "b"})
        self.assertEqual(self.presence.asked, 2)
        self.presence.away = True
        self.failureResultOf(Deferred.fromCoroutine(self.devices.all_connected(arrivals)), PresenceUnavailable)

    def test_presence_away(self) -> None:
        """Nobody can say how many there are: the client comes again."""
        self.presence.away = True
        self.attach("a")
        connecting = Deferred.fromCoroutine(self.devices.connected("a", 5, "ios"))
        self.failureResultOf(connecting, PresenceUnavailable)
