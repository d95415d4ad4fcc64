"""Many clients in one request: each is answered for itself, and presence names them before."""

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.backend.broker_memory import BrokerMemory
from imd.backend.leases_memory import LeasesMemory
from imd.backend.presence_memory import PresenceMemory
from imd.errors import AuthRefused, BadRequest, CloseReason, ImdError, PresenceUnavailable, Unavailable
from imd.interfaces import Identity, Location
from imd.logic.arrivals import MAX_CLIENTS, Arrivals
from imd.logic.devices import DeviceLimits, Devices
from imd.logic.ids import IdMaker
from imd.logic.kicks import Kicks
from imd.metrics import Metrics
from imd.protocol import rpc
from imd.protocol.push import Push

NOW = 1_800_000_000.0
ONE, TWO = Location("c1", 1), Location("c2", 1)
T = TypeVar("T")


class ByToken:
    """An authenticator that does as the token says: a :class:`imd.interfaces.Authenticator`."""

    def __init__(self) -> None:
        self.waiting: list[Deferred[None]] = []

    async def authenticate(self, request: rpc.Connect) -> Identity:
        match request.token:
            case "bad":
                raise AuthRefused("the token is not good")
            case "away":
                raise Unavailable("no keys")
            case "bug":
                raise ZeroDivisionError("as a bug would")
            case "slow":
                self.waiting.append(Deferred())
                await self.waiting[-1]
            case "named":
                return Identity(9, "own", "live://9", (7,), "tv", ("vip://1",), 99)
        return Identity(request.mid)


class ArrivalsTests(SynchronousTestCase):
    """On backends in memory, with two living comets."""

    def setUp(self) -> None:
        metrics, clock = Metrics(), Clock()
        self.leases = LeasesMemory(clock=clock, lease_seconds=30)
        self.presence = PresenceMemory(leases=self.leases)
        self.broker = BrokerMemory(partitions=1, clock=clock, metrics=metrics)
        kicks = Kicks(broker=self.broker, ids=IdMaker(now=lambda: NOW, worker_id=1), now=lambda: NOW, metrics=metrics)
        limits = DeviceLimits(per_platform={"web": 1})
        devices = Devices(presence=self.presence, kicks=kicks, limits=limits)
        self.authenticator = ByToken()
        self.arrivals = Arrivals(authenticator=self.authenticator, presence=self.presence, kicks=kicks, devices=devices)
        self.run_now(self.broker.open())
        for location in (ONE, TWO):
            self.run_now(self.leases.renew(location))

    def run_now(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.successResultOf(Deferred.fromCoroutine(coroutine))

    def client(self, key: str, token: str = "", at: Location = ONE, **more: Any) -> rpc.Connect:
        return rpc.Connect(at.server, at.boot, key, token=token, **{"mid": 5, **more})

    def connect(self, *clients: rpc.Connect) -> list[rpc.Verdict]:
        return list(self.run_now(self.arrivals.connect_many(rpc.ConnectMany(clients))).verdicts)

    def located(self) -> dict[str, Location]:
        return self.run_now(self.presence.locate_keys(["a", "b", "c", "own"]))

    def kicks(self) -> list[Push]:
        return [entry.push for entry in self.run_now(self.broker.read(0, 100, 0))]

    def test_all_are_named(self) -> None:
        """In their order, as each asked or as its credentials say."""
        verdicts = self.connect(self.client("a", room="live://1", accepts=(1000,)), self.client("b", "named", room="x"))
        self.assertEqual(
            verdicts,
            [
                rpc.Verdict(rpc.Connected("a", 5, "live://1", (1000,))),
                rpc.Verdict(rpc.Connected("own", 9, "live://9", (7,), ("vip://1",), 99, "tv")),
            ],
        )
        self.assertEqual(self.located(), {"a": ONE, "own": ONE})

    def test_one_is_refused(self) -> None:
        """The others are not: nor by an authenticator that is away for one, nor by a bug."""
        verdicts = self.connect(
            *(self.client(key, token) for key, token in zip("abcd", ("bad", "", "away", "bug"), strict=True))
        )
        self.assertEqual([each.code for each in verdicts], [AuthRefused.code, 0, Unavailable.code, ImdError.code])
        self.assertEqual([each.words for each in verdicts], ["the token is not good", "", "no keys", "internal error"])
        self.assertEqual(self.located(), {"b": ONE})
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_one_has_to_wait(self) -> None:
        """It is left undecided, and nothing is done about it; asked for alone it has its time."""
        slow = self.client("a", "slow")
        self.assertEqual(self.connect(slow, self.client("b")), [rpc.Verdict(), rpc.Verdict(rpc.Connected("b", 5))])
        self.assertEqual(self.located(), {"b": ONE})
        alone = Deferred.fromCoroutine(self.arrivals.connect(slow))
        self.assertNoResult(alone)
        self.authenticator.waiting[-1].callback(None)
        self.assertEqual(self.successResultOf(alone), rpc.Connected("a", 5))
        self.assertEqual(self.located(), {"a": ONE, "b": ONE})

    def test_nobody_is_good(self) -> None:
        """Presence is not asked."""
        self.assertEqual([each.code for each in self.connect(self.client("a", "bad"))], [AuthRefused.code])
        self.assertEqual(self.connect(), [])

    def test_older_connections_are_kicked(self) -> None:
        """Those elsewhere, each where it is."""
        self.connect(self.client("a", at=TWO), self.client("b", at=TWO))
        self.connect(*map(self.client, "abc"))
        self.assertEqual([(push.keys, push.server) for push in self.kicks()], [(("a",), "c2"), (("b",), "c2")])
        self.assertEqual(self.located(), dict.fromkeys("abc", ONE))

    def test_too_many_devices(self) -> None:
        """However many of a member come in one request, the limit holds in the end."""
        self.connect(*(self.client(key, platform="web") for key in "abc"))
        kicked = {(push.keys[0], push.reason) for push in self.kicks()}
        self.assertEqual(kicked, {("a", CloseReason.DEVICE_LIMIT.code), ("b", CloseReason.DEVICE_LIMIT.code)})

    def test_presence_is_away(self) -> None:
        """Nobody can be let in: the request fails."""

        async def away(*_: object) -> dict[str, Location]:
            raise PresenceUnavailable("away")

        self.patch(PresenceMemory, "attach_many", away)
        asked = Deferred.fromCoroutine(self.arrivals.connect_many(rpc.ConnectMany((self.client("a"),))))
        self.failureResultOf(asked, PresenceUnavailable)

    def test_bad_requests(self) -> None:
        """Of two comets, or too many: nothing is done."""
        for clients in ([self.client("a"), self.client("b", at=TWO)], [self.client("a")] * (MAX_CLIENTS + 1)):
            asked = Deferred.fromCoroutine(self.arrivals.connect_many(rpc.ConnectMany(tuple(clients))))
            self.failureResultOf(asked, BadRequest)
        self.assertEqual(self.located(), {})
