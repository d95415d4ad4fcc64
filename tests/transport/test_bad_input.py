"""Bad input, more than 10,000 times: each ends its own connection by a named reason, and nobody else notices.

The comet is a real one. Most cases run on streams in memory, a share of them on real sockets.
"""

import gc
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from imd.comet.limits import Limits
from imd.comet.server import Server
from imd.comet.session import Session
from imd.errors import CloseReason
from imd.metrics import Metrics
from imd.protocol.packet import HEADER_BYTES, MAX_BODY_BYTES, Packet, encode
from imd.protocol.wire import binary_frame
from imd.transport.tcp import TcpConnection, TcpFactory
from imd.transport.websocket import WebSocketConnection, WebSocketFactory
from imd.transport.websocket_upgrade import MAX_REQUEST_BYTES
from tests.support.listening_comet import ListeningComet, make_server
from tests.support.memory_stream import MemoryStream
from tests.support.mischief import Mischief, verdict
from tests.support.raw_peer import RawPeer, connect_raw
from tests.support.reactor import reactor
from tests.support.websocket_bytes import frame, upgrade
from tests.support.willing_logic import WillingLogic

CASES = 5_500  # for each of TCP and WebSocket
SOCKET_CASES = 60  # for each of the four transports

# Twisted keeps that many log events, each with the session that it is about, until a process has said where logs go.
UNTIL_LOGGING_BEGINS = 200
MAX_HELD = MAX_REQUEST_BYTES + HEADER_BYTES + MAX_BODY_BYTES

HEARTBEAT = encode(Packet(2, b"", 5))
FROM_PEER = {CloseReason.PEER_CLOSED.label, CloseReason.PEER_LOST.label}
# What a session may find in packets that the codec let through.
FROM_SESSION = {CloseReason.BAD_BODY.label, CloseReason.AUTH_REFUSED.label, CloseReason.REPLACED.label}
WHAT_THE_WIRE_SAYS = {
    CloseReason.BAD_PACKET_LENGTH.label,
    CloseReason.BAD_HEADER_LENGTH.label,
    CloseReason.PACKET_TOO_LARGE.label,
}
WHAT_WEBSOCKET_SAYS = WHAT_THE_WIRE_SAYS | {
    CloseReason.MESSAGE_LENGTH_MISMATCH.label,
    CloseReason.BAD_WEBSOCKET.label,
}

each_case = settings(
    max_examples=CASES, deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=True
)


class Town:
    """A comet on a clock, with a well-behaved neighbour on each transport."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.metrics = Metrics()
        limits = Limits(max_connections=50)
        self.server: Server = make_server(clock=self.clock, limits=limits, logic=WillingLogic(), metrics=self.metrics)
        self._tcp = TcpFactory(accept=self.server.accept, clock=self.clock)
        self._websocket = WebSocketFactory(accept=self.server.accept, clock=self.clock, origins=["https://a.example"])
        self.server.start()
        self.neighbours = [self._neighbour(framed) for framed in (False, True)]
        self.known = self.server.conn_count

    def connect(self, framed: bool) -> tuple[TcpConnection | WebSocketConnection, MemoryStream]:
        stream = MemoryStream()
        client: TcpConnection | WebSocketConnection
        if framed:
            client = self._websocket.buildProtocol(None)
        else:
            client = self._tcp.buildProtocol(None)
        client.makeConnection(stream)
        return client, stream

    def _neighbour(self, framed: bool) -> tuple[TcpConnection | WebSocketConnection, MemoryStream]:
        client, stream = self.connect(framed)
        if framed:
            client.dataReceived(upgrade())
        key = b"neighbour-ws" if framed else b"neighbour-tcp"
        auth = encode(Packet(7, b'{"key":"%s"}' % key, 1))
        client.dataReceived(frame(auth) if framed else auth)
        stream.take()
        return client, stream

    def neighbours_fine(self) -> bool:
        """Each gets the answer to its heartbeat, exactly, and nothing else."""
        reply = encode(Packet(3, b"\0\0\0\0", 5))
        for framed, (client, stream) in enumerate(self.neighbours):
            client.dataReceived(frame(HEARTBEAT) if framed else HEARTBEAT)
            if stream.take() != (binary_frame(reply) if framed else reply) or stream.half_closed:
                return False
        return True

    def ended(self) -> dict[str, float]:
        """Reason -> how often, so far."""
        return {labels[0]: count for labels, count in self.metrics.closed.values.items()}

    def misbehave(self, framed: bool, parts: list[bytes], held: Callable[[object], int], most: int) -> tuple[str, bool]:
        """One client sends ``parts`` and hangs up. Answers the reason that was counted, and whether comet ended it."""
        before = self.ended()
        client, stream = self.connect(framed)
        for part in parts:
            client.dataReceived(part)
            assert held(client) <= most, held(client)
        ended = stream.half_closed
        assert self.ended() == before or ended, "counted, but not ended"
        client.connectionLost(Failure(ConnectionDone()))
        new = {reason: count - before.get(reason, 0) for reason, count in self.ended().items()}
        counted = {reason: count for reason, count in new.items() if count}
        assert len(counted) == 1 and set(counted.values()) == {1}, counted
        assert self.server.conn_count == self.known
        # The clock goes on, so that rate limits, renewals and deadlines take part.
        self.clock.advance(0.05)
        return next(iter(counted)), ended


class TcpTests(SynchronousTestCase):
    """Streams of packets, good and bad, cut anywhere."""

    def test_streams(self) -> None:
        """The reason is what a second reading of the protocol says, unless a session found something before."""
        town = Town()
        seen: set[str] = set()

        @each_case
        @given(st.integers(0, 2**63))
        def run(seed: int) -> None:
            mischief = Mischief(Random(seed))
            stream = mischief.stream()
            reason, ended = town.misbehave(False, mischief.cut(stream), _held_by_tcp, HEADER_BYTES + MAX_BODY_BYTES)
            expected = verdict(stream)
            if ended:
                allowed = FROM_SESSION | ({expected.label} if expected else set())
            else:
                allowed = FROM_PEER
                assert expected is None, expected
            assert reason in allowed, (reason, expected)
            assert town.neighbours_fine()
            seen.add(reason)

        run()
        self.assertLessEqual(WHAT_THE_WIRE_SAYS, seen)
        self.assertEqual(self.flushLoggedErrors(), [])

    @settings(max_examples=500, deadline=None, database=None, derandomize=True)
    @given(st.lists(st.binary(max_size=40), max_size=4))
    def test_any_bytes(self, parts: list[bytes]) -> None:
        """Bytes that no generator thought of."""
        town = self.town = getattr(self, "town", None) or Town()
        town.misbehave(False, parts, _held_by_tcp, HEADER_BYTES + MAX_BODY_BYTES)
        assert town.neighbours_fine()


class WebSocketTests(SynchronousTestCase):
    """Requests and frames, good and bad, cut anywhere."""

    def test_requests_and_frames(self) -> None:
        """Whatever it is, it ends by a name, before the upgrade with an HTTP answer."""
        town = Town()
        seen: set[str] = set()

        @each_case
        @given(st.integers(0, 2**63))
        def run(seed: int) -> None:
            mischief = Mischief(Random(seed))
            parts = mischief.cut(mischief.request() + mischief.frames())
            reason, ended = town.misbehave(True, parts, _held_by_websocket, MAX_HELD)
            allowed = FROM_SESSION | WHAT_WEBSOCKET_SAYS | {CloseReason.PEER_CLOSED.label}
            assert reason in (allowed if ended else FROM_PEER), reason
            assert town.neighbours_fine()
            seen.add(reason)

        run()
        self.assertLessEqual(WHAT_WEBSOCKET_SAYS, seen)
        self.assertEqual(self.flushLoggedErrors(), [])

    @settings(max_examples=500, deadline=None, database=None, derandomize=True)
    @given(st.booleans(), st.lists(st.binary(max_size=40), max_size=4))
    def test_any_bytes(self, upgraded: bool, parts: list[bytes]) -> None:
        """Bytes that no generator thought of."""
        town = self.town = getattr(self, "town", None) or Town()
        town.misbehave(True, [upgrade(), *parts] if upgraded else parts, _held_by_websocket, MAX_HELD)
        assert town.neighbours_fine()


class MemoryTests(SynchronousTestCase):
    """What stays behind."""

    def test_memory_stays_flat(self) -> None:
        """A thousand clients later nothing is held that was not before: no bytes, no sessions."""
        town = Town()

        def crowd(seeds: range) -> int:
            for seed in seeds:
                mischief = Mischief(Random(seed))
                town.misbehave(False, mischief.cut(mischief.stream()), _held_by_tcp, MAX_HELD)
                parts = mischief.cut(mischief.request() + mischief.frames())
                town.misbehave(True, parts, _held_by_websocket, MAX_HELD)
                town.neighbours_fine()
            town.clock.advance(60)  # lingering rooms and connections are over
            gc.collect()
            return tracemalloc.get_traced_memory()[0]

        crowd(range(300))
        tracemalloc.start()
        try:
            before = crowd(range(300, 500))
            grown = crowd(range(500, 1000)) - before
        finally:
            tracemalloc.stop()
        self.assertLess(grown, 64 * 1024)
        for kind in (Session, TcpConnection, WebSocketConnection):
            alive = sum(isinstance(each, kind) for each in gc.get_objects())
            self.assertLess(alive, UNTIL_LOGGING_BEGINS + 50, kind)


class SocketTests(TestCase):
    """The same mischief on real sockets."""

    def test_real_sockets(self) -> Deferred[None]:
        """On all four transports at once, with a neighbour on each, whose answers never fail to come."""

        async def run() -> None:
            comet = ListeningComet(reactor=reactor, folder=Path(self.mktemp()), limits=Limits())
            neighbours: list[RawPeer] = []
            try:
                neighbours += [await self.neighbour(comet, transport) for transport in comet.ports]
                for seed in range(SOCKET_CASES):
                    work = [Deferred.fromCoroutine(self.misbehave(comet, name, seed)) for name in comet.ports]
                    await gatherResults(work, consumeErrors=True)
                    for neighbour, transport in zip(neighbours, comet.ports, strict=True):
                        await self.check(neighbour, transport)
                self.assertNotIn(("internal_error",), comet.metrics.closed.values)
            finally:
                for neighbour in neighbours:
                    await neighbour.close()
                await comet.stop()
            self.assertNotIn(("handshake_timeout",), comet.metrics.closed.values)
            total = sum(comet.metrics.closed.values.values())
            self.assertEqual(total, SOCKET_CASES * len(comet.ports) + len(neighbours))

        return Deferred.fromCoroutine(run())

    async def neighbour(self, comet: ListeningComet, transport: str) -> RawPeer:
        peer = await self.connect(comet, transport, upgraded=True)
        await peer.send(encode(Packet(7, b'{"key":"%s"}' % transport.encode(), 1)))
        reply = encode(Packet(8, b"", 1))
        expected = binary_frame(reply) if transport in ("ws", "wss") else reply
        self.assertEqual(await peer.read(len(expected)), expected)
        return peer

    async def check(self, peer: RawPeer, transport: str) -> None:
        await peer.send(HEARTBEAT)
        reply = encode(Packet(3, b"\0\0\0\0", 5))
        expected = binary_frame(reply) if transport in ("ws", "wss") else reply
        self.assertEqual(await peer.read(len(expected)), expected)

    async def connect(self, comet: ListeningComet, transport: str, *, upgraded: bool) -> RawPeer:
        return await connect_raw(
            reactor=reactor,
            transport=transport,
            port=comet.port(transport),
            ca_file=comet.files.ca,
            upgraded=upgraded,
        )

    async def misbehave(self, comet: ListeningComet, transport: str, seed: int) -> None:
        framed = transport in ("ws", "wss")
        mischief = Mischief(Random(f"{transport} {seed}"))
        data = mischief.request() + mischief.frames() if framed else mischief.stream()
        peer = await self.connect(comet, transport, upgraded=False)
        for part in mischief.cut(data):
            if not peer.gone.called:
                peer.write(part)
                await comet.turn()
        await peer.close()


def _held_by_tcp(client: object) -> int:
    assert isinstance(client, TcpConnection)
    return client._decoder.buffered_bytes if client._decoder else 0


def _held_by_websocket(client: object) -> int:
    assert isinstance(client, WebSocketConnection)
    return len(client._request) + (client._decoder.buffered_bytes if client._decoder else 0)
