"""The asking end of RPC: a DEALER socket to one peer, and what is known of the peer."""

from collections.abc import Callable
from enum import Enum, unique
from struct import Struct
from typing import NamedTuple

import msgspec
import zmq
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from imd.alarm import Alarm
from imd.errors import ConfigError, DeadlineExceeded, ImdError, Overloaded, PeerDown, PeerUnavailable, by_code
from imd.metrics import Metrics
from imd.protocol import rpc
from imd.transport.zmq_curve import CurveDialer
from imd.transport.zmq_options import ZmqOptions
from imd.transport.zmq_socket import Reactor, ZmqSocket

RECONNECT_MS = 100  # the first redial; doubles
RECONNECT_MAX_MS = 3_000
PROBE_SECONDS = 1.0  # a stalled peer gets one call in this time, until it answers

_BUDGET = Struct(">I")
_STATUS = Struct(">H")
_REQUEST_ID = Struct(">Q")
_EVENT = Struct("=HI")  # what libzmq's monitor says: event, value
_PLACE_SHIFT = 56  # the highest byte of a request id is its method's place, so that a late reply can be counted by it
_UP = int(zmq.EVENT_HANDSHAKE_SUCCEEDED)
_DOWN = int(zmq.EVENT_DISCONNECTED)
_REFUSED = int(zmq.EVENT_HANDSHAKE_FAILED_AUTH)
_MALFORMED = int(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)


class _Asked(NamedTuple):
    """A method, as it is asked for."""

    place: int  # among all
    name: bytes  # on the wire
    label: str  # in metrics
    reply: type[rpc.Value]


_METHODS = {
    method: _Asked(place, method.value, method.value.decode("ascii"), rpc.SIGNATURES[method].reply)
    for place, method in enumerate(rpc.Method)
}
_LABELS = [asked.label for asked in _METHODS.values()]  # by place


@unique
class LinkState(Enum):
    """What a link knows of its peer."""

    CLOSED = "closed"  # not opened, or let go
    DOWN = "down"  # not connected: calls fail at once
    UP = "up"
    STALLED = "stalled"  # connected, but silent for a whole deadline: calls fail at once, but for a probe now and then


@unique
class _Event(Enum):
    CONNECTED = 1  # the ZMTP handshake is done, CURVE included
    DISCONNECTED = 2  # the connection ended, or its heartbeats did
    HEARD = 3  # any reply
    SILENT = 4  # a deadline passed, and nothing was heard since its call


_MOVES: dict[tuple[LinkState, _Event], LinkState] = {
    (LinkState.DOWN, _Event.CONNECTED): LinkState.UP,
    (LinkState.DOWN, _Event.DISCONNECTED): LinkState.DOWN,
    (LinkState.DOWN, _Event.HEARD): LinkState.DOWN,  # it was in the queue when the connection ended
    (LinkState.DOWN, _Event.SILENT): LinkState.DOWN,
    (LinkState.UP, _Event.CONNECTED): LinkState.UP,
    (LinkState.UP, _Event.DISCONNECTED): LinkState.DOWN,
    (LinkState.UP, _Event.HEARD): LinkState.UP,
    (LinkState.UP, _Event.SILENT): LinkState.STALLED,
    (LinkState.STALLED, _Event.CONNECTED): LinkState.UP,
    (LinkState.STALLED, _Event.DISCONNECTED): LinkState.DOWN,
    (LinkState.STALLED, _Event.HEARD): LinkState.UP,
    (LinkState.STALLED, _Event.SILENT): LinkState.STALLED,
}


class _Call:
    """A request that waits for its reply."""

    __slots__ = ("reply", "sent_at", "size")

    def __init__(self, sent_at: float, size: int, reply: Deferred[list[bytes]]) -> None:
        self.sent_at = sent_at  # seconds on the reactor's clock
        self.size = size  # bytes of the request's body
        self.reply = reply  # fires with the reply's parts


class Link:
    """Calls to one peer, pipelined: they arrive in the order they were made.

    Every call ends: with its reply, after ``deadline_seconds`` with :class:`DeadlineExceeded`, or at once with
    :class:`PeerUnavailable` when the peer vanishes. While the peer is not there calls fail at once with
    :class:`PeerDown`, and nothing is queued for it; ZeroMQ redials with a growing pause. Beyond the bounds on what is
    pending calls fail with :class:`Overloaded`. An inproc peer, which ZeroMQ does not watch, counts as up once opened.
    """

    log = Logger()

    __slots__ = (
        "_alarm",
        "_context",
        "_curve",
        "_deadline_seconds",
        "_endpoint",
        "_heard_at",
        "_max_pending",
        "_max_pending_bytes",
        "_metrics",
        "_monitor",
        "_next_id",
        "_options",
        "_pending",
        "_pending_bytes",
        "_probe_at",
        "_reactor",
        "_retiring",
        "_server_key",
        "_socket",
        "_state",
        "changed",
    )

    def __init__(
        self,
        *,
        context: zmq.Context[zmq.Socket[bytes]],
        reactor: Reactor,
        endpoint: str,
        metrics: Metrics,
        deadline_seconds: float = 5.0,
        max_pending: int = 5_000,
        max_pending_bytes: int = 64 * 1024 * 1024,
        options: ZmqOptions | None = None,
        curve: CurveDialer | None = None,
        server_key: bytes = b"",
    ) -> None:
        self._context = context
        self._reactor = reactor
        self._endpoint = endpoint
        self._metrics = metrics
        self._deadline_seconds = deadline_seconds  # of every call
        self._max_pending = max_pending  # calls
        self._max_pending_bytes = max_pending_bytes  # of their bodies; one larger call may go alone
        self._options = options or ZmqOptions()
        self._curve = curve  # None = plaintext
        self._server_key = server_key  # the peer's, Z85; with curve only
        self._pending: dict[int, _Call] = {}  # request id -> call, oldest first
        self._pending_bytes = 0
        self._next_id = 1
        self._heard_at = 0.0  # when the last reply came, reactor's seconds
        self._probe_at = 0.0  # STALLED: when the next call may go
        self._alarm = Alarm(reactor, self._expire)  # of the oldest call's deadline
        self._state = LinkState.CLOSED
        self._retiring = False  # closes once nothing is pending
        self._socket: ZmqSocket | None = None  # None while closed
        self._monitor: ZmqSocket | None = None  # None while closed, and for inproc
        self.changed: Callable[[], None] | None = None  # called after the state changed; set by the link's owner

    @property
    def state(self) -> LinkState:
        """What is known of the peer now."""
        return self._state

    @property
    def up(self) -> bool:
        """Connected, and answering as far as is known."""
        return self._state is LinkState.UP

    @property
    def ready(self) -> bool:
        """Whether a call would be sent now, be it as a probe."""
        stalled = self._state is LinkState.STALLED
        return self._state is LinkState.UP or (stalled and self._reactor.seconds() >= self._probe_at)

    @property
    def pending(self) -> int:
        """Calls that wait for their reply."""
        return len(self._pending)

    def open(self) -> None:
        """Dial, and redial for ever. Raises :class:`ConfigError` when the endpoint is none, or the server's key."""
        socket = self._context.socket(zmq.DEALER)
        self._options.apply(socket, self._endpoint)
        socket.setsockopt(zmq.IMMEDIATE, 1)  # a message goes to a connection, never to a queue for one that may come
        socket.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, RECONNECT_MAX_MS)
        socket.setsockopt(zmq.LINGER, 0)  # whoever waited for the reply is gone
        monitor = None
        try:
            if self._curve is not None:
                self._curve.secure(socket, self._server_key)
            if not self._endpoint.startswith("inproc://"):
                monitor = socket.get_monitor_socket(_UP | _DOWN | _REFUSED | _MALFORMED)
            socket.connect(self._endpoint)
        except zmq.ZMQError as error:
            socket.disable_monitor()
            if monitor is not None:
                monitor.close(0)
            socket.close(0)
            raise ConfigError(f"cannot dial {self._endpoint} for RPC: {error.strerror}") from None
        self._state = LinkState.UP if monitor is None else LinkState.DOWN
        if monitor is not None:
            self._monitor = ZmqSocket(
                reactor=self._reactor, socket=monitor, received=self._watched, name="rpc link monitor"
            )
        self._socket = ZmqSocket(reactor=self._reactor, socket=socket, received=self._received, name="rpc link")

    def close(self) -> None:
        """Hang up now; what is pending fails with :class:`PeerUnavailable`."""
        if self._socket is None:
            return
        self._socket.close()
        self._socket = None
        if self._monitor is not None:
            self._monitor.close()
            self._monitor = None
        self._state = LinkState.CLOSED
        self._alarm.stop()
        self._fail_pending("the link was closed")

    def retire(self) -> None:
        """Hang up once what is pending has ended, a deadline from now at the latest. New calls are still taken."""
        self._retiring = True
        self._close_if_retired()

    # --- calls ------------------------------------------------------------------------------------------------------------

    async def call(self, method: rpc.Method, request: rpc.Value) -> rpc.Value:
        """The peer's reply, of the method's reply type.

        Raises what the peer's handler raised, by its code; :class:`PeerDown` and a local :class:`Overloaded` before
        anything was sent; :class:`PeerUnavailable` or :class:`DeadlineExceeded` when it may have been done.
        """
        asked = _METHODS[method]
        started = self._reactor.seconds()
        result = "cancelled"
        try:
            parts = await self._send(asked, rpc.dump(request), started)
            reply = self._decode(asked, parts)
            result = "ok"
            return reply
        except CancelledError:
            raise
        except ImdError as error:
            result = error.name
            raise
        finally:
            self._metrics.rpc_seconds.observe(self._reactor.seconds() - started, asked.label, result)

    def _send(self, asked: _Asked, body: bytes, now: float) -> Deferred[list[bytes]]:
        socket = self._admit(len(body), now)
        serial = self._next_id
        self._next_id = serial + 1
        request_id = asked.place << _PLACE_SHIFT | serial
        budget = _BUDGET.pack(int(self._deadline_seconds * 1000))
        try:
            socket.send([_REQUEST_ID.pack(request_id), asked.name, budget, body])
        except zmq.Again:
            if self._monitor is None:
                raise PeerDown(f"nobody answers on {self._endpoint}") from None
            raise Overloaded("the peer does not keep up") from None
        reply: Deferred[list[bytes]] = Deferred(lambda _: self._cancel(request_id))
        self._pending[request_id] = _Call(now, len(body), reply)
        self._pending_bytes += len(body)
        if len(self._pending) == 1:
            self._alarm.due(now + self._deadline_seconds)
        return reply

    def _admit(self, size: int, now: float) -> ZmqSocket:
        """The socket, if a call of ``size`` bytes may go now."""
        socket = self._socket
        if socket is None or self._state is LinkState.DOWN:
            raise PeerDown(f"no connection to {self._endpoint}")
        if self._state is LinkState.STALLED:
            if now < self._probe_at:
                raise PeerDown(f"{self._endpoint} does not answer")
            self._probe_at = now + PROBE_SECONDS
        over = self._pending_bytes + size > self._max_pending_bytes and self._pending_bytes > 0
        if over or len(self._pending) >= self._max_pending:
            raise Overloaded(f"{len(self._pending)} calls of {self._pending_bytes} bytes wait for {self._endpoint}")
        return socket

    @staticmethod
    def _decode(asked: _Asked, parts: list[bytes]) -> rpc.Value:
        """[request id, status, body]."""
        status: int = _STATUS.unpack(parts[1])[0]
        if status:
            raise by_code(status)(parts[2].decode("utf-8", "replace"))
        try:
            return rpc.load(asked.reply, parts[2])
        except msgspec.DecodeError as error:
            raise ImdError(f"the peer's reply to {asked.label} cannot be read: {error}") from None

    def _received(self, parts: list[bytes]) -> None:
        if len(parts) != 3 or len(parts[0]) != _REQUEST_ID.size or len(parts[1]) != _STATUS.size:
            self.log.warn("A reply from {endpoint} cannot be read", endpoint=self._endpoint)
            return
        self._heard_at = self._reactor.seconds()
        if self._state is LinkState.STALLED:
            self._move(_Event.HEARD)
        request_id: int = _REQUEST_ID.unpack(parts[0])[0]
        call = self._forget(request_id)
        if call is not None:
            call.reply.callback(parts)
            return
        place = request_id >> _PLACE_SHIFT
        self._metrics.rpc_late.add(1, _LABELS[place] if place < len(_LABELS) else "unknown")

    def _cancel(self, request_id: int) -> None:
        """The caller waits no longer; a reply will be counted as late."""
        self._forget(request_id)

    def _forget(self, request_id: int) -> _Call | None:
        call = self._pending.pop(request_id, None)
        if call is not None:
            self._pending_bytes -= call.size
            if self._retiring and not self._pending:
                # not now: the caller may be the socket, or a caller's canceller
                self._reactor.callLater(0, self._close_if_retired)
        return call

    def _close_if_retired(self) -> None:
        if self._retiring and not self._pending:
            self.close()

    # --- the peer ---------------------------------------------------------------------------------------------------------

    def _expire(self) -> None:
        """Fail what has waited for a deadline; the rest is younger, for all have the same."""
        now = self._reactor.seconds()
        late = []
        while self._pending:
            request_id, call = next(iter(self._pending.items()))
            due = call.sent_at + self._deadline_seconds
            if due > now:
                self._alarm.due(due)
                break
            self._forget(request_id)
            late.append(call)
        if any(self._heard_at < call.sent_at for call in late):
            self._probe_at = now + PROBE_SECONDS
            self._move(_Event.SILENT)
        for call in late:  # last: a caller may call again at once, or close the link
            call.reply.errback(DeadlineExceeded(f"{self._endpoint} did not answer within {self._deadline_seconds:g} s"))

    def _watched(self, parts: list[bytes]) -> None:
        """An event of the socket's monitor: [event and value, endpoint]."""
        event = _EVENT.unpack(parts[0])[0]
        if event == _UP:
            self._move(_Event.CONNECTED)
        elif event == _DOWN:
            if self._socket is not None:
                self._socket.drain(self._max_pending)  # replies that came before the end are no victims of it
            if self._socket is not None:
                self._move(_Event.DISCONNECTED)
                self._fail_pending("the connection ended before the reply")
        else:
            self.log.warn(
                "{endpoint} refused the RPC handshake: CURVE keys or versions do not fit", endpoint=self._endpoint
            )

    def _move(self, event: _Event) -> None:
        before, self._state = self._state, _MOVES[self._state, event]
        if self._state is not before and self.changed is not None:
            self.changed()

    def _fail_pending(self, words: str) -> None:
        victims = list(self._pending.values())
        self._pending.clear()
        self._pending_bytes = 0
        for call in victims:
            call.reply.errback(PeerUnavailable(f"{self._endpoint}: {words}"))
        self._close_if_retired()
