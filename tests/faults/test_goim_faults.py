"""What is known to go wrong in goim, tried on imd: real sockets, the real comet, logic and job."""

from collections.abc import Coroutine
from pathlib import Path
from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase

from imd.protocol.packet import HEADER, Packet, encode
from tests.faults.comets import LEASE_SECONDS, Comets
from tests.faults.imd_process import ImdProcess, eventually
from tests.faults.plain_client import PlainClient
from tests.support.raw_peer import RawPeer
from tests.support.reactor import eventually as eventually_true
from tests.support.reactor import reactor
from tests.support.websocket_bytes import frame

HEARTBEAT, HEARTBEAT_REPLY, AUTH, AUTH_REPLY = 2, 3, 7, 8


class StandaloneFaultTests(SynchronousTestCase):
    """One `twistd imd` for all of them."""

    imd: ClassVar[ImdProcess]

    @classmethod
    def setUpClass(cls) -> None:
        cls.imd = ImdProcess(Path("goim-faults").absolute(), "comet.outbox_bytes=131072")

    @classmethod
    def tearDownClass(cls) -> None:
        log = cls.imd.stop()
        assert "Traceback" not in log, log

    def client(self, framed: bool = False, receive_buffer: int = 0, **auth: Any) -> PlainClient:
        """One that has its op 8."""
        port = self.imd.ports["ws" if framed else "tcp"]
        client = PlainClient(port, framed=framed, receive_buffer=receive_buffer)
        self.addCleanup(client.close)
        if auth:
            self.assertEqual(client.auth(**auth).operation, AUTH_REPLY)
        return client

    def push(self, path: str, body: bytes) -> None:
        self.assertEqual(self.imd.post(f"/goim/push/{path}", body), (200, b'{"code":0,"message":""}'))

    def stall(self, client: PlainClient, room: str) -> None:
        """Push to its room, until this client, which does not read, has an outbox."""
        held = self.imd.metric("imd_outbox_bytes")
        for _ in range(400):
            self.push(f"room?operation=1000&type=live&room={room}", b"x" * 60_000)
            if self.imd.metric("imd_outbox_bytes") > held:
                return
        self.fail("it took 24 MB")

    def test_inner_length_beyond_the_message(self) -> None:
        """A WebSocket message that announces more than it has ends its connection; nobody else's memory comes back."""
        neighbour = self.client(framed=True, key="neighbour", accepts=[1000])
        for announced in (17, 4000, 4112, 4113, 2**31 - 1, -1):
            liar = self.client(framed=True, key="liar")
            liar.stream.sendall(frame(HEADER.pack(announced, 16, 1, 4, 1)))
            opcode, payload = liar.read_frame()
            self.assertEqual((opcode, payload[2:].isascii(), liar.ended()), (8, True, b""))
            self.assertLess(len(payload), 40)
        self.push("keys?operation=1000&keys=neighbour", b"hi")
        self.assertEqual(neighbour.read().body, encode(Packet(1000, b"hi")))

    def test_late_loss_of_a_replaced_connection(self) -> None:
        """The newer of two with one key keeps presence when the older one's socket goes at last: pushes reach it."""
        old = self.client(key="twice", mid=77, accepts=[1000])
        new = self.client(key="twice", mid=77, accepts=[1000])
        self.assertEqual(old.ended(), b"")
        for late in (False, True):
            if late:
                old.reset()
            for target in ("keys?operation=1000&keys=twice", "mids?operation=1000&mids=77"):
                self.push(target, b"for the newer")
                self.assertEqual(new.read().body, b"for the newer")

    def test_reconnects_in_a_row(self) -> None:
        """Whoever comes back with its key at once, again and again, is always reached, however the losses are noticed."""
        clients = [self.client(key="again", accepts=[1000])]
        for turn in range(20):
            if turn % 3:
                clients[-1].reset()
            clients.append(self.client(key="again", accepts=[1000]))
            self.push("keys?operation=1000&keys=again", b"%d" % turn)
            self.assertEqual(clients[-1].read().body, b"%d" % turn)

    def test_stalled_duplicate_key(self) -> None:
        """A client that does not read is replaced at once; neither the newcomer nor the others of its bucket wait for it."""
        others = [self.client(key=f"other-{number}", accepts=[1000]) for number in range(64)]  # two in each bucket
        stalled = self.client(receive_buffer=4096, key="stalled", room_id="live://stalled")
        self.stall(stalled, "stalled")
        new = PlainClient(self.imd.ports["tcp"], seconds=2)
        self.addCleanup(new.close)
        self.assertEqual(new.auth(key="stalled", accepts=[1000]).operation, AUTH_REPLY)
        self.push("keys?operation=1000&keys=stalled", b"new")
        self.assertEqual(new.read().body, b"new")
        keys = "&".join(f"keys=other-{number}" for number in range(64))
        self.push(f"keys?operation=1000&{keys}", b"on")
        for other in others:
            self.assertEqual(other.read().body, b"on")

    def test_change_to_the_room_it_is_in(self) -> None:
        """Says yes, and it is still in it."""
        client = self.client(key="stays", room_id="live://home")
        self.assertEqual(client.change_room("live://home").body, b"live://home")
        self.push("room?operation=1000&type=live&room=home", b"hi")
        self.assertEqual(client.read().body, b"hi")
        client.send(HEARTBEAT)
        self.assertEqual(client.read().body, b"\0\0\0\1")

    def test_push_to_many_keys_passes_over_a_full_client(self) -> None:
        """The ones behind it get theirs; the full one is dropped by name."""
        first, last = (self.client(key=key, accepts=[1000]) for key in ("many-1", "many-3"))
        full = self.client(receive_buffer=4096, key="many-2", room_id="live://full", accepts=[1000])
        self.stall(full, "full")
        before = self.imd.metric("imd_drops_total", layer="comet", reason="slow_consumer")
        for _ in range(4):
            self.push("keys?operation=1000&keys=many-1&keys=many-2&keys=many-3", b"y" * 60_000)
            self.assertEqual([len(client.read().body) for client in (first, last)], [60_000] * 2)
        self.assertEqual(self.imd.metric("imd_drops_total", layer="comet", reason="slow_consumer"), before + 1)


class FileLimitTests(SynchronousTestCase):
    def test_accepting_goes_on_after_the_file_limit(self) -> None:
        """Beyond RLIMIT_NOFILE it neither dies nor spins, serves those inside, and accepts again when there is room."""
        imd = ImdProcess(Path("file-limit").absolute(), limits="-n 60")
        self.addCleanup(imd.stop)
        inside = PlainClient(imd.ports["tcp"])
        self.addCleanup(inside.close)
        inside.auth(key="inside")
        crowd = [imd.connect(port) for _ in range(40) for port in ("tcp", "ws")]
        files = Path(f"/proc/{imd.process.pid}/fd")
        eventually(lambda: len(list(files.iterdir())) >= 59)
        used = imd.cpu_seconds
        inside.stream.settimeout(2)
        self.assertRaises(TimeoutError, inside.stream.recv, 1)
        self.assertLess(imd.cpu_seconds - used, 1.0)
        inside.send(HEARTBEAT)
        self.assertEqual(inside.read().operation, HEARTBEAT_REPLY)
        for stream in crowd:
            stream.close()
        for framed in (False, True):
            eventually(lambda framed=framed: self.served(imd, framed), what="a new client served")

    def served(self, imd: ImdProcess, framed: bool) -> bool:
        try:
            client = PlainClient(imd.ports["ws" if framed else "tcp"], framed=framed)
            try:
                return client.auth(key="new").operation == AUTH_REPLY
            finally:
                client.close()
        except (EOFError, OSError):
            return False


class SeveralCometsTests(TestCase):
    """Comets around one logic and job."""

    def run_with(self, names: str, story: Any) -> Deferred[None]:
        async def told() -> None:
            comets = Comets(reactor)
            try:
                await comets.start(*names.split())
                await story(comets)
            finally:
                await comets.end()

        return Deferred.fromCoroutine(told())

    async def enter(self, comets: Comets, comet: str, body: bytes) -> RawPeer:
        peer = await comets.client(comet)
        await peer.send(encode(Packet(AUTH, body, 1)))
        assert await peer.read(16) == encode(Packet(AUTH_REPLY, b"", 1))
        return peer

    def test_same_key_on_two_comets(self) -> Deferred[None]:
        """The older one is told to go by its comet, its late loss there removes nothing, and pushes find the newer one."""

        async def story(comets: Comets) -> None:
            op7 = b'{"key":"k","mid":5,"room_id":"live://1","accepts":[1000]}'
            old = await self.enter(comets, "c1", op7)
            new = await self.enter(comets, "c2", op7)
            self.assertEqual(await old.read_to_end(), b"")
            await old.close()
            for _ in range(2):
                await comets.pusher.push_keys(1000, b"key", ["k"])
                await comets.pusher.push_members(1000, b"mid", [5])
                await comets.pusher.push_room(1000, b"all", "live://1")
                got = await new.read(3 * 19)
                self.assertEqual({got[at + 16 : at + 19] for at in (0, 19, 38)}, {b"key", b"mid", b"all"})
                await deferLater(reactor, 0.5)  # renewals of both comets, and whatever is late
            self.assertEqual((await comets.presence.locate_keys(["k"]))["k"].server, "c2")
            self.assertEqual(await comets.rooms.counts(["live://1"]), {"live://1": 1})

        return self.run_with("c1 c2", story)

    def test_back_and_forth(self) -> Deferred[None]:
        """A client that goes to and fro between comets with its key is reached wherever it was last."""

        async def story(comets: Comets) -> None:
            peers = []
            for turn in range(10):
                peers.append(await self.enter(comets, f"c{turn % 2 + 1}", b'{"key":"k","accepts":[1000]}'))
                await comets.pusher.push_keys(1000, b"%d" % turn, ["k"])
                self.assertEqual(await peers[-1].read(17), encode(Packet(1000, b"%d" % turn)))

        return self.run_with("c1 c2", story)

    def test_room_counts_of_dead_servers(self) -> Deferred[None]:
        """They are gone once the lease is, from look-ups, from the largest rooms, and from the heartbeats of those who live."""

        async def story(comets: Comets) -> None:
            await self.enter(comets, "c1", b'{"key":"a","room_id":"live://1"}')
            living = await self.enter(comets, "c2", b'{"key":"b","room_id":"live://1"}')
            await eventually_true(lambda: _now(comets.rooms.counts(["live://1"])) == {"live://1": 2})
            comets.kill("c1")
            began = reactor.seconds()
            await eventually_true(lambda: _now(comets.rooms.counts(["live://1"])) == {"live://1": 1})
            self.assertLess(reactor.seconds() - began, LEASE_SECONDS + 0.3)
            self.assertEqual(await comets.rooms.top("live", 9), [("live://1", 1)])
            await deferLater(reactor, 0.4)
            await living.send(encode(Packet(HEARTBEAT, b"", 1)))
            self.assertEqual(await living.read(20), encode(Packet(HEARTBEAT_REPLY, b"\0\0\0\1", 1)))

        return self.run_with("c1 c2", story)

    def test_broadcast_without_a_comet(self) -> Deferred[None]:
        """It is counted as dropped, leaves the broker, and the job goes on."""

        async def story(comets: Comets) -> None:
            for speed in (0, 10):
                await comets.pusher.push_all(1000, b"nobody hears", speed)
            await eventually_true(lambda: comets.metrics.drops.values.get(("job", "no_comet")) == 2)
            await eventually_true(lambda: _now(comets.broker.backlog()).entries == 0)
            comets.add("late")
            client = await self.enter(comets, "late", b'{"key":"k","accepts":[1000]}')
            await comets.pusher.push_all(1000, b"hi")
            self.assertEqual(await client.read(18), encode(Packet(1000, b"hi")))

        return self.run_with("", story)


def _now(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine answers that waits for nobody."""
    found: list[Any] = []
    Deferred.fromCoroutine(coroutine).addCallback(found.append)
    return found[0]
