"""Promises of the answering end of RPC."""

import zmq
from twisted.internet.defer import Deferred

from imd.errors import BadRequest, ConfigError, Overloaded, PeerDown, PeerUnavailable
from imd.protocol import rpc
from imd.protocol.rpc import Method
from tests.support.rpc import QUICK, RpcTestCase, done, pause, until

BUDGET = (1000).to_bytes(4, "big")
ID = (1).to_bytes(8, "big")
HOST = rpc.Host("s1", 1, "live://1")
BODY = rpc.dump(HOST)


class RefusalTests(RpcTestCase):
    """Requests that are not answered with a reply of their own."""

    async def ask(self, socket: zmq.Socket[bytes], parts: list[bytes]) -> list[bytes]:
        """What comes back."""
        socket.send_multipart(parts)
        await until(lambda: bool(socket.poll(0)))
        return socket.recv_multipart()

    async def test_what_cannot_be_understood_is_answered_by_its_id(self) -> None:
        """Unknown methods, missing parts and garbage bodies get bad_request; the next request is served."""
        server = self.serve({Method.HOST: done})
        socket = self.raw(server.endpoint)
        bad = BadRequest.code.to_bytes(2, "big")
        for parts in (
            [ID],
            [ID, b"host"],
            [ID, b"nonsense", BUDGET, BODY],
            [ID, b"push", BUDGET, BODY],  # a method that this server does not have
            [ID, b"host", BUDGET],
            [ID, b"host", b"", BODY],
            [ID, b"host", BUDGET, BODY, b"more"],
            [ID, b"host", BUDGET, b""],
            [ID, b"host", BUDGET, b"\xff\x00garbage"],
            [ID, b"host", BUDGET, rpc.dump(rpc.Renewed())],
            [ID, b"host", BUDGET, b"\x94\xa2\xff\xfe\x01\xa1x\xc3"],  # text that is no UTF-8
        ):
            reply = await self.ask(socket, parts)
            self.assertEqual(reply[:2], [ID, bad], parts)
        self.assertEqual(await self.ask(socket, [ID, b"host", BUDGET, BODY]), [ID, b"\0\0", rpc.dump(rpc.Done())])

    async def test_what_has_no_id_is_counted(self) -> None:
        """There is nobody to answer; the server goes on."""
        server = self.serve({Method.HOST: done})
        socket = self.raw(server.endpoint)
        for parts in ([b""], [b"short", b"host", BUDGET, BODY], [b"", ID, b"host", BUDGET, BODY]):
            socket.send_multipart(parts)
        await until(lambda: self.metrics.rpc_served.value("unknown", "malformed") == 3)
        self.assertEqual((await self.ask(socket, [ID, b"host", BUDGET, BODY]))[1], b"\0\0")

    async def test_a_spent_budget_never_starts(self) -> None:
        """Nobody waits for it: counted, not run, not answered."""
        ran: list[rpc.Value] = []

        async def host(request: rpc.Value) -> rpc.Done:
            ran.append(request)
            return rpc.Done()

        server = self.serve({Method.HOST: host})
        self.raw(server.endpoint).send_multipart([ID, b"host", bytes(4), BODY])
        await until(lambda: self.metrics.rpc_served.value("host", "expired") == 1)
        self.assertEqual(ran, [])

    async def test_requests_beyond_the_bound_are_refused_at_once(self) -> None:
        """overloaded comes while the others still run."""
        gate: Deferred[None] = Deferred()

        async def host(_request: rpc.Value) -> rpc.Done:
            await gate
            return rpc.Done()

        server = self.serve({Method.HOST: host}, max_in_progress=1)
        link = await self.link(server.endpoint)
        first = Deferred.fromCoroutine(link.call(Method.HOST, HOST))
        await self.assertFailure(Deferred.fromCoroutine(link.call(Method.HOST, HOST)), Overloaded)
        gate.callback(None)
        await first
        await link.call(Method.HOST, HOST)

    async def test_a_message_over_the_limit_ends_its_connection(self) -> None:
        """libzmq hangs up at the announced size; the others notice nothing."""
        options = QUICK.__class__(max_message_bytes=1000, linger_ms=0)
        server = self.serve({Method.HOST: done}, options=options)
        other = await self.link(server.endpoint)
        large = self.raw(server.endpoint)
        large.send_multipart([ID, b"host", BUDGET, bytes(5000)])
        await pause(0.1)
        self.assertFalse(large.poll(0))
        await other.call(Method.HOST, HOST)
        self.assertEqual(sum(self.metrics.rpc_served.values.values()), 1)

    async def test_a_reply_to_nobody_is_counted(self) -> None:
        """A peer that left while its request ran is noticed, not ignored."""
        gate: Deferred[None] = Deferred()

        async def host(_request: rpc.Value) -> rpc.Done:
            await gate
            return rpc.Done()

        server = self.serve({Method.HOST: host})
        socket = self.raw(server.endpoint)
        socket.send_multipart([ID, b"host", BUDGET, BODY])
        await pause(0.05)
        socket.close(0)
        await pause(0.1)
        gate.callback(None)
        await until(lambda: self.metrics.rpc_served.value("host", "unreachable") == 1)


class LifeTests(RpcTestCase):
    """Beginning and end."""

    def test_an_endpoint_in_use_is_one_clear_line(self) -> None:
        """Says which endpoint, and why."""
        server = self.serve({})
        error = self.assertRaises(ConfigError, self.serve, {}, server.endpoint)
        self.assertIn(server.endpoint, str(error))
        self.assertIn("in use", str(error))

    def test_port_zero_becomes_a_real_one(self) -> None:
        """The registry can be told where to dial."""
        self.assertRegex(self.serve({}, "tcp://127.0.0.1:0").endpoint, r"^tcp://127\.0\.0\.1:[1-9]\d+$")

    async def test_closing_lets_what_runs_end(self) -> None:
        """New requests are refused, the running one is answered, then the endpoint is gone."""
        begun: list[rpc.Value] = []
        gate: Deferred[None] = Deferred()

        async def host(request: rpc.Value) -> rpc.Done:
            begun.append(request)
            await gate
            return rpc.Done()

        server = self.serve({Method.HOST: host})
        link = await self.link(server.endpoint)
        call = Deferred.fromCoroutine(link.call(Method.HOST, HOST))
        await until(lambda: bool(begun))
        closed = Deferred.fromCoroutine(server.close(5.0))
        await self.assertFailure(Deferred.fromCoroutine(link.call(Method.HOST, HOST)), PeerDown)
        gate.callback(None)
        self.assertEqual(await call, rpc.Done())
        await closed

    async def test_closing_waits_no_longer_than_its_grace(self) -> None:
        """A handler that does not end is cancelled, and its caller told at once, over every transport."""
        story: list[str] = []

        async def host(_request: rpc.Value) -> rpc.Done:
            story.append("begun")
            try:
                await Deferred()
            finally:
                story.append("cancelled")
            return rpc.Done()

        for count, endpoint in enumerate(("tcp://127.0.0.1:0", "inproc://stopping"), 1):
            server = self.serve({Method.HOST: host}, endpoint)
            link = await self.link(server.endpoint, deadline_seconds=60.0)
            call = Deferred.fromCoroutine(link.call(Method.HOST, HOST))
            await until(lambda: story[-1:] == ["begun"])
            await server.close(0.05)
            self.assertEqual(story, ["begun", "cancelled"] * count)
            await self.assertFailure(call, PeerUnavailable)
            self.assertEqual(self.metrics.rpc_served.value("host", "peer_unavailable"), count)
