"""Operations of version 2: what an open session does with what only clients of version 2 ask for."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from imd.comet import operations_v1
from imd.comet.operations_v1 import ROOMS_BURST, Handler, Step
from imd.comet.state import State
from imd.errors import CloseReason, ImdError, NotAllowed, Overloaded, TooMany
from imd.protocol import rpc
from imd.protocol.ack import decode_ack
from imd.protocol.body import decode_room
from imd.protocol.error_body import ErrorBody
from imd.protocol.membership import Join, JoinReply, Leave, LeaveReply
from imd.protocol.operation import Operation
from imd.protocol.packet import Packet
from imd.protocol.refresh import Refresh, RefreshReply
from imd.protocol.send import SendMessage, SendReply
from imd.protocol.sync import Sync, SyncReply
from imd.protocol.timeline import NOWHERE, Place, timeline_named

if TYPE_CHECKING:
    from imd.comet.session import Session

# How many of each a client may ask for at once; then each takes that part of a packet burst.
SYNCS_BURST = 20  # a page is read for each: at most ``Limits.page_messages`` bodies
SENDS_BURST = 50  # each is stored, and perhaps pushed to thousands
REFRESHES_BURST = 20  # a signature is checked


def _fail(session: "Session", packet: Packet, error: ImdError) -> None:
    """Op 48: it was not done, and the connection stays."""
    session.reply(packet, Operation.ERROR, ErrorBody.of(error, packet.operation).encode())


def _pay(session: "Session", packet: Packet, burst: int) -> bool:
    """False, and the client is told, when it asks for more of something dear than it may."""
    if session.pay(burst):
        return True
    _fail(session, packet, Overloaded("more of these a second than one connection may ask for"))
    return False


# --- rooms ------------------------------------------------------------------------------------------------------------


def join(session: "Session", packet: Packet) -> Step | None:
    """Op 32: into a room, besides those it is in. The reply comes once pushes to the room come here and its timeline was looked
    at; what the client missed follows it. Again into the same room begins anew from ``after``. A join that fails leaves
    it outside."""
    channel, request = session.open_channel(), Join.decode(packet.body)
    rooms = session.edge.limits.rooms
    if request.room not in channel.rooms and len(channel.rooms) >= rooms:
        _fail(session, packet, TooMany(f"a connection may be in {rooms} rooms"))
        return None
    return _join(session, packet, request) if _may_enter(session, packet, request.room) else None


async def _join(session: "Session", packet: Packet, request: Join) -> None:
    edge, channel, room = session.edge, session.open_channel(), request.room
    timeline = edge.membership.timeline(room)
    if timeline is not None and room in channel.rooms:
        edge.membership.leave(channel, room)
    if room not in channel.rooms and not await _enter(session, packet, room):
        return
    page = await _follow(session, packet, room, request.place)
    if page is None:
        return
    head, online = page.head, edge.renewal.online(room)
    reply = JoinReply(room=room, seq=head.seq, epoch=head.epoch, recovered=page.recovered, online=online)
    session.reply(packet, Operation.JOIN_REPLY, reply.encode())
    _release(session, room)


def change_room(session: "Session", packet: Packet) -> Step | None:
    """Op 12: out of all rooms, into one; its reply is version 1's. A change that fails leaves the client where it was."""
    channel, room = session.open_channel(), decode_room(packet.body)
    if not room or room in channel.rooms:
        _move(session, packet, room)
        return None
    return _change_room(session, packet, room) if _may_enter(session, packet, room) else None


async def _change_room(session: "Session", packet: Packet, room: str) -> None:
    if await _enter(session, packet, room) and await _follow(session, packet, room, None) is not None:
        _move(session, packet, room)
        _release(session, room)


def _move(session: "Session", packet: Packet, room: str) -> None:
    channel = session.open_channel()
    for other in channel.rooms:
        if other != room:
            session.edge.membership.leave(channel, other)
    session.reply(packet, Operation.CHANGE_ROOM_REPLY, packet.body)


def leave(session: "Session", packet: Packet) -> None:
    """Op 34: out of a room; one that it is not in is left already."""
    channel, request = session.open_channel(), Leave.decode(packet.body)
    if request.room in channel.rooms:
        session.edge.membership.leave(channel, request.room)
    session.reply(packet, Operation.LEAVE_REPLY, LeaveReply(room=request.room).encode())


def _may_enter(session: "Session", packet: Packet, room: str) -> bool:
    """False, and the client is told, when its room's type does not let it in."""
    if session.edge.membership.may_join(room, session.open_channel().mid, session.grants):
        return True
    _fail(session, packet, NotAllowed("this room does not let you in"))
    return False


async def _enter(session: "Session", packet: Packet, room: str) -> bool:
    """In, and pushes to it come here. Else it is told why not. Precondition: it is not in."""
    edge = session.edge
    held = edge.interest.hold_hosted(room)
    dear = not held or edge.membership.timeline(room) is not None  # logic is asked
    if dear and not _pay(session, packet, ROOMS_BURST):
        if held:
            edge.interest.drop(room)
        return False
    if not held:
        try:
            await edge.interest.hold(room)
        except ImdError as error:
            _fail(session, packet, error)
            return False
        if session.state is not State.OPEN:
            edge.interest.drop(room)
            return False
    edge.membership.enter(session.open_channel(), room)
    return True


async def _follow(session: "Session", packet: Packet, room: str, place: Place | None) -> rpc.Page | None:
    """Where the room's timeline stands; of a live room, that it has none. None, and the client is out and told why, when that
    cannot be read now. Precondition: it is in the room, in this very turn."""
    edge, channel = session.edge, session.open_channel()
    timeline = edge.membership.timeline(room)
    if timeline is None:
        return rpc.Page("", NOWHERE, recovered=place in (None, NOWHERE))
    try:
        pages = await edge.follower.begin(channel, {timeline: place})
    except ImdError as error:
        if session.state is State.OPEN:
            edge.membership.leave(channel, room)
            _fail(session, packet, error)
        return None
    return pages[timeline] if session.state is State.OPEN else None


def _release(session: "Session", room: str) -> None:
    """The reply was written: what was missed may follow."""
    timeline = session.edge.membership.timeline(room)
    if timeline is not None and session.state is State.OPEN:
        session.edge.follower.release(session.open_channel(), (timeline,))


# --- timelines --------------------------------------------------------------------------------------------------------


def ack(session: "Session", packet: Packet) -> None:
    """Op 36, without a reply. What cannot be true is counted and does nothing: a client that acks what it did not get, or what
    it does not follow (it may have left the room while the ack was under way)."""
    edge, channel = session.edge, session.open_channel()
    device = f"{channel.mid}:{channel.device}"
    for name, seq in decode_ack(packet.body).items():
        timeline = timeline_named(name, channel.mid)
        position = (channel.positions or {}).get(timeline)
        if position is None:
            edge.metrics.acks.add(1, "unfollowed")
        elif seq > position.last:
            edge.metrics.acks.add(1, "beyond")
        else:
            edge.acks.note(timeline, device, Place(seq, position.epoch))


def sync(session: "Session", packet: Packet) -> Step | None:
    """Op 38: a part of a timeline that it follows; the messages come before the reply."""
    channel, request = session.open_channel(), Sync.decode(packet.body)
    timeline = timeline_named(request.timeline, channel.mid)
    if timeline not in (channel.positions or {}):
        _fail(session, packet, NotAllowed("this connection does not follow such a timeline"))
        return None
    return _sync(session, packet, request, timeline) if _pay(session, packet, SYNCS_BURST) else None


async def _sync(session: "Session", packet: Packet, request: Sync, timeline: str) -> None:
    edge, channel = session.edge, session.open_channel()
    try:
        page = await edge.follower.sync(channel, timeline, request.after, request.limit, request.epoch)
    except ImdError as error:
        _fail(session, packet, error)
        return
    if session.state is not State.OPEN:
        return
    if channel.replay(page) is not None:
        session.close(CloseReason.SLOW_CONSUMER, "op 38")
        return
    reply = SyncReply(
        timeline=request.timeline,
        last=_last(page, request.after),
        more=page.more,
        epoch=page.head.epoch,
        recovered=page.recovered,
    )
    session.reply(packet, Operation.SYNC_REPLY, reply.encode())


def _last(page: rpc.Page, after: int) -> int:
    """Where the client stands once it has the page."""
    if page.messages:
        return page.messages[-1].seq
    return after if page.recovered else page.head.seq


# --- messages and tokens ----------------------------------------------------------------------------------------------


def send(session: "Session", packet: Packet) -> Step | None:
    """Op 4: a message to a room or a member, as whoever logic knows the client to be."""
    message = SendMessage.decode(packet.body)
    return _send(session, packet, message) if _pay(session, packet, SENDS_BURST) else None


async def _send(session: "Session", packet: Packet, message: SendMessage) -> None:
    edge, channel = session.edge, session.open_channel()
    request = rpc.Send(
        server=edge.server,
        key=channel.key,
        mid=channel.mid,
        operation=message.op,
        body=message.body,
        room=message.room,
        to=message.mid,
        joined=message.room in channel.rooms,
        client_id=message.client_id,
    )
    try:
        sent = await edge.logic.send(request)
    except ImdError as error:
        edge.metrics.submitted.add(1, error.name)
        _fail(session, packet, error)
        return
    edge.metrics.submitted.add(1, "ok")
    reply = SendReply(id=sent.id, seq=sent.place.seq, at=sent.at_ms)
    session.reply(packet, Operation.SEND_REPLY, reply.encode())


def refresh(session: "Session", packet: Packet) -> Step | None:
    """Op 44: a new token. One that is not good changes nothing: the old one's date stands."""
    request = Refresh.decode(packet.body)
    return _refresh(session, packet, request.token) if _pay(session, packet, REFRESHES_BURST) else None


async def _refresh(session: "Session", packet: Packet, token: str) -> None:
    edge, channel = session.edge, session.open_channel()
    try:
        refreshed = await edge.logic.refresh(
            rpc.Refresh(server=edge.server, key=channel.key, mid=channel.mid, token=token)
        )
    except ImdError as error:
        _fail(session, packet, error)
        return
    if session.state is not State.OPEN:
        return
    session.permit(refreshed.grants, refreshed.expires_at_ms)
    if not all(edge.membership.may_join(room, channel.mid, refreshed.grants) for room in channel.rooms):
        session.close(CloseReason.ROOM_REFUSED, "a room is not in the new token")
        return
    reply = RefreshReply(expires_at_ms=refreshed.expires_at_ms)
    session.reply(packet, Operation.REFRESH_REPLY, reply.encode())


OPERATIONS: Mapping[int, Handler] = {
    **operations_v1.OPERATIONS,
    Operation.CHANGE_ROOM: change_room,
    Operation.JOIN: join,
    Operation.LEAVE: leave,
    Operation.ACK: ack,
    Operation.SYNC: sync,
    Operation.SEND: send,
    Operation.REFRESH: refresh,
}
"""As version 1's, for a session of version 2. Any other is :func:`imd.comet.operations_v1.submit`'s."""
