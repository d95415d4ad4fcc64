"""What reaches an RPC endpoint that is not one of ours."""

import os
import socket
from random import Random
from typing import Any

import msgspec
import zmq
from twisted.internet.defer import Deferred

from imd.errors import BadRequest
from imd.protocol import rpc
from imd.protocol.rpc import Method
from imd.transport.rpc_server import RpcServer
from imd.transport.zmq_options import ZmqOptions
from tests.support.rpc import RpcTestCase, done, pause, until

BUDGET = (1000).to_bytes(4, "big")
HOST = rpc.Host("s1", 1, "live://1")
GREETING = b"\xff\0\0\0\0\0\0\0\1\x7f\3\0NULL" + bytes(16) + b"\0" + bytes(31)  # ZMTP 3.0, RFC 23
READY = b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x06DEALER"
SMALL = ZmqOptions(max_message_bytes=100_000, heartbeat_ms=100, heartbeat_timeout_ms=200, linger_ms=0)


class HostilePeerTests(RpcTestCase):
    """A server that must go on for its good peers."""

    async def serves(self, server: RpcServer) -> None:
        """It answers a new good peer."""
        link = await self.link(server.endpoint)
        self.assertEqual(await link.call(Method.HOST, HOST), rpc.Done())

    def bytes_to(self, server: RpcServer, data: bytes) -> socket.socket:
        """A connection that knows nothing of ZeroMQ, after it sent ``data``."""
        host, _, port = server.endpoint.removeprefix("tcp://").rpartition(":")
        stream = socket.create_connection((host, int(port)), timeout=5)
        self.addCleanup(stream.close)
        stream.sendall(data)
        stream.setblocking(False)
        return stream

    async def ended(self, stream: socket.socket) -> None:
        """The server has let it go."""

        def over() -> bool:
            try:
                return not stream.recv(65536)
            except BlockingIOError:
                return False
            except ConnectionError:
                return True

        await until(over)

    def test_bytes_of_other_protocols(self) -> Deferred[None]:
        """Silence, TLS and broken greetings are let go within the handshake's time; good peers are served all along.

        (HTTP and chance may pass for ZMTP 1.0, which libzmq waits for: a socket, and nothing else.)
        """

        async def story() -> None:
            server = self.serve({Method.HOST: done})
            strangers = [
                self.bytes_to(server, data)
                for data in (
                    b"",
                    b"\xff",
                    b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(600),
                    GREETING,
                    GREETING.replace(b"NULL", b"EVIL"),
                    GREETING + b"\x04\x05\x04JUNK",
                    GREETING[:20],
                )
            ]
            for data in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", *(Random(seed).randbytes(5000) for seed in range(30))):
                self.bytes_to(server, data)
            await self.serves(server)
            for stream in strangers:
                await self.ended(stream)
            await self.serves(server)
            self.assertEqual(self.flushLoggedErrors(), [])

        return Deferred.fromCoroutine(story())

    def test_frames_against_zmtp(self) -> Deferred[None]:
        """After a good handshake: a frame of 2**62 bytes, one over the limit, a command that is none. Nothing is waited for."""

        async def story() -> None:
            server = self.serve({Method.HOST: done}, options=SMALL)
            for frame in (
                b"\x02" + (1 << 62).to_bytes(8, "big") + b"x",
                b"\x02" + (100_001).to_bytes(8, "big") + b"x",
                b"\x06" + (1 << 63).to_bytes(8, "big"),
                b"\x04\x05\xffJUNK",
                b"\xf8\x01x",
            ):
                await self.ended(self.bytes_to(server, GREETING + READY + frame))
            await self.serves(server)

        return Deferred.fromCoroutine(story())

    def test_values_of_wrong_types(self) -> Deferred[None]:
        """Whatever MessagePack a method is asked with, the answer is bad_request, by its id; nothing is logged as a bug."""

        async def story() -> None:
            server = self.serve(dict.fromkeys(Method, _refuse))
            peer = self.raw(server.endpoint)
            random = Random(2)
            asked = 0
            for method in Method:
                for body in [msgspec.msgpack.encode(value) for value in _VALUES] + [
                    random.randbytes(20) for _ in range(20)
                ]:
                    asked += 1
                    peer.send_multipart([asked.to_bytes(8, "big"), method.value, BUDGET, body])
                    await until(lambda: bool(peer.poll(0)))
                    reply = peer.recv_multipart()
                    self.assertEqual(reply[:2], [asked.to_bytes(8, "big"), BadRequest.code.to_bytes(2, "big")], body)
            self.assertEqual(self.flushLoggedErrors(), [])

        return Deferred.fromCoroutine(story())

    def test_messages_of_strange_shape(self) -> Deferred[None]:
        """Thousands of parts, empty ones, ids of every size: counted, and the next request is served."""

        async def story() -> None:
            server = self.serve({Method.HOST: done})
            peer = self.raw(server.endpoint)
            for parts in ([b""] * 5000, [b"x" * size for size in range(30)], [bytes(8)] * 50, [os.urandom(8), b"host"]):
                peer.send_multipart(parts)
            await self.serves(server)

        return Deferred.fromCoroutine(story())

    def test_stolen_name(self) -> Deferred[None]:
        """A peer that takes another's ZeroMQ name may cost that one a call, never the server."""

        async def story() -> None:
            server = self.serve({Method.HOST: done})
            peers: list[zmq.Socket[Any]] = []
            for _ in range(3):
                peer: zmq.Socket[Any] = self.context.socket(zmq.DEALER)
                self.addCleanup(peer.close, 0)
                peer.setsockopt(zmq.IDENTITY, b"the-same")
                peer.connect(server.endpoint)
                peer.send_multipart([bytes(8), b"host", BUDGET, rpc.dump(HOST)])
                peers.append(peer)
                await pause(0.05)
            await self.serves(server)

        return Deferred.fromCoroutine(story())

    def test_peer_that_never_reads(self) -> Deferred[None]:
        """Answers to it are bounded by the high-water mark; beyond, they are dropped and counted, and others get theirs."""

        async def story() -> None:
            options = ZmqOptions(high_water_mark=10, heartbeat_ms=10_000, heartbeat_timeout_ms=10_000, linger_ms=0)
            server = self.serve({Method.RENEW: _large}, options=options)
            greedy: zmq.Socket[Any] = self.context.socket(zmq.DEALER)
            greedy.setsockopt(zmq.RCVHWM, 1)
            greedy.setsockopt(zmq.SNDHWM, 100_000)
            self.addCleanup(greedy.close, 0)
            greedy.connect(server.endpoint)
            renew = rpc.dump(rpc.Renew(server="s", boot=1))
            for number in range(400):
                greedy.send_multipart([number.to_bytes(8, "big"), b"renew", BUDGET, renew])
            await until(lambda: self.metrics.rpc_served.value("renew", "unreachable") > 0, 10)
            link = await self.link(server.endpoint)
            self.assertEqual(await link.call(Method.RENEW, rpc.Renew(server="s", boot=1)), await _large(HOST))

        return Deferred.fromCoroutine(story())


_VALUES: list[Any] = [
    *(None, True, 0, -1, 1.5, "", "x", b"", b"\xff", [], {}, [[]], [None] * 9, {"server": 1}, {1: 2}),
    *(["s", "1", "r"], ["s", 1.0, "r"], [1, 2, 3], ["s", 2**63, 5], ["s", -1, None], ["s", 1, ["r"]], [["s", 1, "r"]]),
]


async def _refuse(_request: rpc.Value) -> rpc.Done:
    raise BadRequest("the values were of the right types")


async def _large(_request: rpc.Value) -> rpc.Renewed:
    return rpc.Renewed(rooms=tuple((f"live://{number:0200d}", 1) for number in range(1000)))
