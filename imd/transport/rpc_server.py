"""The answering end of RPC: a ROUTER socket, one coroutine a request."""

from collections.abc import Awaitable, Callable, Mapping
from struct import Struct
from typing import Any, NamedTuple

import msgspec
import zmq
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.task import deferLater
from twisted.logger import Logger

from imd.errors import BadRequest, ConfigError, ImdError, Overloaded, PeerDown, PeerUnavailable
from imd.metrics import Metrics
from imd.protocol import rpc
from imd.transport.zmq_curve import CurveGuard
from imd.transport.zmq_options import ZmqOptions
from imd.transport.zmq_socket import Reactor, ZmqSocket

Handler = Callable[[Any], Awaitable[rpc.Value]]  # takes the method's request type, answers its reply type

_BUDGET = Struct(">I")
_STATUS = Struct(">H")
_OK = _STATUS.pack(0)


class _Served(NamedTuple):
    """A method that is answered here."""

    label: str  # in metrics
    handler: Handler
    request: type[rpc.Value]


class RpcServer:
    """Answers the methods in ``handlers`` on one endpoint; requests of a peer start in the order they were sent.

    A handler's :class:`ImdError` travels as its code and words; any other error is logged here and travels as code 1
    without details. What cannot be understood is counted, answered if its request id can be read, and never raises.
    Beyond ``max_in_progress`` requests are answered :class:`Overloaded` at once; one whose budget is spent never starts.
    """

    log = Logger()

    def __init__(
        self,
        *,
        context: zmq.Context[zmq.Socket[bytes]],
        reactor: Reactor,
        endpoint: str,
        handlers: Mapping[rpc.Method, Handler],
        metrics: Metrics,
        max_in_progress: int = 10_000,
        options: ZmqOptions | None = None,
        curve: CurveGuard | None = None,
    ) -> None:
        self._context = context
        self._reactor = reactor
        self._methods = {
            method.value: _Served(method.value.decode("ascii"), handler, rpc.SIGNATURES[method].request)
            for method, handler in handlers.items()
        }  # by its name on the wire
        self._metrics = metrics
        self._max_in_progress = max_in_progress  # requests
        self._options = options or ZmqOptions()
        self._curve = curve  # None = plaintext; open before this
        self._in_progress: set[Deferred[None]] = set()  # one a request that has started and not ended
        self._socket: ZmqSocket | None = None  # None while closed
        self._closing = False  # no request starts any more
        self.endpoint = endpoint  # once open the one that peers can dial: port 0 has become a real one

    def open(self) -> None:
        """Bind and answer. Raises :class:`ConfigError` when the endpoint cannot be had."""
        socket = self._context.socket(zmq.ROUTER)
        self._options.apply(socket, self.endpoint)
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)  # a reply to nobody is an error to count, not a silence
        socket.setsockopt(zmq.ROUTER_HANDOVER, 1)  # a restarted peer takes its own name over
        if self._curve is not None:
            self._curve.secure(socket)
        try:
            socket.bind(self.endpoint)
        except zmq.ZMQError as error:
            socket.close(0)
            raise ConfigError(f"cannot listen for RPC on {self.endpoint}: {error.strerror}") from None
        self.endpoint = socket.getsockopt_string(zmq.LAST_ENDPOINT).rstrip("\0")
        self._closing = False
        self._socket = ZmqSocket(reactor=self._reactor, socket=socket, received=self._received, name="rpc server")

    async def close(self, grace_seconds: float = 2.0) -> None:
        """Start nothing new, let what runs end within ``grace_seconds``, cancel the rest, let go of the endpoint.

        What is not started is answered :class:`PeerDown`, what is cancelled :class:`PeerUnavailable`.
        """
        if self._socket is None:
            return
        self._closing = True
        if self._in_progress:
            done = DeferredList(list(self._in_progress))
            done.addTimeout(grace_seconds, self._reactor, onTimeoutCancel=lambda result, _: None)  # type: ignore[arg-type]  # Reactor has what addTimeout uses of IReactorTime
            await done
        for running in list(self._in_progress):
            running.cancel()
        # a turn for what was refused meanwhile to go out
        await deferLater(self._reactor, 0)  # type: ignore[arg-type]  # as above
        self._socket.close(self._options.linger_ms)
        self._socket = None

    # --- a request --------------------------------------------------------------------------------------------------------

    def _received(self, parts: list[bytes]) -> None:
        """[peer, request id, method, budget, body]."""
        if len(parts) < 2 or len(parts[1]) != 8:
            self._metrics.rpc_served.add(1, "unknown", "malformed")
            return
        peer, request_id = parts[0], parts[1]
        served = self._methods.get(parts[2]) if len(parts) > 2 else None
        if served is None:
            self._refuse(peer, request_id, "unknown", BadRequest("no such method here"))
            return
        try:
            request, budget_ms = self._decode(served.request, parts)
            self._admit()
        except ImdError as error:
            self._refuse(peer, request_id, served.label, error)
            return
        if budget_ms == 0:
            self._metrics.rpc_served.add(1, served.label, "expired")
            return
        running = Deferred.fromCoroutine(self._answer(peer, request_id, served.label, served.handler, request))
        if not running.called:
            self._in_progress.add(running)
            running.addBoth(self._ended, running)

    @staticmethod
    def _decode(kind: type[rpc.Value], parts: list[bytes]) -> tuple[rpc.Value, int]:
        if len(parts) != 5 or len(parts[3]) != _BUDGET.size:
            raise BadRequest("a request is four parts, its budget four bytes")
        try:
            request = rpc.load(kind, parts[4])
        except msgspec.DecodeError as error:
            raise BadRequest(f"body: {error}") from None
        return request, _BUDGET.unpack(parts[3])[0]

    def _admit(self) -> None:
        if self._closing:
            raise PeerDown("this process is stopping")
        if len(self._in_progress) >= self._max_in_progress:
            raise Overloaded(f"{self._max_in_progress} requests are in progress here")

    async def _answer(self, peer: bytes, request_id: bytes, label: str, handler: Handler, request: rpc.Value) -> None:
        try:
            reply = await handler(request)
            parts = [peer, request_id, _OK, rpc.dump(reply)]
            result = "ok"
        except CancelledError:
            self._refuse(peer, request_id, label, PeerUnavailable("this process stopped before the answer"))
            raise
        except ImdError as error:
            self._refuse(peer, request_id, label, error)
            return
        except Exception:  # the last rung: a bug in a handler ends its request, not the server
            self.log.failure("RPC method {method} failed", method=label)
            self._refuse(peer, request_id, label, ImdError("internal error"))
            return
        self._send(parts, label, result)

    def _refuse(self, peer: bytes, request_id: bytes, label: str, error: ImdError) -> None:
        self._send([peer, request_id, _STATUS.pack(error.code), str(error).encode()], label, error.name)

    def _send(self, parts: list[bytes], label: str, result: str) -> None:
        if self._socket is None:
            result = "unreachable"
        else:
            try:
                self._socket.send(parts)
            except zmq.ZMQError:  # it left (EHOSTUNREACH), or reads nothing (EAGAIN): nobody to tell
                result = "unreachable"
        self._metrics.rpc_served.add(1, label, result)

    def _ended(self, _result: object, running: Deferred[None]) -> None:
        # cancelled by close(), or done: _answer has dealt with every other end
        self._in_progress.discard(running)
