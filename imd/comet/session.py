"""Session: one connection's life from accept to loss, on any transport."""

from collections.abc import Callable, Coroutine
from struct import pack
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from imd.comet.channel import Channel
from imd.comet.edge import Edge
from imd.comet.handshake import Handshake
from imd.comet.outbox import Outbox
from imd.comet.rate import TokenBucket
from imd.comet.state import MOVES, OVER, Event, State
from imd.errors import CloseReason, ImdError, ProtocolError
from imd.interfaces import Connection
from imd.protocol.body import (
    INT32,
    MAX_ACCEPTS,
    decode_auth,
    decode_operations,
    decode_room,
    encode_goodbye,
)
from imd.protocol.operation import Operation
from imd.protocol.packet import Packet, encode
from imd.protocol.rpc import Connected, Receive
from imd.protocol.wire import binary_frame

TOLD_VERSION = 2  # of op 7: clients that are told why they are closed
JOIN_RETRY_SECONDS = (1, 3, 9)  # pauses before op 12 asks again to have its room hosted; goim's clients wait for op 13

# Rooms that nobody else is in, through which one client may go at once; then each takes that part of a packet burst.
ROOMS_BURST = 20

UNFLUSHED = (CloseReason.SLOW_CONSUMER, CloseReason.INTERNAL_ERROR, CloseReason.PEER_CLOSED)  # it would not arrive
LABELS = {operation.value: operation.name.lower() for operation in Operation}  # in metrics.packets_in

Step = Coroutine[Any, Any, None]  # the rest of a packet's handling, when it leaves the process


class Session:
    """The transport calls ``packet_received``, ``fail``, ``pause_writing``, ``resume_writing`` and, once and last, ``lost``.

    Packets are handled strictly in the order they come: while one (op 7 too) waits for logic the next ones are held, up to
    ``Limits.waiting_packets`` and ``waiting_bytes``, beyond which the session ends with RATE_LIMITED.
    """

    _log = Logger()

    __slots__ = (
        "_accepted_at",
        "_connection",
        "_edge",
        "_outbox",
        "_packets_in",
        "_rate",
        "_version",
        "_waiting",
        "channel",
        "state",
    )

    def __init__(self, *, connection: Connection, edge: Edge) -> None:
        self._connection = connection
        self._edge = edge
        self._outbox = Outbox(connection=connection, reservoir=edge.reservoir)
        self._rate = TokenBucket()
        self._accepted_at = edge.clock.seconds()
        self._packets_in = 0
        self._version = 1  # of its op 7
        self._waiting: list[Packet] | None = None  # behind the one that is handled; None = none is
        self.channel: Channel | None = None  # None unless OPEN
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
        edge = self._edge
        self._packets_in += 1
        edge.metrics.packets_in.add(1, LABELS.get(packet.operation, "other"))
        now = edge.clock.seconds()
        if not self._rate.take(now, edge.limits.packets_per_second, edge.limits.packets_burst):
            self.close(CloseReason.RATE_LIMITED, "packets a second")
            return
        if packet.operation == Operation.HEARTBEAT and self.state is State.OPEN:
            edge.heartbeats.touch(self, now)
        if self._waiting is not None:
            self._keep(self._waiting, packet)
        elif self.state is State.OPEN:
            self._handle(packet)
        elif packet.operation == Operation.AUTH:
            self._authenticate(packet)

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
        self._edge.ended(self)

    # --- the end ------------------------------------------------------------------------------------------------------

    def close(self, reason: CloseReason, detail: str = "") -> None:
        """End it for a reason of ours. The first reason counts; later ones change nothing. Never raises."""
        if self.state in OVER:
            return
        self._move(Event.CLOSE)
        self._quietly(self._farewell, reason)
        self._end(reason, detail)
        self._quietly(self._connection.close, reason)

    def _quietly(self, call: Callable[[CloseReason], None], reason: CloseReason) -> None:
        try:
            call(reason)
        except Exception:  # a broken connection must neither keep us from letting it go nor stop who closes many
            self._log.failure("letting {address} go failed", address=self.address)

    def _farewell(self, reason: CloseReason) -> None:
        """What is held, then the reason for a client that is told; both before the connection ends."""
        self._outbox.end(flush=reason not in UNFLUSHED)
        if self._version == TOLD_VERSION:
            self._connection.write(self._bytes(Packet(Operation.GOODBYE, encode_goodbye(reason), version=TOLD_VERSION)))

    def _end(self, reason: CloseReason, detail: str) -> None:
        """Forget it everywhere but in admission, which counts sockets; tell presence; say the one thing."""
        edge = self._edge
        edge.handshakes.forget(self)
        edge.heartbeats.forget(self)
        self._waiting = None
        channel, self.channel = self.channel, None
        if channel is not None:
            rooms = channel.rooms
            edge.directory.remove(channel)
            for room in rooms:
                edge.interest.drop(room)
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
        self._version = packet.version
        try:
            auth = decode_auth(packet.body)
        except ProtocolError as error:
            self._edge.metrics.authentications.add(1, "bad_body")
            self.close(error.reason, str(error))
            return
        self._move(Event.AUTH)
        self._wait_for(Handshake(session=self, edge=self._edge, packet=packet).run(auth))

    def admit(self, packet: Packet, connected: Connected) -> None:
        """In one step, so that no push comes between: enter it, its room too, and only then op 8."""
        edge = self._edge
        self._move(Event.ADMIT)
        self.channel = channel = Channel(
            session=self,
            outbox=self._outbox,
            key=connected.key,
            mid=connected.mid,
            accepts=edge.accept_sets.share(connected.accepts),
            version=self._version,
        )
        older = edge.directory.put(channel)
        if connected.room:
            edge.directory.join(channel, connected.room)
        edge.handshakes.forget(self)
        edge.heartbeats.touch(self, edge.clock.seconds())
        self._reply(packet, Operation.AUTH_REPLY)
        if older is not None:
            older.close(CloseReason.REPLACED)

    # --- packets of an open session -----------------------------------------------------------------------------------

    def _keep(self, waiting: list[Packet], packet: Packet) -> None:
        limits = self._edge.limits
        size = sum(len(held.body) for held in waiting) + len(packet.body)
        if len(waiting) >= limits.waiting_packets or size > limits.waiting_bytes:
            self.close(CloseReason.RATE_LIMITED, "packets that wait for logic")
        else:
            waiting.append(packet)

    def _handle(self, packet: Packet) -> None:
        """Handle it now, or begin to."""
        try:
            step = OPERATIONS.get(packet.operation, Session._submit)(self, packet)
        except ProtocolError as error:
            self.close(error.reason, str(error))
        except Exception:  # nothing that a client sends may raise past its own session
            self._log.failure("handling op {operation} failed", operation=packet.operation)
            self.close(CloseReason.INTERNAL_ERROR)
        else:
            if step is not None:
                self._wait_for(step)

    def _wait_for(self, step: Step) -> None:
        """Begin the rest of a packet; those that come meanwhile wait behind it."""
        self._waiting = []
        self._edge.work.start(self._guarded(self._finish(step)))

    async def _finish(self, step: Step) -> None:
        """The rest of one packet, then the ones behind it, until one more must wait: that one goes on in its own coroutine."""
        await step
        waiting, self._waiting = self._waiting, None
        while waiting and self.state is State.OPEN:
            self._handle(waiting.pop(0))
            if self._waiting is not None:
                self._waiting += waiting
                return

    async def _guarded(self, step: Step) -> None:
        try:
            await step
        except CancelledError:
            raise
        except ProtocolError as error:
            self.close(error.reason, str(error))
        except Exception:  # as in _handle
            self._log.failure("a session's step failed")
            self.close(CloseReason.INTERNAL_ERROR)

    def _heartbeat(self, packet: Packet) -> None:
        """Op 2: the reply carries the members of its room over the cluster. The deadline moved when it came."""
        rooms = self._open().rooms
        online = self._edge.renewal.online(rooms[0]) if rooms else 0
        self._reply(packet, Operation.HEARTBEAT_REPLY, pack(">i", min(online, INT32[-1])))

    def _change_room(self, packet: Packet) -> Step | None:
        """Op 12: out of its room, into another; the reply comes once pushes to that come here."""
        channel, room = self._open(), decode_room(packet.body)
        if not room or room in channel.rooms or self._edge.interest.hold_hosted(room):
            self._moved(channel, room, packet)
            return None
        if not self._pay_for_room():
            self.close(CloseReason.RATE_LIMITED, "rooms a second")
            return None
        return self._change_unhosted_room(channel, room, packet)

    def _pay_for_room(self) -> bool:
        """A room that is not hosted yet asks logic twice, and lingers here and in presence: it costs more than a packet."""
        limits = self._edge.limits
        tokens = max(0, limits.packets_burst / ROOMS_BURST - 1)  # one was paid when the packet came
        return self._rate.take(self._edge.clock.seconds(), limits.packets_per_second, limits.packets_burst, tokens)

    async def _change_unhosted_room(self, channel: Channel, room: str, packet: Packet) -> None:
        """A goim client knows no failed change, so logic gets some tries while the client stays in its old room; then a new
        handshake, maybe with another comet, serves it better than waiting for ever: AUTH_UNAVAILABLE says come again."""
        for pause_seconds in (*JOIN_RETRY_SECONDS, None):
            try:
                await self._edge.interest.hold(room)
            except ImdError as error:
                if pause_seconds is None:
                    self.close(CloseReason.AUTH_UNAVAILABLE, str(error))
                    return
                await self._edge.work.pause(pause_seconds)
                if self.state is not State.OPEN:
                    return
            else:
                break
        if self.state is State.OPEN:
            self._moved(channel, room, packet)
        else:
            self._edge.interest.drop(room)

    def _moved(self, channel: Channel, room: str, packet: Packet) -> None:
        """Precondition: the room is empty, one that it is in, or held for it."""
        if room not in channel.rooms:
            before = channel.rooms
            if room:
                self._edge.directory.join(channel, room)
            for other in before:
                self._edge.directory.leave(channel, other)
                self._edge.interest.drop(other)
        self._reply(packet, Operation.CHANGE_ROOM_REPLY, packet.body)

    def _sub(self, packet: Packet) -> None:
        """Op 14: accept these too."""
        channel = self._open()
        accepts = channel.accepts.union(decode_operations(packet.body))
        if len(accepts) > MAX_ACCEPTS:
            raise ProtocolError(CloseReason.BAD_BODY, f"more than {MAX_ACCEPTS} accepts")
        channel.accepts = self._edge.accept_sets.share(accepts)
        self._reply(packet, Operation.SUB_REPLY, packet.body)

    def _unsub(self, packet: Packet) -> None:
        """Op 16: accept these no more."""
        channel = self._open()
        accepts = channel.accepts.difference(decode_operations(packet.body))
        channel.accepts = self._edge.accept_sets.share(accepts)
        self._reply(packet, Operation.UNSUB_REPLY, packet.body)

    def _auth_again(self, packet: Packet) -> None:
        """Op 7 of an open session changes nothing. It is echoed, as goim does; but its token is not for the receive hook."""
        self._reply(packet, packet.operation)

    async def _submit(self, packet: Packet) -> None:
        """Op 4 and all others: for the receive hook, then an echo without a body, whatever became of it."""
        channel = self._open()
        request = Receive(
            server=self._edge.server,
            key=channel.key,
            mid=channel.mid,
            operation=packet.operation,
            body=packet.body,
            room=channel.rooms[0] if channel.rooms else "",
        )
        try:
            await self._edge.logic.receive(request)
            self._edge.metrics.submitted.add(1, "ok")
        except ImdError as error:
            self._edge.metrics.submitted.add(1, error.name)
        self._reply(packet, packet.operation)

    # --- writing ------------------------------------------------------------------------------------------------------

    def _open(self) -> Channel:
        assert self.channel is not None, self.state
        return self.channel

    def _reply(self, request: Packet, operation: int, body: bytes = b"") -> None:
        if self.state is not State.OPEN:
            return  # it ended while logic was asked
        if not self._outbox.reply(self._bytes(Packet(operation, body, request.sequence, request.version))):
            self.close(CloseReason.SLOW_CONSUMER, "replies")

    def _bytes(self, packet: Packet) -> bytes:
        data = encode(packet)
        return binary_frame(data) if self._connection.framed else data


OPERATIONS: dict[int, Callable[[Session, Packet], Step | None]] = {
    Operation.HEARTBEAT: Session._heartbeat,
    Operation.CHANGE_ROOM: Session._change_room,
    Operation.SUB: Session._sub,
    Operation.UNSUB: Session._unsub,
    Operation.AUTH: Session._auth_again,
}
"""What an open session does with a packet; the rest of it when that leaves the process. Any other goes to logic."""
