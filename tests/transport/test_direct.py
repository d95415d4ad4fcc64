"""Straight to the socket: real sockets, most of them with a reactor that works by hand."""

import errno
import random
import select
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from twisted.internet import abstract, tcp
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from imd.comet.drop import Drop
from imd.comet.limits import Limits
from imd.comet.load import Load
from imd.comet.outbox import Outbox
from imd.comet.policy import SlowPolicy
from imd.comet.reservoir import Reservoir
from imd.errors import CloseReason
from imd.metrics import Metrics
from imd.protocol.packet import Packet, encode
from imd.protocol.rpc import Item, Kind
from imd.protocol.wire import Wire
from imd.transport.direct import DirectServer, send_directly, send_now, sink_of
from imd.transport.ending import LINGER_SECONDS
from imd.transport.tcp import TcpFactory
from tests.support.listening_comet import ListeningComet
from tests.support.memory_stream import MemoryStream
from tests.support.raw_peer import connect_raw
from tests.support.reactor import reactor
from tests.support.recording_session import Admission, RecordingSession

BUFFER_BYTES = 8192  # of each socket: the kernel makes some more of it
WAIT_SECONDS = 10.0  # that a test waits for the kernel
END = b"<end>"  # read from a client's socket that has come to its end


class Recorder(Protocol):
    """A protocol and a streaming producer that notes what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.reason: Failure | None = None  # None until the loss
        self.more: Callable[[], None] | None = None  # what it does when it is told to go on, once

    def pauseProducing(self) -> None:
        self.said.append("pause")

    def resumeProducing(self) -> None:
        self.said.append("resume")
        more, self.more = self.more, None
        if more is not None:
            more()

    def stopProducing(self) -> None:
        self.said.append("stop")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.reason = reason


class Pair:
    """A client's socket, and what serves it: ``transport``, whose reactor is moved by :meth:`turn`."""

    def __init__(self, protocol: Any, kind: type[tcp.Server] = DirectServer) -> None:
        self.reactor = MemoryReactorClock()
        with socket.create_server(("127.0.0.1", 0)) as port:
            port.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)  # accepted sockets have it too
            self.client = socket.socket()
            self.client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
            self.client.connect(port.getsockname())
            accepted, address = port.accept()
        self.client.setblocking(False)
        reactor: Any = self.reactor
        server: Any = None  # the port is told nothing
        self.transport = kind(accepted, protocol, address, server, 0, reactor)
        protocol.makeConnection(self.transport)

    def read(self, size: int = 0) -> bytes:
        """What has come, after waiting for so many bytes of it."""
        data = b""
        while True:
            select.select([self.client], [], [], WAIT_SECONDS if len(data) < size else 0)
            try:
                chunk = self.client.recv(1 << 20)
            except BlockingIOError:
                return data
            if not chunk:
                return data + END
            data += chunk

    def turn(self) -> None:
        """A turn of the reactor: what can be written, read, and what is due."""
        transport = self.transport
        if self.writing:
            result = transport.doWrite()
            if result is not None:
                self.lose(result)
        self.reactor.advance(0)

    def hear(self) -> None:
        """The socket is readable."""
        result = self.transport.doRead()
        if isinstance(result, ConnectionDone):
            self.transport.readConnectionLost(Failure(result))
        elif result is not None:
            self.lose(result)

    def lose(self, result: Any) -> None:
        self.transport.connectionLost(Failure(result))

    def drain(self, size: int) -> bytes:
        """Turn and read until nothing is left to write, and so many bytes have come."""
        data = self.read()
        while self.writing:
            self.turn()
            data += self.read()
        return data if len(data) >= size else data + self.read(size - len(data))

    @property
    def writing(self) -> bool:
        """Whether the transport waits for room in the kernel."""
        return self.transport in self.reactor.writers

    def reset(self) -> None:
        """The client goes without a goodbye."""
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.client.close()
        select.select([self.transport.socket], [], [], WAIT_SECONDS)

    def close(self) -> None:
        self.client.close()
        if self.transport.connected:
            self.lose(ConnectionLost())


class PairTestCase(SynchronousTestCase):
    """Tests that look at what a client reads."""

    pair: Pair

    def assert_comes(self, data: bytes) -> None:
        """Exactly this, and then nothing is left to write."""
        self.assertEqual(self.pair.drain(len(data)), data)


class DirectServerTests(PairTestCase):
    """The transport alone, between a streaming producer and a socket."""

    def setUp(self) -> None:
        self.protocol = Recorder()
        self.pair = Pair(self.protocol)
        self.addCleanup(self.pair.close)
        self.transport = self.pair.transport
        self.transport.registerProducer(self.protocol, True)

    def fill(self) -> bytes:
        """Until the kernel has enough and something is queued: that is what was written."""
        written = b""
        while not self.pair.writing:
            written += (chunk := bytes([len(written) % 251]) * 5000)
            self.transport.write(chunk)
        return written

    def test_at_once(self) -> None:
        """What the kernel takes has left when ``write`` returns, and the reactor has nothing to do."""
        self.transport.write(b"a")
        self.transport.write(b"b")
        self.assert_comes(b"ab")
        self.assertFalse(self.pair.writing)
        self.assertEqual(self.protocol.said, [])

    def test_short_write(self) -> None:
        """The rest is queued, the producer is paused from the first byte on, and told when all is gone."""
        written = self.fill()
        self.assertEqual(self.protocol.said, ["pause"])
        self.assert_comes(written)
        self.assertEqual(self.protocol.said, ["pause", "resume"])
        self.transport.write(b"next")
        self.assert_comes(b"next")

    def test_full(self) -> None:
        """A kernel that takes nothing: all is queued."""
        sink = sink_of(self.transport)
        assert sink is not None
        written = b""
        try:
            while True:
                written += b"x" * sink.send(b"x" * 5000)
        except BlockingIOError:
            pass
        self.transport.write(b"y" * 10)
        self.assertTrue(self.pair.writing)
        self.assertEqual(self.protocol.said, ["pause"])
        self.assert_comes(written + b"y" * 10)

    def test_nothing_overtakes_what_is_queued(self) -> None:
        """Though the kernel has room again."""
        written = self.fill()
        got = self.pair.read()
        self.transport.write(b"y")
        self.transport.writeSequence([b"z", b"!"])
        self.assert_comes((written + b"yz!")[len(got) :])
        self.assertTrue(written.startswith(got))

    def test_a_sequence_pauses_too(self) -> None:
        """Twisted queues it; a producer that would send past it is told."""
        self.transport.writeSequence([b"a", b"b"])
        self.assertEqual(self.protocol.said, ["pause"])
        self.assert_comes(b"ab")
        self.assertEqual(self.protocol.said, ["pause", "resume"])

    def test_written_from_within_resume(self) -> None:
        """It goes at once, and may fill the kernel again."""
        written = self.fill()
        more = b"z" * 1_000_000
        self.protocol.more = lambda: self.transport.write(more)
        self.assert_comes(written + more)
        self.assertEqual(self.protocol.said, ["pause", "resume", "pause", "resume"])

    def test_more_than_one_send_takes(self) -> None:
        """Twisted sends 128 KiB at once."""
        data = bytes(range(256)) * 4000
        self.transport.write(data)
        self.assert_comes(data)

    def test_reset(self) -> None:
        """The write does not raise; the connection ends a turn later, as lost."""
        self.pair.reset()
        self.transport.write(b"a")
        self.transport.write(b"b")
        assert self.protocol.reason is None
        self.pair.turn()
        assert self.protocol.reason is not None
        self.assertTrue(self.protocol.reason.check(ConnectionLost))
        self.assertEqual(self.protocol.said, ["pause", "pause", "stop"])

    def test_no_memory(self) -> None:
        """A kernel without memory for it is a full one."""

        class Exhausted:
            def send(self, data: bytes) -> int:
                raise OSError(errno.ENOBUFS, "no buffer space")

            def fileno(self) -> int:
                return descriptor

        transport: Any = self.transport
        real = transport.socket
        descriptor: int = real.fileno()
        transport.socket = Exhausted()
        transport.write(b"abc")
        transport.socket = real
        self.assertEqual((self.protocol.said, self.protocol.reason), (["pause"], None))
        self.assert_comes(b"abc")

    def test_reset_is_no_goodbye(self) -> None:
        """The failed send took the error; who reads the end first knows it all the same. So with a send past the transport."""
        for past in (False, True):
            protocol = Recorder()
            pair = Pair(protocol)
            pair.reset()
            sink = sink_of(pair.transport)
            assert sink is not None
            if past:
                self.assertRaises(ConnectionResetError, sink.send, b"a")
            pair.transport.write(b"a")
            pair.hear()
            assert protocol.reason is not None
            self.assertTrue(protocol.reason.check(ConnectionLost), past)

    def test_a_goodbye_is_one(self) -> None:
        """A clean end stays one."""
        self.transport.write(b"a")
        self.assertEqual(self.pair.read(1), b"a")
        self.pair.client.close()
        self.pair.hear()
        assert self.protocol.reason is not None
        self.assertTrue(self.protocol.reason.check(ConnectionDone))

    def test_what_an_idle_one_holds(self) -> None:
        """There are very many: nothing but this, and after it was busy nothing in it."""
        idle = {"hostname", "producer", "protocol", "reactor", "socket", "streamingProducer"}
        self.assertEqual(set(vars(self.transport)), idle)
        self.assert_comes(self.fill())
        kept = {name for name, value in vars(self.transport).items() if value}
        self.assertEqual(kept, idle)

    def test_who_it_is(self) -> None:
        """Its peer's IP, whatever kind that is."""
        self.assertEqual(self.transport.getPeer(), IPv4Address("TCP", "127.0.0.1", 0))
        self.assertEqual(repr(self.transport), "<DirectServer of 127.0.0.1>")
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        client = ("::1", 40000, 0, 0)
        other: Any = DirectServer(listener, Recorder(), client, None, 0, self.pair.reactor)
        self.assertEqual(other.getPeer(), IPv6Address("TCP", "::1", 0))

    def test_after_the_loss(self) -> None:
        """Nothing happens, there is no sink and no descriptor; a second loss changes nothing."""
        self.assertEqual(self.transport.fileno(), self.transport.socket.fileno())
        self.pair.lose(ConnectionLost())
        self.assertEqual(self.transport.fileno(), -1)
        self.pair.lose(ConnectionLost())
        self.transport.write(b"a")
        self.assertFalse(self.pair.writing)
        self.assertIsNone(sink_of(self.transport))
        self.assert_comes(END)

    def test_lose_connection(self) -> None:
        """What is queued leaves first, when the producer has gone."""
        written = self.fill()
        self.transport.unregisterProducer()
        self.transport.loseConnection()
        self.assert_comes(written + END)
        assert self.protocol.reason is not None
        self.assertTrue(self.protocol.reason.check(ConnectionDone))

    def test_half_close(self) -> None:
        """What is written before the reactor has shut the socket leaves, queued or not; nothing does after, and that is no
        failure."""
        for full in (False, True):
            protocol = Recorder()
            pair = self.pair = Pair(protocol)
            self.addCleanup(pair.close)
            self.transport = pair.transport
            written = self.fill() if full else b""
            pair.transport.loseWriteConnection()
            pair.transport.write(b"last words")
            self.assert_comes(written + b"last words" + END)
            pair.transport.write(b"too late")
            self.assertFalse(pair.writing)
            pair.client.close()
            pair.hear()
            assert protocol.reason is not None
            self.assertTrue(protocol.reason.check(ConnectionDone))

    def test_abort(self) -> None:
        """Nothing leaves any more, and the client sees a reset."""
        for full in (False, True):
            protocol = Recorder()
            pair = self.pair = Pair(protocol)
            self.addCleanup(pair.close)
            self.transport = pair.transport
            written = self.fill() if full else b""
            pair.transport.abortConnection()
            pair.transport.write(b"too late")
            got = pair.read()
            self.assertTrue(written.startswith(got))
            pair.turn()
            pair.client.settimeout(WAIT_SECONDS)
            self.assertRaises(ConnectionResetError, pair.client.recv, 1)
            self.assertIsNotNone(protocol.reason)

    def test_interrupted_by_nobody(self) -> None:
        """Whatever the sizes, and whenever the client reads: every byte comes once, in order."""
        for seed in range(40):
            chance = random.Random(seed)
            pair = Pair(Recorder())
            pair.transport.registerProducer(Recorder(), True)
            written, got = bytearray(), bytearray()
            for _ in range(60):
                match chance.randrange(6):
                    case 0:
                        got += pair.read()
                    case 1:
                        pair.turn()
                    case _:
                        data = chance.randbytes(chance.choice((1, 100, 3000, 40_000)))
                        written += data
                        pair.transport.write(data)
            got += pair.drain(len(written) - len(got))
            self.assertEqual(got, written, seed)
            pair.close()


class OutboxTests(PairTestCase):
    """Outbox, connection, transport and socket together."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.metrics = Metrics()
        self.reservoir = Reservoir(clock=self.clock, metrics=self.metrics, limit_bytes=100_000)
        self.admission = _Outboxes(self.reservoir)
        factory = TcpFactory(accept=self.admission, clock=self.clock)
        connection: Any = factory.buildProtocol(None)
        self.pair = Pair(connection)
        self.addCleanup(self.pair.close)
        self.outbox = self.admission.outbox

    def offer(self, body: bytes, policy: SlowPolicy = SlowPolicy.DISCONNECT) -> Drop | None:
        return self.outbox.offer(Load(Wire(body), packets=1, policy=policy, room="r"))

    def fill(self) -> bytes:
        """Until the kernel has enough: what was offered, none of which is held."""
        written = b""
        while self.outbox.idle:
            written += (chunk := bytes([len(written) % 251]) * 5000)
            self.assertIsNone(self.offer(chunk))
        self.assertEqual(self.outbox.held_packets, 0)
        return written

    def test_no_reactor_for_a_push(self) -> None:
        """A push that the kernel takes has left, and no writer was ever registered."""
        self.assertIsNone(self.offer(b"push"))
        self.assertTrue(self.outbox.reply(b"reply"))
        self.assertIsNone(self.offer(b"push"))
        self.assert_comes(b"pushreplypush")
        self.assertEqual(self.pair.reactor.writers, set())

    def test_limit(self) -> None:
        """What the kernel did not take of one wire is all that is beside the outbox: the rest counts against its limit."""
        self.fill()
        held = 0
        while (drop := self.offer(bytes(1000))) is None:
            held += 1
        self.assertIs(drop, Drop.SLOW_CONSUMER)
        self.assertEqual(held, 100_000 // 1256)

    def test_drop_oldest_reaches_everything_but_the_rest(self) -> None:
        """Nothing that a policy may drop is hidden in the transport."""
        written = self.fill()
        for number in range(200):
            self.assertIsNone(self.offer(b"%04d" % number * 250, SlowPolicy.DROP_OLDEST))
        newest = b"".join(b"%04d" % number * 250 for number in range(200 - 100_000 // 1256, 200))
        self.assert_comes(written + newest)

    def test_order(self) -> None:
        """Replies and pushes come in the order of the calls, whatever the kernel does meanwhile."""
        for seed in range(40):
            chance = random.Random(seed)
            self.setUp()
            written, got = bytearray(), bytearray()
            for number in range(200):
                match chance.randrange(8):
                    case 0:
                        got += self.pair.read()
                    case 1:
                        self.pair.turn()
                    case choice:
                        data = b"%06d" % number * chance.choice((1, 20, 400))
                        self.assertTrue(self.outbox.reply(data) if choice == 2 else self.offer(data) is None)
                        written += data
            got += self.pair.drain(len(written) - len(got))
            self.assertEqual(got, written, seed)
            self.assertEqual((self.reservoir.size_bytes, self.outbox.idle), (0, True))

    def test_reset_under_a_push(self) -> None:
        """The push is no fault; the session hears of the loss by its name, once."""
        self.pair.reset()
        self.assertIsNone(self.offer(b"a"))
        self.assertIsNone(self.offer(b"b"))
        self.pair.turn()
        self.assertEqual(self.admission.sessions[0].losses, [CloseReason.PEER_LOST])

    def test_close(self) -> None:
        """What was held leaves before the end, and nothing after; a client that does not read is cut."""
        written = self.fill()
        self.offer(b"held")
        self.outbox.end(flush=True)
        self.admission.sessions[0].connection.close(CloseReason.SERVER_STOPPING)
        self.assertIs(self.offer(b"late"), Drop.CLOSING)
        self.assert_comes(written + b"held<end>")
        self.clock.advance(LINGER_SECONDS)
        self.pair.turn()
        self.assertEqual(self.admission.sessions[0].losses, [CloseReason.SERVER_STOPPING])


class _Outboxes(Admission):
    """Sessions that have an outbox."""

    def __init__(self, reservoir: Reservoir) -> None:
        super().__init__()
        self._reservoir = reservoir
        self.outbox: Outbox

    def __call__(self, connection: Any) -> RecordingSession | None:
        session = super().__call__(connection)
        assert session is not None
        outbox = self.outbox = Outbox(connection=connection, reservoir=self._reservoir)
        session.pause_writing = outbox.pause  # type: ignore[method-assign]  # instead of noting it
        session.resume_writing = outbox.resume  # type: ignore[method-assign]  # instead of noting it
        return session


class LateReaderTests(TestCase):
    """A comet on real sockets, and clients that stop reading for a while."""

    def test_over_each_transport(self) -> Deferred[None]:
        """Pushes that the kernel did not take at once come whole and in order, as those do that it took."""

        async def run() -> None:
            comet = ListeningComet(
                reactor=reactor, folder=Path(self.mktemp()), limits=Limits(outbox_bytes=16_000_000, renew_seconds=3600)
            )
            try:
                for transport in ("tcp", "tls", "ws", "wss"):
                    await self.read_late(comet, transport)
            finally:
                await comet.stop()

        return Deferred.fromCoroutine(run())

    async def read_late(self, comet: ListeningComet, transport: str) -> None:
        peer = await connect_raw(
            reactor=reactor, transport=transport, port=comet.port(transport), ca_file=comet.files.ca
        )
        await peer.send(encode(Packet(7, b'{"mid":1,"key":"k","accepts":[1000]}', 1)))
        await peer.read(18 if peer.framed else 16)  # op 8
        reading: Any = peer.transport
        held_before = comet.metrics.outbox_held.value()
        expected = []
        for number in range(140):
            if number == 10:
                reading.pauseProducing()
            if number == 130:
                reading.resumeProducing()
            wire = Wire(encode(Packet(1000, b"%04d" % number * 15_000)))
            expected.append(wire.bytes_for(peer.framed))
            (outcome,) = (await comet.push(Item(Kind.KEYS, wire.packets, operation=1000, keys=("k",)))).outcomes
            self.assertEqual(outcome.delivered, 1)
        data = b"".join(expected)
        self.assertEqual(await peer.read(len(data)), data, transport)
        self.assertGreater(comet.metrics.outbox_held.value(), held_before, transport)
        await peer.close()


class TwistedTests(PairTestCase):
    """What is relied on of the Twisted that is installed. When one of these fails, read its ``abstract.py`` and ``tcp.py``."""

    def setUp(self) -> None:
        self.pair = Pair(Recorder(), tcp.Server)
        self.addCleanup(self.pair.close)

    def state(self) -> tuple[Any, ...]:
        transport: Any = self.pair.transport
        return (
            [*transport._tempDataBuffer],
            transport.dataBuffer,
            bool(transport.TLS),
            bool(transport._writeDisconnected),
            bool(transport._aborting),
            bool(transport.connected),
        )

    def test_where_bytes_wait(self) -> None:
        """In a list until the first ``doWrite``, then in one string; both are empty when all is sent."""
        nothing: tuple[Any, ...] = ([], b"", False, False, False, True)
        self.assertEqual(self.state(), nothing)
        self.pair.transport.write(b"a" * 1_000_000)
        self.assertEqual(self.state(), ([b"a" * 1_000_000], *nothing[1:]))
        self.pair.turn()
        self.pair.transport.write(b"b")
        self.assertEqual(self.state(), ([b"b"], b"a" * 1_000_000, *nothing[2:]))
        self.assert_comes(b"a" * 1_000_000 + b"b")
        self.assertEqual(self.state(), nothing)

    def test_what_is_set_at_first(self) -> None:
        """:meth:`DirectServer.__init__` sets what is needed of it; the rest is on the class."""
        needed = {"hostname", "protocol", "reactor", "socket"}
        on_the_class = {"_tempDataBuffer", "_tempDataLen", "connected", "fileno", "logstr"}
        told = {"client", "server", "sessionno"}  # for descriptions; ``repstr`` too, when there is a port
        self.assertEqual(set(vars(self.pair.transport)), needed | on_the_class | told)

    def test_flags(self) -> None:
        """Of an abort, a half-close and a loss."""
        self.pair.transport.loseWriteConnection()
        self.pair.turn()
        self.assertEqual(self.state(), ([], b"", False, True, False, True))
        self.pair.transport.abortConnection()
        self.assertEqual(self.state(), ([], b"", False, True, True, True))
        self.pair.turn()
        self.assertEqual(self.state(), ([], b"", False, True, True, False))
        self.assertFalse(hasattr(self.pair.transport, "socket"))

    def test_what_is_overridden(self) -> None:
        """Is there, is asked, and is asked after something was queued only."""
        asked: list[int] = []

        class Asked(tcp.Server):
            def _isSendBufferFull(self) -> bool:
                asked.append(self._tempDataLen)
                return True

        protocol = Recorder()
        pair = Pair(protocol, Asked)
        self.addCleanup(pair.close)
        pair.transport.registerProducer(protocol, True)
        pair.transport.write(b"")
        pair.transport.writeSequence([])
        self.assertEqual(asked, [])
        pair.transport.write(b"a")
        pair.transport.writeSequence([b"b"])
        self.assertEqual((asked, protocol.said), ([1, 2], ["pause", "pause"]))
        self.assertIn("_isSendBufferFull", vars(abstract.FileDescriptor))
        self.assertIs(tcp.Port.transport, tcp.Server)


class PortTests(TestCase):
    """Which connections are direct."""

    async def test_send_directly(self) -> None:
        """Those of a TCP port that was told so, without delay and without addresses for its factory."""
        told: list[object] = []
        made: Deferred[Any] = Deferred()

        class Made(Protocol):
            def connectionMade(self) -> None:
                made.callback(self.transport)

        class Told(Factory):
            protocol = Made

            def buildProtocol(self, addr: Any) -> Any:
                told.append(addr)
                return super().buildProtocol(addr)

        port = reactor.listenTCP(0, Told(), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        send_directly(port)
        with socket.create_connection(("127.0.0.1", port.getHost().port)):
            transport = await made
            self.assertIs(type(transport), DirectServer)
            self.assertTrue(transport.getTcpNoDelay())
            self.assertEqual((told, transport.hostname), ([None], "127.0.0.1"))
            transport.abortConnection()

    def test_another_kind_of_port(self) -> None:
        """Stays as it is."""
        send_directly(cast(Any, object()))

    def test_sink(self) -> None:
        """Only a direct connection has one, and not under TLS."""
        pair = Pair(Recorder())
        self.addCleanup(pair.close)
        transport: Any = pair.transport
        self.assertIs(sink_of(transport), transport.socket)
        transport.TLS = True
        self.assertIsNone(sink_of(transport))
        transport.TLS = False
        self.assertIsNone(sink_of(None))
        self.assertIsNone(sink_of(MemoryStream()))


class SendNowTests(TestCase):
    """Of what this side has dialled."""

    timeout = 30

    async def dial(self) -> tuple[Any, socket.socket]:
        """(Twisted's transport, its peer's socket)."""
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)
        endpoint = TCP4ClientEndpoint(reactor, *listening.getsockname())
        protocol = cast(Protocol, await endpoint.connect(Factory.forProtocol(Protocol)))
        peer = listening.accept()[0]
        self.addCleanup(peer.close)
        transport = cast(Any, protocol.transport)
        self.addCleanup(transport.abortConnection)
        return transport, peer

    async def test_at_once(self) -> None:
        """It has left when the call returns, though the reactor had no turn."""
        transport, peer = await self.dial()
        send_now(transport, b"one")
        send_now(transport, b"two")
        self.assertEqual(peer.recv(100), b"onetwo")

    async def test_behind_what_waits(self) -> None:
        """What the socket does not take waits, and what comes later waits behind it: all of it arrives in order."""
        transport, peer = await self.dial()
        parts = [bytes([n]) * 300_000 for n in range(40)]
        for part in parts:
            send_now(transport, part)
        self.assertTrue(transport._tempDataBuffer)
        whole = b"".join(parts)

        def read() -> bytes:
            got = bytearray()
            while len(got) < len(whole):
                got += peer.recv(1 << 20)
            return bytes(got)

        self.assertEqual(await deferToThread(read), whole)

    async def test_a_broken_one(self) -> None:
        """The loss is the reactor's to find: the call says nothing."""
        transport, peer = await self.dial()
        lost: Deferred[None] = Deferred()
        transport.protocol.connectionLost = lambda reason: lost.callback(None)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        send_now(transport, b"x")
        send_now(transport, b"y")
        await lost

    def test_another_kind(self) -> None:
        """A TLS layer, or a test's transport, gets it by its own ``write``."""
        transport = StringTransport()
        send_now(cast(Any, transport), b"x")
        self.assertEqual(transport.value(), b"x")
