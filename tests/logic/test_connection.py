"""What comets ask: connect, disconnect, renew, receive, host, read, ack, send, refresh, attend."""

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.backend.broker_memory import BrokerMemory
from imd.backend.leases_memory import LeasesMemory
from imd.backend.presence_memory import PresenceMemory
from imd.backend.rooms_memory import RoomsMemory
from imd.backend.timelines_memory import TimelinesMemory
from imd.errors import AuthRefused, CloseReason, PeerUnavailable, ServerIdTaken
from imd.interfaces import Authenticator, Identity, Location
from imd.logic.connection import Connections
from imd.logic.devices import DeviceLimits
from imd.logic.ids import IdMaker
from imd.logic.keep import KeepRules
from imd.logic.trust import TrustAuthenticator
from imd.metrics import Metrics
from imd.protocol import rpc
from imd.protocol.push import Push, Target, partition_of
from imd.protocol.room_type import Keep, RoomType, RoomTypes, Send
from tests.support.brain import Brain
from tests.support.recording_traces import RecordingTraces

T = TypeVar("T")
NOW = 1_800_000_000.0
ONE, TWO = Location("c1", 1), Location("c2", 1)
TYPES = RoomTypes({"chat": RoomType(keep=Keep(10, 60_000), send=Send.JOINED, presence_events=True)})


class Says:
    """An authenticator with one answer."""

    def __init__(self, answer: Identity | Exception) -> None:
        self.answer = answer
        self.shown = ""  # the token that it saw last

    async def authenticate(self, request: rpc.Connect) -> Identity:
        self.shown = request.token
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Hook:
    """Notes packets, and fails as told."""

    def __init__(self) -> None:
        self.packets: list[rpc.Receive] = []
        self.fails: Callable[[], Exception] | None = None

    async def __call__(self, packet: rpc.Receive) -> None:
        self.packets.append(packet)
        if self.fails:
            raise self.fails()


class ConnectionsTests(SynchronousTestCase):
    """On backends in memory, with two living comets."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.metrics = Metrics()
        self.leases = LeasesMemory(clock=self.clock, lease_seconds=30)
        self.presence = PresenceMemory(leases=self.leases)
        self.rooms = RoomsMemory(leases=self.leases)
        self.timelines = TimelinesMemory(metrics=self.metrics, now_ms=lambda: int(NOW * 1000), make_epoch=lambda: "e")
        self.broker = BrokerMemory(partitions=4, clock=self.clock, metrics=self.metrics, timelines=self.timelines)
        self.hook = Hook()
        self.ids = IdMaker(now=lambda: NOW, worker_id=1)
        self.connections = self.make(TrustAuthenticator())
        self.run_now(self.broker.open())
        for location in (ONE, TWO):
            self.run_now(self.leases.renew(location))

    def make(
        self, authenticator: Authenticator, *, public_comets: bool = True, limits: DeviceLimits | None = None
    ) -> Connections:
        return Brain(
            authenticator=authenticator,
            presence=self.presence,
            rooms=self.rooms,
            leases=self.leases,
            broker=self.broker,
            timelines=self.timelines,
            traces=RecordingTraces(),
            ids=self.ids,
            now=lambda: NOW,
            metrics=self.metrics,
            hook=self.hook,
            rules=KeepRules(room_types=TYPES),
            limits=limits,
            public_comets=public_comets,
        ).connections

    def run_now(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.successResultOf(Deferred.fromCoroutine(coroutine))

    def connect(self, at: Location, key: str = "k", mid: int = 5, **more: Any) -> rpc.Connected:
        return self.run_now(self.connections.connect(rpc.Connect(at.server, at.boot, key, mid, **more)))

    def located(self, key: str = "k") -> Location | None:
        return self.run_now(self.presence.locate_keys([key])).get(key)

    def kicks(self) -> list[Push]:
        return [
            entry.push
            for partition in range(self.broker.partitions)
            for entry in self.run_now(self.broker.read(partition, 10, 0))
        ]

    def test_connect(self) -> None:
        """What the client asked for, answered once presence names it."""
        connected = self.connect(ONE, room="live://1", accepts=(1000, 1001))
        self.assertEqual(connected, rpc.Connected("k", 5, "live://1", (1000, 1001)))
        self.assertEqual(self.located(), ONE)
        self.assertEqual(self.kicks(), [])

    def test_credentials_win(self) -> None:
        """What the credentials say replaces what the client asked for, an empty room and accept set too."""
        self.connections = self.make(Says(Identity(7, "own", "", (), "tv", ("vip://1",), 99)))
        connected = self.connect(ONE, room="live://1", accepts=(1000,), platform="web")
        self.assertEqual(connected, rpc.Connected("own", 7, "", (), ("vip://1",), 99, "tv"))
        self.assertEqual((self.located("own"), self.located("k")), (ONE, None))

    def test_platform(self) -> None:
        """The client's own word, where its credentials say nothing; presence knows it."""
        self.assertEqual(self.connect(ONE, platform="web").platform, "web")
        self.assertEqual(self.run_now(self.presence.devices(5, "web")), [("k", ONE)])

    def test_too_many_devices(self) -> None:
        """Beyond the limit the longest there is ended, with the reason, wherever it is."""
        self.connections = self.make(TrustAuthenticator(), limits=DeviceLimits(per_platform={"web": 1}))
        self.connect(ONE, "first", platform="web")
        self.connect(TWO, "other", platform="ios")
        self.assertEqual(self.connect(TWO, "second", platform="web").key, "second")
        [kick] = self.kicks()
        self.assertEqual((kick.keys, kick.server, kick.reason), (("first",), "c1", CloseReason.DEVICE_LIMIT.code))

    def test_replaced_is_no_device(self) -> None:
        """The older connection of the same key makes room by itself: it is told once, as replaced."""
        self.connections = self.make(TrustAuthenticator(), limits=DeviceLimits(default=1))
        self.connect(ONE)
        self.connect(TWO)
        self.assertEqual([(kick.server, kick.reason) for kick in self.kicks()], [("c1", 0)])

    def test_refused(self) -> None:
        """A client that is refused is nowhere."""
        self.connections = self.make(Says(AuthRefused("no")))
        refused = self.connections.connect(rpc.Connect("c1", 1, "k"))
        self.failureResultOf(Deferred.fromCoroutine(refused), AuthRefused)
        self.assertIsNone(self.located())

    def test_newer_elsewhere_kicks(self) -> None:
        """The older connection of the key is told, by the partition that carries the key's pushes."""
        self.connect(ONE)
        self.connect(TWO)
        self.assertEqual(self.located(), TWO)
        partition = partition_of("k", self.broker.partitions)
        [entry] = self.run_now(self.broker.read(partition, 10, 0))
        kick = entry.push
        self.assertEqual((kick.target, kick.keys, kick.server, kick.boot), (Target.KICK, ("k",), "c1", 1))
        self.assertEqual(self.metrics.published.value("kick"), 1)

    def test_newer_on_the_same_comet(self) -> None:
        """The comet sees that itself: no kick."""
        self.connect(ONE)
        self.connect(ONE)
        self.assertEqual(self.kicks(), [])

    def test_older_on_a_dead_comet(self) -> None:
        """Nobody is there to be told."""
        self.connect(ONE)
        self.clock.advance(31)
        self.run_now(self.leases.renew(TWO))
        self.connect(TWO)
        self.assertEqual(self.kicks(), [])

    def test_broker_away(self) -> None:
        """The newer connection is let in all the same; the older comet hears of it when it renews."""
        self.connect(ONE)
        self.run_now(self.broker.close())
        self.assertEqual(self.connect(TWO).key, "k")
        renewed = self.run_now(self.connections.renew(rpc.Renew("c1", 1, entries=(("k", 5),))))
        self.assertEqual(renewed.replaced, ("k",))

    def test_no_worker_id(self) -> None:
        """A missing lease for ids keeps no client out."""
        self.connect(ONE)
        self.ids = IdMaker(now=lambda: NOW)
        self.connections = self.make(TrustAuthenticator())
        self.assertEqual(self.connect(TWO).key, "k")

    def test_late_loss_removes_nothing(self) -> None:
        """The older connection's end leaves the newer one where it is; the newer one's own end removes it."""
        self.connect(ONE)
        self.connect(TWO)
        self.run_now(self.connections.disconnect(rpc.Disconnect("c1", 1, "k", 5)))
        self.assertEqual(self.located(), TWO)
        self.run_now(self.connections.disconnect(rpc.Disconnect("c2", 1, "k", 5)))
        self.assertIsNone(self.located())

    def test_renew(self) -> None:
        """Entries come back, those that are another's are named, and rooms are counted over all comets."""
        self.connect(TWO, "theirs")
        self.run_now(self.connections.renew(rpc.Renew("c2", 1, rooms=(("live://1", 2),))))
        renewed = self.run_now(
            self.connections.renew(
                rpc.Renew("c1", 1, entries=(("mine", 6), ("theirs", 5)), rooms=(("live://1", 3), ("live://2", 0)))
            )
        )
        self.assertFalse(renewed.lease_lapsed)
        self.assertEqual(renewed.replaced, ("theirs",))
        self.assertEqual(dict(renewed.rooms), {"live://1": 5, "live://2": 0})
        self.assertEqual(self.located("mine"), ONE)

    def test_renew_after_a_lapse(self) -> None:
        """A comet whose lease had lapsed is told to send everything again."""
        self.clock.advance(31)
        renew = rpc.Renew("c1", 1)
        self.assertTrue(self.run_now(self.connections.renew(renew)).lease_lapsed)
        self.assertFalse(self.run_now(self.connections.renew(renew)).lease_lapsed)

    def test_renew_of_an_older_boot(self) -> None:
        """A comet that was started again elsewhere is refused."""
        self.run_now(self.leases.renew(Location("c1", 2)))
        renewing = self.connections.renew(rpc.Renew("c1", 1))
        self.failureResultOf(Deferred.fromCoroutine(renewing), ServerIdTaken)

    def test_leaving(self) -> None:
        """What the comet has in presence counts no longer, at once; an older boot takes nothing from a newer one."""
        self.connect(ONE)
        self.run_now(self.connections.renew(rpc.Renew("c1", 0, leaving=True)))
        self.assertEqual(self.located(), ONE)
        self.assertEqual(self.run_now(self.connections.renew(rpc.Renew("c1", 1, leaving=True))), rpc.Renewed())
        self.assertIsNone(self.located())

    def test_public_comet_in_trust_mode(self) -> None:
        """Refused before it gets its lease, with what to do; one on its own machine is served, and any where it is allowed."""
        self.connections = self.make(TrustAuthenticator(), public_comets=False)
        refusing = self.connections.renew(rpc.Renew("c9", 1, public=True))
        refused = self.failureResultOf(Deferred.fromCoroutine(refusing), AuthRefused)
        self.assertIn("auth.mode = token", str(refused.value))
        self.assertFalse(self.run_now(self.leases.renew(Location("c9", 1))), "it had no lease")
        self.run_now(self.connections.renew(rpc.Renew("c1", 1, public=False)))
        self.run_now(self.make(TrustAuthenticator()).renew(rpc.Renew("c1", 1, public=True)))

    def test_host(self) -> None:
        """A room is hosted when the call returns, and no longer after the other one."""
        self.run_now(self.connections.host(rpc.Host("c1", 1, "live://1")))
        self.assertEqual(self.run_now(self.rooms.hosts(["live://1"])), {"live://1": [ONE]})
        self.run_now(self.connections.host(rpc.Host("c1", 1, "live://1", wanted=False)))
        self.assertEqual(self.run_now(self.rooms.hosts(["live://1"])), {})

    def test_receive(self) -> None:
        """The hook gets the packet as it is."""
        packet = rpc.Receive("c1", "k", 5, 1000, b"x", "live://1")
        self.assertEqual(self.run_now(self.connections.receive(packet)), rpc.Done())
        self.assertEqual(self.hook.packets, [packet])
        self.assertEqual(self.metrics.hook_calls.value("ok"), 1)

    def test_receive_fails(self) -> None:
        """The application's fault is logged and counted; the client gets its echo."""
        self.hook.fails = lambda: ZeroDivisionError("theirs")
        self.assertEqual(self.run_now(self.connections.receive(rpc.Receive("c1", "k", 5, 1000, b""))), rpc.Done())
        self.assertEqual(self.metrics.hook_calls.value("error"), 1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_receive_cancelled(self) -> None:
        """Whoever stops waiting stops the hook."""
        self.hook.fails = CancelledError
        receiving = self.connections.receive(rpc.Receive("c1", "k", 5, 1000, b""))
        self.failureResultOf(Deferred.fromCoroutine(receiving), CancelledError)
        self.assertEqual(self.metrics.hook_calls.value("error"), 0)

    def test_send_and_read(self) -> None:
        """What a client sends to a kept room is read by those who missed it; an ack moves a device."""
        send = rpc.Send("c1", "k", 5, 1000, b"hi", room="chat://1", joined=True)
        sent = self.run_now(self.connections.send(send))
        follow = rpc.Follow("r:chat://1", 0, sent.place.epoch, 10)
        [page] = self.run_now(self.connections.read(rpc.Read("c1", (follow,)))).pages
        self.assertEqual([(message.id, message.body) for message in page.messages], [(sent.id, b"hi")])
        acks = rpc.Acks("c1", (rpc.Ack("r:chat://1", "5:k", 1, sent.place.epoch),))
        self.assertEqual(self.run_now(self.connections.ack(acks)), rpc.Done())
        self.assertEqual(self.run_now(self.timelines.positions("r:chat://1")), {"5:k": 1})

    def test_attend(self) -> None:
        """The room is told by a push."""
        events = rpc.Attendances("c1", (rpc.Attendance("chat://1", 5, True),))
        self.assertEqual(self.run_now(self.connections.attend(events)), rpc.Done())
        [push] = self.kicks()
        self.assertEqual((push.target, push.operation, push.room), (Target.ROOM, 46, "chat://1"))

    def refresh(self, mid: int = 5) -> "Deferred[rpc.Refreshed]":
        return Deferred.fromCoroutine(self.connections.refresh(rpc.Refresh("c1", "k", mid, "newer")))

    def test_refresh(self) -> None:
        """The new token is asked, and says how long, and where to."""
        says = Says(Identity(5, "own", grants=("vip://1",), expires_at_ms=99))
        self.connections = self.make(says)
        self.assertEqual(self.successResultOf(self.refresh()), rpc.Refreshed(99, ("vip://1",)))
        self.assertEqual(says.shown, "newer")
        self.assertEqual(self.run_now(self.presence.locate_keys(["own", "k"])), {}, "nobody connects by it")

    def test_refresh_of_another(self) -> None:
        """A good token of another member, a bad one, and one of which nobody can say."""
        for answer, error in (
            (Identity(6), AuthRefused),
            (AuthRefused("exp: the token has expired"), AuthRefused),
            (PeerUnavailable("no JWKS"), PeerUnavailable),
        ):
            self.connections = self.make(Says(answer))
            self.failureResultOf(self.refresh(), error)

    def test_refresh_in_trust(self) -> None:
        """Who trusts its clients lets them be whoever they are, for ever."""
        self.assertEqual(self.successResultOf(self.refresh()), rpc.Refreshed())
