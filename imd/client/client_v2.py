"""A client of version 2: one connection that knows where its timelines stand."""

from typing import ClassVar, TypeVar

from imd.client.client import Client
from imd.client.core import Event, Refused
from imd.errors import AuthRefused, CloseReason, ImdError, NotAllowed, Overloaded, ProtocolError, by_code
from imd.protocol.ack import encode_acks
from imd.protocol.auth_reply import AuthReply
from imd.protocol.body import Auth, encode_auth
from imd.protocol.error_body import ErrorBody
from imd.protocol.goodbye import Goodbye
from imd.protocol.json_body import JsonBody
from imd.protocol.membership import Join, JoinReply, Leave, LeaveReply
from imd.protocol.operation import Operation
from imd.protocol.packet import MAX_BODY_BYTES
from imd.protocol.refresh import Refresh, RefreshReply
from imd.protocol.send import SendMessage, SendReply
from imd.protocol.sync import Sync, SyncReply
from imd.protocol.timeline import Place

Reply = TypeVar("Reply", bound=JsonBody)

_WE_ERRED = frozenset(reason.code for reason in CloseReason if 4010 <= reason.code < 4020)
_CREDENTIALS = frozenset({CloseReason.AUTH_REFUSED.code, CloseReason.TOKEN_EXPIRED.code})


class ClientV2(Client):
    """One connection that speaks version 2. Its pushes have a header.

    Nothing is remembered over connections here, and no order is put right: that does
    :class:`imd.client.steady_client.SteadyClient`. A request that the server does not do raises the :class:`ImdError` that the
    server names. Begin with :meth:`enter`, in place of :meth:`Client.authenticate`; :meth:`Client.change_room` is not for it,
    for its answer does not say where the room's timeline stands.
    """

    VERSION: ClassVar = 2

    body_bytes = MAX_BODY_BYTES  # of a packet that the server takes; what it says replaces the usual
    goodbye: Goodbye | None = None  # what the server said before it ended the connection; None = nothing yet

    async def enter(self, auth: Auth) -> AuthReply:
        """Say who we are, which rooms we want to be in, and where we stand. From then on heartbeats are sent by themselves."""
        reply = await self._ask(Operation.AUTH, encode_auth(auth), AuthReply)
        self.body_bytes = reply.limits.body_bytes
        self._keep_beating(reply.heartbeat_seconds)
        return reply

    async def join(self, room: str, place: Place | None = None) -> JoinReply:
        """Be in this room too. What was missed after ``place`` comes next, if the answer says ``recovered``."""
        join = Join(room) if place is None else Join(room, place.seq, place.epoch)
        return await self._ask(Operation.JOIN, join.encode(), JoinReply)

    async def leave(self, room: str) -> None:
        """Be in this room no more; no push to it comes after."""
        await self._ask(Operation.LEAVE, Leave(room).encode(), LeaveReply)

    async def sync(self, timeline: str, place: Place, limit: int = 100) -> SyncReply:
        """A part of a timeline again; its messages have come as pushes when this returns. ``timeline``: room id, or empty."""
        sync = Sync(timeline=timeline, after=place.seq, limit=limit, epoch=place.epoch)
        return await self._ask(Operation.SYNC, sync.encode(), SyncReply)

    async def send_message(self, message: SendMessage) -> SendReply:
        """Send to a room or a member. With a ``client_id`` it may be sent again: it is accepted once."""
        return await self._ask(Operation.SEND, message.encode(), SendReply)

    async def refresh(self, token: str) -> RefreshReply:
        """Show a new token before the old one expires."""
        return await self._ask(Operation.REFRESH, Refresh(token).encode(), RefreshReply)

    def ack(self, seqs: dict[str, int]) -> None:
        """Everything up to these has been handled: timeline -> seq. There is no answer; after the end it does nothing."""
        if self._end is None:
            for body in encode_acks(seqs, self.body_bytes):
                self._link.send(self._core.notice(Operation.ACK, body))

    def hang_up(self, why: ImdError) -> None:
        """End the connection at once, for this reason."""
        self._break_off(why)

    async def _ask(self, operation: int, body: bytes, reply: type[Reply]) -> Reply:
        """As :meth:`request`; an answer that cannot be read ends the connection, for the next ones could not be trusted."""
        answer = await self.request(operation, body)
        try:
            return reply.decode(answer)
        except ProtocolError as error:
            self._break_off(error)
            raise

    def _happened(self, event: Event) -> None:
        if self._end is not None:
            return  # hung up by whoever took the event before, from the same read
        if isinstance(event, Goodbye):
            self.goodbye = event
        elif isinstance(event, Refused):
            waiting = self._waiting.pop(event.sequence, None)
            if waiting is not None:
                waiting.errback(_refusal(event.error))
        else:
            super()._happened(event)

    def _why(self, code: int, words: str) -> ImdError:
        goodbye = self.goodbye
        if goodbye is None or goodbye.reconnect:
            return super()._why(code, words or (goodbye.reason if goodbye else ""))
        said = f"the server ended the connection: {goodbye.reason}"
        if goodbye.code in _WE_ERRED:
            return ProtocolError(
                next(reason for reason in CloseReason if reason.code == goodbye.code), "says the server"
            )
        return AuthRefused(said) if goodbye.code in _CREDENTIALS else NotAllowed(said)


def _refusal(error: ErrorBody) -> ImdError:
    kind = by_code(error.code)
    if issubclass(kind, Overloaded):
        return kind(error.message, -(-error.retry_after_ms // 1000) or 1)
    return kind(error.message)
