"""Promises of the asking end of RPC."""

import signal
import sys
from collections.abc import Awaitable
from tempfile import TemporaryDirectory

import zmq
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from imd.errors import AuthRefused, ConfigError, DeadlineExceeded, ImdError, Overloaded, PeerDown, PeerUnavailable
from imd.protocol import rpc
from imd.protocol.rpc import Method
from imd.transport.rpc_client import RpcCometClient, RpcLogicClient
from imd.transport.rpc_link import _MOVES, Link, LinkState, _Event
from imd.transport.zmq_curve import CurveDialer, CurveKeys
from tests.support.rpc import QUICK, RpcTestCase, done, pause, reactor, until

HOST = rpc.Host("s1", 1, "live://1")
PEER = """
import sys, zmq
socket = zmq.Context().socket(zmq.ROUTER)
socket.bind("tcp://127.0.0.1:0")
print(socket.get_string(zmq.LAST_ENDPOINT).rstrip(chr(0)), flush=True)
while True:
    peer, request_id, *rest = socket.recv_multipart()
    if rest[0] != b"host":
        socket.send_multipart([peer, request_id, bytes(2), b"\\x90"])
"""


def start(awaitable: Awaitable[rpc.Value]) -> Deferred[rpc.Value]:
    """A call under way."""

    async def run() -> rpc.Value:
        return await awaitable

    return Deferred.fromCoroutine(run())


class Peer(ProcessProtocol):
    """A peer in a process of its own, which can be stopped. It never answers ``host``."""

    def __init__(self) -> None:
        self.endpoint: Deferred[str] = Deferred()
        self.words = b""
        self.ended: Deferred[None] = Deferred()

    def outReceived(self, data: bytes) -> None:
        self.words += data
        if self.words.endswith(b"\n"):
            self.endpoint.callback(self.words.decode().strip())

    def processEnded(self, reason: Failure) -> None:
        self.ended.callback(None)


class MoveTests(RpcTestCase):
    """What a link makes of events."""

    def test_every_pair_is_in_the_table(self) -> None:
        """Every event has a meaning in every state of an open link."""
        states = set(LinkState) - {LinkState.CLOSED}
        self.assertEqual(set(_MOVES), {(state, event) for state in states for event in _Event})


class CallTests(RpcTestCase):
    """Calls to a peer that is there."""

    async def test_replies_come_over_every_transport(self) -> None:
        """inproc, ipc and tcp carry the same typed calls."""
        with TemporaryDirectory() as folder:  # trial's own names are too long for a unix socket
            await self._connect_over("inproc://logic", f"ipc://{folder}/logic", "tcp://127.0.0.1:*")

    async def _connect_over(self, *endpoints: str) -> None:
        async def connect(request: rpc.Connect) -> rpc.Connected:
            return rpc.Connected(request.key, 7, request.room, request.accepts)

        for endpoint in endpoints:
            server = self.serve({Method.CONNECT: connect}, endpoint)
            client = RpcLogicClient(await self.link(server.endpoint))
            reply = await client.connect(rpc.Connect("s1", 1, "k", room="live://1", accepts=(1000,)))
            self.assertEqual(reply, rpc.Connected("k", 7, "live://1", (1000,)))

    async def test_calls_start_in_order_and_end_as_they_like(self) -> None:
        """Pipelined: requests start as sent, a slow one holds no other up."""
        seen: list[str] = []
        slow: Deferred[None] = Deferred()

        async def push(request: rpc.Batch) -> rpc.Outcomes:
            seen.append(request.server)
            if request.server == "0":
                await slow
            return rpc.Outcomes((rpc.Outcome(delivered=int(request.server)),))

        server = self.serve({Method.PUSH: push})
        client = RpcCometClient(await self.link(server.endpoint))
        calls = [start(client.push(rpc.Batch(str(number), 1, ()))) for number in range(50)]
        await gatherResults(calls[1:])
        self.assertFalse(calls[0].called)
        slow.callback(None)
        replies = await gatherResults(calls)
        self.assertEqual(seen, [str(number) for number in range(50)])
        self.assertEqual([reply.outcomes[0].delivered for reply in replies], list(range(50)))  # type: ignore[attr-defined]  # Outcomes

    async def test_errors_cross_by_their_code(self) -> None:
        """What a handler raises of ours is raised here, with its words."""

        async def refuse(_request: rpc.Value) -> rpc.Value:
            raise AuthRefused("the token has expired")

        server = self.serve({Method.CONNECT: refuse})
        link = await self.link(server.endpoint)
        error = await self.assertFailure(start(link.call(Method.CONNECT, rpc.Connect("s", 1, "k"))), AuthRefused)
        self.assertEqual(str(error), "the token has expired")
        self.assertEqual(self.metrics.rpc_served.value("connect", "unauthorized"), 1)

    async def test_details_of_a_bug_stay_home(self) -> None:
        """An unforeseen error travels as code 1 without its words, and is logged where it happened."""

        async def buggy(_request: rpc.Value) -> rpc.Value:
            raise KeyError("secret")

        server = self.serve({Method.HOST: buggy})
        link = await self.link(server.endpoint)
        error = await self.assertFailure(start(link.call(Method.HOST, HOST)), ImdError)
        self.assertEqual((type(error), str(error)), (ImdError, "internal error"))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    async def test_a_reply_that_is_no_reply(self) -> None:
        """A body of the wrong shape is an error of the peer's, not a value."""

        async def wrong(_request: rpc.Value) -> rpc.Value:
            return rpc.Done()

        server = self.serve({Method.CONNECT: wrong})
        link = await self.link(server.endpoint)
        await self.assertFailure(start(link.call(Method.CONNECT, rpc.Connect("s", 1, "k"))), ImdError)


class DeadlineTests(RpcTestCase):
    """Peers that are there and do not answer."""

    async def test_a_late_reply_is_counted_by_method(self) -> None:
        """The caller has its error in time; the reply that comes afterwards is counted and dropped."""
        slow: Deferred[None] = Deferred()

        async def host(_request: rpc.Value) -> rpc.Done:
            await slow
            return rpc.Done()

        server = self.serve({Method.HOST: host})
        link = await self.link(server.endpoint, deadline_seconds=0.05)
        await self.assertFailure(start(link.call(Method.HOST, HOST)), DeadlineExceeded)
        self.assertEqual(link.pending, 0)
        slow.callback(None)
        await until(lambda: self.metrics.rpc_late.value("host") == 1)

    async def test_a_silent_peer_is_left_alone_but_for_a_probe(self) -> None:
        """After a deadline of silence calls fail at once; any reply ends that."""
        slow: Deferred[None] = Deferred()

        async def host(_request: rpc.Value) -> rpc.Done:
            await slow
            return rpc.Done()

        server = self.serve({Method.HOST: host, Method.DISCONNECT: done})
        link = await self.link(server.endpoint, deadline_seconds=0.5)
        await self.assertFailure(start(link.call(Method.HOST, HOST)), DeadlineExceeded)
        self.assertIs(link.state, LinkState.STALLED)
        await self.assertFailure(start(link.call(Method.HOST, HOST)), PeerDown)
        slow.callback(None)
        await until(lambda: link.state is LinkState.UP)
        await link.call(Method.DISCONNECT, rpc.Disconnect("s", 1, "k"))

    async def test_a_slow_call_among_answers_stalls_nothing(self) -> None:
        """One deadline that passes while other replies come says nothing about the peer."""

        async def host(_request: rpc.Value) -> rpc.Done:
            await Deferred()
            return rpc.Done()

        server = self.serve({Method.HOST: host, Method.DISCONNECT: done})
        link = await self.link(server.endpoint, deadline_seconds=0.5)
        slow = start(link.call(Method.HOST, HOST))
        await link.call(Method.DISCONNECT, rpc.Disconnect("s", 1, "k"))
        await self.assertFailure(slow, DeadlineExceeded)
        self.assertIs(link.state, LinkState.UP)

    def test_a_caller_that_calls_again_at_once(self) -> None:
        """However often a caller answers its deadline with another call, the link has one timer, and none once closed."""
        clock = MemoryReactorClock()
        silent: zmq.Socket[bytes] = self.context.socket(zmq.ROUTER)
        self.addCleanup(silent.close, 0)
        silent.bind("inproc://silent")
        link = Link(
            context=self.context,
            reactor=clock,
            endpoint="inproc://silent",
            metrics=self.metrics,
            deadline_seconds=5.0,
            options=QUICK,
        )
        link.open()
        ends: list[type[BaseException] | None] = []

        def again(failure: Failure) -> None:
            ends.append(failure.type)
            if failure.check(DeadlineExceeded):
                start(link.call(Method.HOST, HOST)).addErrback(again)

        for _ in range(2):
            start(link.call(Method.HOST, HOST)).addErrback(again)
            clock.advance(0.1)
        link._heard_at = 100.0  # it is not silent, only slow with these
        for _ in range(50):
            clock.advance(0.5)
        self.assertEqual(link.pending, 2)
        self.assertEqual(len(clock.getDelayedCalls()), 1)
        link.close()
        self.assertEqual(clock.getDelayedCalls(), [])
        self.assertEqual(set(ends[:-2]), {DeadlineExceeded})
        self.assertEqual(ends[-2:], [PeerUnavailable] * 2)


class PeerTests(RpcTestCase):
    """Peers that are not there, leave, and come back."""

    async def test_nothing_waits_for_a_peer_that_is_not_there(self) -> None:
        """A call before the connection fails at once and never reaches the peer."""
        link = self.dial("tcp://127.0.0.1:1")
        await self.assertFailure(start(link.call(Method.HOST, HOST)), PeerDown)
        self.assertEqual(link.pending, 0)

    def test_what_cannot_be_dialled(self) -> None:
        """An endpoint or a server key that is none is said when it is opened, and nothing stays behind."""
        curve = CurveDialer(CurveKeys(*zmq.curve_keypair()))
        for endpoint, more in (
            ("nonsense", {}),
            ("tcp://*:1", {}),
            ("tcp://127.0.0.1:1", {"curve": curve, "server_key": b"~" * 40}),
        ):
            with self.assertRaises(ConfigError):
                self.dial(endpoint, **more)
        self.context.term()  # returns once every socket is closed

    async def test_nobody_behind_an_inproc_name(self) -> None:
        """An inproc peer that never was, or went, is not waited for."""
        server = self.serve({Method.HOST: done}, "inproc://comet")
        link = self.dial(server.endpoint)
        await link.call(Method.HOST, HOST)
        await server.close(0)
        await pause(0.05)
        await self.assertFailure(start(link.call(Method.HOST, HOST)), PeerDown)

    async def test_pending_calls_fail_when_the_peer_vanishes(self) -> None:
        """All at once, without waiting for their deadlines; then calls fail fast; then it is back."""
        silent: zmq.Socket[bytes] = self.context.socket(zmq.ROUTER)
        silent.bind("tcp://127.0.0.1:0")
        endpoint = silent.getsockopt_string(zmq.LAST_ENDPOINT).rstrip("\0")
        changes: list[LinkState] = []
        link = await self.link(endpoint, deadline_seconds=60.0)
        link.changed = lambda: changes.append(link.state)
        calls = [start(link.call(Method.HOST, HOST)) for _ in range(20)]
        silent.close(0)
        for call in calls:
            await self.assertFailure(call, PeerUnavailable)
        await self.assertFailure(start(link.call(Method.HOST, HOST)), PeerDown)
        self.serve({Method.HOST: done}, endpoint)
        await until(lambda: link.up)
        await link.call(Method.HOST, HOST)
        self.assertEqual(changes, [LinkState.DOWN, LinkState.UP])

    async def test_a_stopped_process_is_noticed_by_its_heartbeats(self) -> None:
        """SIGSTOP leaves the connection open; the silence of ZeroMQ itself ends it, and SIGCONT brings it back."""
        peer = Peer()
        process = reactor.spawnProcess(peer, sys.executable, [sys.executable, "-c", PEER], env=None)
        try:
            link = await self.link(await peer.endpoint, deadline_seconds=60.0)
            await link.call(Method.DISCONNECT, rpc.Disconnect("s", 1, "k"))
            call = start(link.call(Method.HOST, HOST))
            process.signalProcess(signal.SIGSTOP)
            stopped = reactor.seconds()
            await self.assertFailure(call, PeerUnavailable)
            self.assertLess(reactor.seconds() - stopped, 2.0)
            await self.assertFailure(start(link.call(Method.HOST, HOST)), PeerDown)
            process.signalProcess(signal.SIGCONT)
            await until(lambda: link.up)
            await link.call(Method.DISCONNECT, rpc.Disconnect("s", 1, "k"))
        finally:
            process.signalProcess(signal.SIGKILL)
            await peer.ended


class BoundTests(RpcTestCase):
    """What a link takes on."""

    async def never(self, _request: rpc.Value) -> rpc.Done:
        """A handler that does not end."""
        await Deferred()
        return rpc.Done()

    async def test_calls_beyond_the_bound_are_refused(self) -> None:
        """The bound on pending calls holds; nothing of the refused one is sent."""
        link = await self.link(self.serve({Method.HOST: self.never}).endpoint, max_pending=3)
        calls = [start(link.call(Method.HOST, HOST)) for _ in range(3)]
        await self.assertFailure(start(link.call(Method.HOST, HOST)), Overloaded)
        link.close()
        for call in calls:
            await self.assertFailure(call, PeerUnavailable)

    async def test_bytes_beyond_the_bound_are_refused(self) -> None:
        """The bound on pending bytes holds, but one large call alone is taken."""
        link = await self.link(self.serve({Method.RECEIVE: self.never}).endpoint, max_pending_bytes=1000)
        large = rpc.Receive("s", "k", 1, 1000, bytes(5000))
        call = start(link.call(Method.RECEIVE, large))
        await self.assertFailure(start(link.call(Method.RECEIVE, large)), Overloaded)
        call.cancel()
        await self.failed(call)
        again = start(link.call(Method.RECEIVE, large))
        await pause()
        self.assertFalse(again.called)
        link.close()
        await self.assertFailure(again, PeerUnavailable)

    async def failed(self, call: Deferred[rpc.Value]) -> None:
        """A cancelled call, its failure seen."""
        call.addErrback(lambda _: rpc.Done())
        await call

    async def test_a_retired_link_ends_with_its_last_call(self) -> None:
        """What is pending gets its reply; then the link closes by itself."""
        slow: Deferred[None] = Deferred()

        async def host(_request: rpc.Value) -> rpc.Done:
            await slow
            return rpc.Done()

        link: Link = await self.link(self.serve({Method.HOST: host}).endpoint)
        call = start(link.call(Method.HOST, HOST))
        link.retire()
        self.assertIs(link.state, LinkState.UP)
        slow.callback(None)
        self.assertEqual(await call, rpc.Done())
        await until(lambda: link.state is LinkState.CLOSED)
