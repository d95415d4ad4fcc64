"""Session: one connection's life from accept to loss, on any transport."""

from collections.abc import Callable, Sequence

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from imd.comet.channel import Channel
from imd.comet.edge import Edge
from imd.comet.handshake import Handshake
from imd.comet.operations_v1 import OPERATIONS as OPERATIONS_V1
from imd.comet.operations_v1 import Step, submit
from imd.comet.operations_v2 import OPERATIONS as OPERATIONS_V2
from imd.comet.outbox import Outbox
from imd.comet.rate import TokenBucket
from imd.comet.state import MOVES, OVER, Event, State
from imd.comet.waiting import Waiting
from imd.errors import CloseReason, ProtocolError
from imd.interfaces import Connection
from imd.protocol.body import decode_auth
from imd.protocol.goodbye import Goodbye
from imd.protocol.operation import Operation
from imd.protocol.packet import Packet, encode
from imd.protocol.push_header import VERSION
from imd.protocol.rpc import Connected
from imd.protocol.wire import binary_frame

NEWER_VERSION = VERSION  # of op 7: a client that wants more than goim has; any other number is version 1
UNFLUSHED = (CloseReason.SLOW_CONSUMER, CloseReason.INTERNAL_ERROR, CloseReason.PEER_CLOSED)  # it would not arrive
LABELS = {operation.value: operation.name.lower() for operation in Operation}  # in metrics.packets_in


class Session:
    """The transport calls ``packet_received``, ``frame_received``, ``fail``, ``pause_writing``, ``resume_writing`` and, once
    and last, ``lost``.

    Packets are handled strictly in the order they come: while one (op 7 too) waits for logic the next ones are held, up to
    ``Limits.waiting_packets`` and ``waiting_bytes``, beyond which the session ends with RATE_LIMITED.
    """

    _log = Logger()

    __slots__ = (
        "_accepted_at",
        "_connection",
        "_dear",
        "_outbox",
        "_packets_in",
        "_rate",
        "_waiting",
        "channel",
        "edge",
        "grants",
        "state",
        "version",
    )

    def __init__(self, *, connection: Connection, edge: Edge) -> None:
        self._connection = connection
        self.edge = edge
        self._outbox = Outbox(connection=connection, reservoir=edge.reservoir)
        self._rate = TokenBucket()
        # Of what is dear, which shall not use up what heartbeats and acks are paid with; None = it asked for nothing dear.
        self._dear: TokenBucket | None = None
        self._accepted_at = edge.clock.seconds()
        self._packets_in = 0
        self.version = 1  # of its op 7: 1, or 2 for a client that wants more
        self.grants: tuple[
            str, ...
        ] = ()  # rooms that its token names, which it may join though their type asks for a grant
        self._waiting: Waiting | None = None  # behind the one that is handled; None = none is
        self.channel: Channel | None = None  # None unless RESUMING or OPEN
        self.state = State.HANDSHAKE
        edge.handshakes.touch(self, self._accepted_at)

    @property
    def address(self) -> str:
        """The peer's IP."""
        return self._connection.address

    @property
    def transport(self) -> str:
        """``tcp``, ``tls``, ``ws`` or ``wss``."""
        return self._connection.transport

    # --- from the transport -------------------------------------------------------------------------------------------

    def packet_received(self, packet: Packet) -> None:
        """A packet came. Never raises."""
        if self.state in OVER:
            return
        edge = self.edge
        self._packets_in += 1
        edge.metrics.packets_in.add(1, LABELS.get(packet.operation, "other"))
        now = edge.clock.seconds()
        if not self._pay(now):
            return
        if packet.operation == Operation.HEARTBEAT and self.state is State.OPEN:
            edge.heartbeats.touch(self, now)
        if self._waiting is not None:
            self._keep(self._waiting, packet)
        elif self.state is State.OPEN:
            self._handle(packet)
        elif packet.operation == Operation.AUTH:
            self._authenticate(packet)

    def frame_received(self) -> None:
        """It costs what a packet costs: else a client could keep this process busy with frames that are none. Never raises."""
        if self.state not in OVER:
            self._pay(self.edge.clock.seconds())

    def fail(self, reason: CloseReason, detail: str = "") -> None:
        """The transport found bad input, or that the peer hung up."""
        self.close(reason, detail)

    def pause_writing(self) -> None:
        """The kernel has enough."""
        self._outbox.pause()

    def resume_writing(self) -> None:
        """The kernel takes more."""
        self._outbox.resume()

    def lost(self, reason: CloseReason) -> None:
        """The connection is gone."""
        over = self.state in OVER
        self._move(Event.LOSE)
        if not over:
            self._outbox.end(flush=False)
            self._end(reason, "")
        self.edge.ended(self)

    # --- the end ------------------------------------------------------------------------------------------------------

    def close(self, reason: CloseReason, detail: str = "", *, retry_after_ms: int = 0) -> None:
        """End it for a reason of ours. The first reason counts; later ones change nothing. Never raises.

        ``retry_after_ms``: a client of version 2 is told not to come back before; 0 = as it likes.
        """
        if self.state in OVER:
            return
        self._move(Event.CLOSE)
        self._quietly(lambda: self._farewell(reason, retry_after_ms))
        self._end(reason, detail)
        self._quietly(lambda: self._connection.close(reason))

    def _quietly(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception:  # a broken connection must neither keep us from letting it go nor stop who closes many
            self._log.failure("letting {address} go failed", address=self.address)

    def _farewell(self, reason: CloseReason, retry_after_ms: int) -> None:
        """What is held, then the reason for a client that is told; both before the connection ends."""
        self._outbox.end(flush=reason not in UNFLUSHED)
        if self.version == NEWER_VERSION:
            body = Goodbye.of(reason, retry_after_ms).encode()
            self._connection.write(self._bytes(Packet(Operation.GOODBYE, body, version=NEWER_VERSION)))

    def _end(self, reason: CloseReason, detail: str) -> None:
        """Forget it everywhere but in admission, which counts sockets; tell presence; say the one thing."""
        edge = self.edge
        edge.handshakes.forget(self)
        edge.heartbeats.forget(self)
        edge.expiries.forget(self)
        self._waiting = None
        channel, self.channel = self.channel, None
        if channel is not None:
            edge.membership.end(channel)
            edge.departures.leave(channel.key, channel.mid)
        edge.metrics.closed.add(1, reason.label)
        self._log.info(
            "session ended: {reason} after {seconds:.1f} s, {packets_in} packets in, {packets_out} out, {drops} dropped",
            reason=reason.label,
            detail=detail,
            seconds=edge.clock.seconds() - self._accepted_at,
            packets_in=self._packets_in,
            packets_out=self._outbox.packets_out,
            drops=self._outbox.drops,
            key=channel.key if channel else "",
            mid=channel.mid if channel else 0,
            address=self.address,
            transport=self.transport,
        )

    def _move(self, event: Event) -> None:
        self.state = MOVES[self.state, event]

    # --- the handshake ------------------------------------------------------------------------------------------------

    def _authenticate(self, packet: Packet) -> None:
        self.version = NEWER_VERSION if packet.version == NEWER_VERSION else 1
        try:
            auth = decode_auth(packet.body, self.version)
        except ProtocolError as error:
            self.edge.metrics.authentications.add(1, "bad_body")
            self.close(error.reason, str(error))
            return
        self._move(Event.AUTH)
        self._wait_for(Handshake(session=self, edge=self.edge, packet=packet).run(auth))

    def enter(self, connected: Connected, rooms: Sequence[str], device: str) -> None:
        """Delivery sees it from now on, in its rooms, which are held for it. Version 1: :meth:`admit` must follow at once.

        ``device``: what it calls itself; anonymous ones, and those that say nothing, are known by their keys.
        """
        edge = self.edge
        if self.version == NEWER_VERSION:
            self._move(Event.ENTER)
            self._outbox.cork()
        self.channel = channel = Channel(
            session=self,
            outbox=self._outbox,
            key=connected.key,
            mid=connected.mid,
            accepts=edge.accept_sets.share(connected.accepts),
            version=self.version,
            device=device if connected.mid else "",
        )
        self.permit(connected.grants, connected.expires_at_ms)
        older = edge.directory.put(channel)
        for room in rooms:
            edge.membership.enter(channel, room)
        if older is not None:
            older.close(CloseReason.REPLACED)

    def permit(self, grants: Sequence[str], expires_at_ms: int) -> None:
        """What its token lets it do, and until when (ms since the epoch, 0 = for ever). goim's clients know no end of that."""
        self.grants = tuple(grants)
        if self.version == NEWER_VERSION:
            self.edge.expiries.set(self, expires_at_ms)

    def admit(self, packet: Packet, body: bytes = b"") -> None:
        """Write op 8, the reply to ``packet``; before it nothing was written, behind it comes what waited."""
        edge = self.edge
        self._move(Event.ADMIT)
        edge.handshakes.forget(self)
        edge.heartbeats.touch(self, edge.clock.seconds())
        if self.version == NEWER_VERSION:
            self._outbox.uncork(self._bytes(Packet(Operation.AUTH_REPLY, body, packet.sequence, packet.version)))
        else:
            self.reply(packet, Operation.AUTH_REPLY)

    def _pay(self, now: float) -> bool:
        """For a packet, or a frame; ends the session of who cannot."""
        limits = self.edge.limits
        paid = self._rate.take(now, limits.packets_per_second, limits.packets_burst)
        if not paid:
            self.close(CloseReason.RATE_LIMITED, "packets a second")
        return paid

    # --- packets of an open session -----------------------------------------------------------------------------------

    def _keep(self, waiting: Waiting, packet: Packet) -> None:
        limits = self.edge.limits
        if not waiting.keep(packet, limit=limits.waiting_packets, limit_bytes=limits.waiting_bytes):
            self.close(CloseReason.RATE_LIMITED, "packets that wait for logic")

    def _handle(self, packet: Packet) -> None:
        step = self._begin(packet)
        if step is not None:
            self._wait_for(step)

    def _begin(self, packet: Packet) -> Step | None:
        """Handle it now; what is left of it when it has to wait. Never raises."""
        try:
            operations = OPERATIONS_V2 if self.version == NEWER_VERSION else OPERATIONS_V1
            return operations.get(packet.operation, submit)(self, packet)
        except ProtocolError as error:
            self.close(error.reason, str(error))
        except Exception:  # nothing that a client sends may raise past its own session
            self._log.failure("handling op {operation} failed", operation=packet.operation)
            self.close(CloseReason.INTERNAL_ERROR)
        return None

    def _wait_for(self, step: Step) -> None:
        """Begin the rest of a packet; those that come meanwhile wait behind it."""
        self._waiting = Waiting()
        self.edge.work.start(self._guarded(self._finish(step, self._waiting)))

    async def _finish(self, step: Step, waiting: Waiting) -> None:
        """The rest of one packet, then the ones behind it, until none is left."""
        await step
        while waiting and self.state is State.OPEN:
            next_step = self._begin(waiting.take())
            if next_step is not None:
                await next_step
        self._waiting = None

    async def _guarded(self, step: Step) -> None:
        try:
            await step
        except CancelledError:
            raise
        except ProtocolError as error:
            self.close(error.reason, str(error))
        except Exception:  # as in _begin
            self._log.failure("a session's step failed")
            self.close(CloseReason.INTERNAL_ERROR)

    # --- for its operations -------------------------------------------------------------------------------------------

    def open_channel(self) -> Channel:
        """The channel of a session that is open, or resuming."""
        assert self.channel is not None, self.state
        return self.channel

    def pay(self, burst: int) -> bool:
        """Take the price of something dear, of which ``burst`` may be had at once: so many parts of a packet burst. False, and
        none taken, when it has not got that."""
        limits, dear = self.edge.limits, self._dear
        if dear is None:
            dear = self._dear = TokenBucket()
        tokens = limits.packets_burst / burst
        return dear.take(self.edge.clock.seconds(), limits.packets_per_second, limits.packets_burst, tokens)

    def reply(self, request: Packet, operation: int, body: bytes = b"") -> None:
        """Answer a packet, if it is still there to be answered."""
        if self.state is not State.OPEN:
            return  # it ended while logic was asked
        if not self._outbox.reply(self._bytes(Packet(operation, body, request.sequence, request.version))):
            self.close(CloseReason.SLOW_CONSUMER, "replies")

    def _bytes(self, packet: Packet) -> bytes:
        data = encode(packet)
        return binary_frame(data) if self._connection.framed else data
