"""RPC ends on the real reactor and real sockets, let go at a test's end."""

from collections.abc import Callable, Mapping
from typing import Any

import zmq
from twisted.internet import reactor as real_reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from imd.metrics import Metrics
from imd.protocol import rpc
from imd.transport.rpc_link import Link, LinkState
from imd.transport.rpc_server import Handler, RpcServer
from imd.transport.zmq_options import ZmqOptions

reactor: Any = real_reactor

QUICK = ZmqOptions(heartbeat_ms=100, heartbeat_timeout_ms=200, linger_ms=0)


def pause(seconds: float = 0.0) -> Deferred[None]:
    """Let the reactor run; for what has no event of its own."""
    return deferLater(reactor, seconds)


async def until(true: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait until ``true()``; fails the test after ``seconds``."""
    ends = reactor.seconds() + seconds
    while not true():
        assert reactor.seconds() < ends, "waited in vain"
        await pause(0.005)


async def done(_request: rpc.Value) -> rpc.Done:
    """A handler that does nothing."""
    return rpc.Done()


class RpcTestCase(TestCase):
    """Opens servers and links, and closes them."""

    def setUp(self) -> None:
        """A Context of its own, for inproc names are its."""
        self.context: zmq.Context[Any] = zmq.Context()
        self.metrics = Metrics()
        self.addCleanup(lambda: self.context.destroy(0))

    def serve(
        self, handlers: Mapping[rpc.Method, Handler], endpoint: str = "tcp://127.0.0.1:0", **settings: Any
    ) -> RpcServer:
        """An open server."""
        settings = {"metrics": self.metrics, "options": QUICK, **settings}
        server = RpcServer(context=self.context, reactor=reactor, endpoint=endpoint, handlers=handlers, **settings)
        server.open()
        self.addCleanup(lambda: Deferred.fromCoroutine(server.close(0)))
        return server

    def dial(self, endpoint: str, **settings: Any) -> Link:
        """An open link, which is not up yet."""
        settings = {"metrics": self.metrics, "options": QUICK, "deadline_seconds": 5.0, **settings}
        link = Link(context=self.context, reactor=reactor, endpoint=endpoint, **settings)
        link.open()
        self.addCleanup(link.close)
        return link

    async def link(self, endpoint: str, **settings: Any) -> Link:
        """A link that is up."""
        link = self.dial(endpoint, **settings)
        await until(lambda: link.state is LinkState.UP)
        return link

    def raw(self, endpoint: str) -> zmq.Socket[Any]:
        """A DEALER that sends what it likes."""
        socket: zmq.Socket[Any] = self.context.socket(zmq.DEALER)
        socket.connect(endpoint)
        self.addCleanup(lambda: socket.close(0))
        return socket
