"""Operations of version 1: what an open session does with a packet of goim's wire."""

from collections.abc import Callable, Coroutine, Mapping
from struct import pack
from typing import TYPE_CHECKING, Any

from imd.comet.channel import Channel
from imd.comet.state import State
from imd.errors import CloseReason, ImdError, ProtocolError
from imd.protocol.body import INT32, MAX_ACCEPTS, decode_operations, decode_room
from imd.protocol.operation import Operation
from imd.protocol.packet import Packet
from imd.protocol.rpc import Receive

if TYPE_CHECKING:
    from imd.comet.session import Session

Step = Coroutine[Any, Any, None]  # the rest of a packet's handling, when it leaves the process
Handler = Callable[["Session", Packet], Step | None]

JOIN_RETRY_SECONDS = (1, 3, 9)  # pauses before op 12 asks again to have its room hosted; goim's clients wait for op 13

# Rooms that nobody else is in, through which one client may go at once; then each takes that part of a packet burst. It asks
# logic twice, and lingers here and in presence: it costs more than a packet.
ROOMS_BURST = 20


def heartbeat(session: "Session", packet: Packet) -> None:
    """Op 2: the reply carries the members of its room over the cluster. The deadline moved when it came."""
    rooms = session.open_channel().rooms
    online = session.edge.renewal.online(rooms[0]) if rooms else 0
    session.reply(packet, Operation.HEARTBEAT_REPLY, pack(">i", min(online, INT32[-1])))


def change_room(session: "Session", packet: Packet) -> Step | None:
    """Op 12: out of its room, into another; the reply comes once pushes to that come here."""
    channel, room = session.open_channel(), decode_room(packet.body)
    if room and not session.edge.membership.may_join(room, channel.mid, session.grants):
        session.close(CloseReason.ROOM_REFUSED, "op 12")
        return None
    if not room or room in channel.rooms or session.edge.interest.hold_hosted(room):
        _moved(session, channel, room, packet)
        return None
    if not session.pay(ROOMS_BURST):
        session.close(CloseReason.RATE_LIMITED, "rooms a second")
        return None
    return _change_unhosted_room(session, channel, room, packet)


async def _change_unhosted_room(session: "Session", channel: Channel, room: str, packet: Packet) -> None:
    """A goim client knows no failed change, so logic gets some tries while the client stays in its old room; then a new
    handshake, maybe with another comet, serves it better than waiting for ever: AUTH_UNAVAILABLE says come again."""
    edge = session.edge
    for pause_seconds in (*JOIN_RETRY_SECONDS, None):
        try:
            await edge.interest.hold(room)
        except ImdError as error:
            if pause_seconds is None:
                session.close(CloseReason.AUTH_UNAVAILABLE, str(error))
                return
            await edge.work.pause(pause_seconds)
            if session.state is not State.OPEN:
                return
        else:
            break
    if session.state is State.OPEN:
        _moved(session, channel, room, packet)
    else:
        edge.interest.drop(room)


def _moved(session: "Session", channel: Channel, room: str, packet: Packet) -> None:
    """Precondition: the room is empty, one that it is in, or held for it."""
    edge = session.edge
    if room not in channel.rooms:
        before = channel.rooms
        if room:
            edge.membership.enter(channel, room)
        for other in before:
            edge.membership.leave(channel, other)
    session.reply(packet, Operation.CHANGE_ROOM_REPLY, packet.body)


def sub(session: "Session", packet: Packet) -> None:
    """Op 14: accept these too."""
    channel = session.open_channel()
    accepts = channel.accepts.union(decode_operations(packet.body))
    if len(accepts) > MAX_ACCEPTS:
        raise ProtocolError(CloseReason.BAD_BODY, f"more than {MAX_ACCEPTS} accepts")
    channel.accepts = session.edge.accept_sets.share(accepts)
    session.reply(packet, Operation.SUB_REPLY, packet.body)


def unsub(session: "Session", packet: Packet) -> None:
    """Op 16: accept these no more."""
    channel = session.open_channel()
    accepts = channel.accepts.difference(decode_operations(packet.body))
    channel.accepts = session.edge.accept_sets.share(accepts)
    session.reply(packet, Operation.UNSUB_REPLY, packet.body)


def auth_again(session: "Session", packet: Packet) -> None:
    """Op 7 of an open session changes nothing. It is echoed, as goim does; but its token is not for the receive hook."""
    session.reply(packet, packet.operation)


async def submit(session: "Session", packet: Packet) -> None:
    """Op 4 and all others: for the receive hook, then an echo without a body, whatever became of it."""
    edge, channel = session.edge, session.open_channel()
    request = Receive(
        server=edge.server,
        key=channel.key,
        mid=channel.mid,
        operation=packet.operation,
        body=packet.body,
        room=channel.rooms[0] if channel.rooms else "",
    )
    try:
        await edge.logic.receive(request)
        edge.metrics.submitted.add(1, "ok")
    except ImdError as error:
        edge.metrics.submitted.add(1, error.name)
    session.reply(packet, packet.operation)


OPERATIONS: Mapping[int, Handler] = {
    Operation.HEARTBEAT: heartbeat,
    Operation.CHANGE_ROOM: change_room,
    Operation.SUB: sub,
    Operation.UNSUB: unsub,
    Operation.AUTH: auth_again,
}
"""Operation -> what is done; the rest of it when that leaves the process. Any other is :func:`submit`'s."""
