"""Sends: messages of clients, as pushes. Who may, says the room's type, and for members the inboxes' setting."""

from twisted.internet.defer import CancelledError

from imd.errors import BadRequest, IdempotencyConflict, ImdError, NotAllowed
from imd.logic.ids import accepted_at_ms
from imd.logic.order import Order
from imd.logic.push import Pusher
from imd.logic.push_request import Result
from imd.metrics import Metrics
from imd.protocol import rpc
from imd.protocol.body import INT32
from imd.protocol.room_type import RoomTypes
from imd.protocol.room_type import Send as Policy
from imd.protocol.send import MAX_CLIENT_ID_BYTES, MIN_OPERATION
from imd.protocol.timeline import Place


class Sender:
    """Accepts what clients send. A push in all but who asks for it: its limits, its keeping and its counts are the pusher's.

    A ``client_id`` is remembered per sender and per whom it is for, as long as the idempotency keys of back ends. The same
    message again is answered as the first was; another one under it is refused.
    """

    __slots__ = ("_metrics", "_pusher", "_room_types", "_to_members")

    def __init__(
        self, *, pusher: Pusher, metrics: Metrics, room_types: RoomTypes, to_members: Policy = Policy.NOBODY
    ) -> None:
        assert to_members is not Policy.JOINED, "an inbox has nobody in it"
        self._pusher = pusher
        self._metrics = metrics
        self._room_types = room_types
        self._to_members = to_members  # who may send to a member: nobody, or any member

    async def send(self, request: rpc.Send) -> rpc.Sent:
        """See :meth:`imd.interfaces.LogicClient.send`. Raises what it says, and :class:`imd.errors.Unavailable`: then the same
        again, with its ``client_id``, is safe."""
        outcome = "error"
        try:
            self._check(request)
            result = await self._pusher.push_order(_order(request))
            outcome = result.result.value
            if result.result is Result.CONFLICT:
                raise IdempotencyConflict("this client_id was used for a different message")
        except CancelledError:
            outcome = "cancelled"
            raise
        except ImdError as error:
            outcome = error.name
            raise
        finally:
            self._metrics.sends.add(1, outcome)
        id = int(result.id)
        # by the id, which is all that is left of the first one when it is repeated
        return rpc.Sent(id, accepted_at_ms(id), Place(result.seq, result.epoch))

    def _check(self, request: rpc.Send) -> None:
        if bool(request.room) == bool(request.to):
            raise BadRequest("to: names a room or a member")
        if not MIN_OPERATION <= request.operation < INT32.stop:
            raise BadRequest(f"op: a client sends operations from {MIN_OPERATION} up")
        if len(request.client_id.encode()) > MAX_CLIENT_ID_BYTES:
            raise BadRequest(f"client_id: longer than {MAX_CLIENT_ID_BYTES} bytes")
        policy = self._room_types.of(request.room).send if request.room else self._to_members
        if not request.mid:
            raise NotAllowed("only members send: this client has no member's id")
        if policy is Policy.NOBODY:
            raise NotAllowed("clients do not send to this room" if request.room else "clients do not send to members")
        if policy is Policy.JOINED and not request.joined:
            raise NotAllowed("join the room first: its members alone send to it")


def _order(request: rpc.Send) -> Order:
    """Whose the idempotency key is says for whom too: a client may count its messages to each from 1."""
    return Order(
        operation=request.operation,
        body=request.body,
        mids=(request.to,) if request.to else (),
        rooms=(request.room,) if request.room else (),
        idempotency_key=request.client_id,
        pusher=f"member:{request.mid}" + (f":{request.to}" if request.to else ""),
    )
