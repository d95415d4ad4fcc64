"""Accepts pushes: gives each an id and puts it into the broker, in one share per partition that it concerns."""

from collections.abc import Callable, Iterable, Sequence

from imd.errors import BadRequest, BodyTooLarge, ImdError
from imd.interfaces import Broker, Receipt
from imd.logic.ids import IdMaker
from imd.logic.order import Order
from imd.logic.push_limits import PushLimits
from imd.logic.push_request import PushRequest, PushResult, Result
from imd.metrics import Metrics
from imd.protocol.body import MAX_KEY_BYTES
from imd.protocol.push import Push


class Pusher:
    """Turns what back ends ask for into what the broker carries.

    An idempotency key is remembered per pusher and target. Given again with the same targets, operation and body, a push is
    ``repeated``; when the first try had reached only some of its partitions, the others get it now and it is ``accepted``.
    With another operation or body it is a ``conflict`` as soon as one of its targets has seen the key.
    """

    __slots__ = ("_broker", "_ids", "_limits", "_metrics", "_now")

    def __init__(
        self, *, broker: Broker, ids: IdMaker, now: Callable[[], float], limits: PushLimits, metrics: Metrics
    ) -> None:
        self._broker = broker
        self._ids = ids
        self._now = now  # the wall clock, seconds since the epoch
        self._limits = limits
        self._metrics = metrics

    async def push(self, requests: Sequence[PushRequest], *, pusher: str = "") -> list[PushResult]:
        """Accept all of them, or none; answers in their order, and pushes to one target keep it too.

        ``pusher`` is whose they are (the name of the push key): idempotency keys of different pushers never meet. Raises
        :class:`imd.errors.BadRequest` (which names the item of an array, and its field) and
        :class:`imd.errors.BodyTooLarge` before anything is stored; else what :meth:`imd.interfaces.Broker.publish` raises.
        """
        if len(requests) > self._limits.pushes:
            raise BadRequest(f"more than {self._limits.pushes} pushes in one array")
        orders: list[Order] = []
        for index, request in enumerate(requests):
            try:
                orders.append(self._checked(request.order(pusher)))
            except (BadRequest, BodyTooLarge) as error:
                if len(requests) == 1:
                    raise
                raise type(error)(f"[{index}]: {error}") from None
        return await self._accept(orders)

    async def push_keys(self, operation: int, body: bytes, keys: Iterable[str]) -> int:
        """A live push to connections; its id. Keys that cannot be anybody's are skipped, as unknown ones are."""
        possible = tuple(key for key in dict.fromkeys(keys) if 0 < len(key.encode()) <= MAX_KEY_BYTES)
        return await self._push_order(Order(operation, body, keys=possible))

    async def push_members(self, operation: int, body: bytes, mids: Iterable[int]) -> int:
        """A push to every connection of some members; its id. 0 is nobody and skipped."""
        return await self._push_order(Order(operation, body, mids=tuple(mid for mid in dict.fromkeys(mids) if mid)))

    async def push_room(self, operation: int, body: bytes, room: str) -> int:
        """A live push to the channels of a room, by its whole id; its id."""
        return await self._push_order(Order(operation, body, rooms=(room,)))

    async def push_all(self, operation: int, body: bytes, speed: int = 0) -> int:
        """A live push to every connection, ``speed`` of them a second over the whole cluster (0 = at once); its id."""
        return await self._push_order(Order(operation, body, all=True, speed=speed))

    async def _push_order(self, order: Order) -> int:
        """goim's way: an order whose targets were all skipped is accepted for nobody."""
        if not order.targets:
            return self._ids.make()
        return int((await self._accept([self._checked(order)]))[0].id)

    def _checked(self, order: Order) -> Order:
        try:
            self._limits.check(order)
        except ImdError as error:
            self._count([order], error.name)
            raise
        return order

    async def _accept(self, orders: Sequence[Order]) -> list[PushResult]:
        at_ms = int(self._now() * 1000)
        try:
            shares = [order.shares(self._ids.make(), at_ms, self._broker.partitions) for order in orders]
            receipts = iter(await self._publish([share for each in shares for share in each]))
        except ImdError as error:
            self._count(orders, error.name)
            raise
        results = []
        for order, each in zip(orders, shares, strict=True):
            result = _result_of([next(receipts) for _ in each])
            self._count([order], result.result.value)
            results.append(result)
        return results

    async def _publish(self, shares: Sequence[tuple[int, Push]]) -> list[Receipt]:
        stored_bytes = sum(len(push.body) for _, push in shares)
        if stored_bytes > self._limits.stored_bytes:
            raise BodyTooLarge(
                f"bodies of {stored_bytes} bytes for all partitions and rooms, at most {self._limits.stored_bytes}"
            )
        receipts = await self._broker.publish(shares)
        for (_, push), receipt in zip(shares, receipts, strict=True):
            if not (receipt.repeated or receipt.conflict):
                self._metrics.published.add(1, push.target.name.lower())
        return receipts

    def _count(self, orders: Iterable[Order], outcome: str) -> None:
        for order in orders:
            for target in order.targets:
                self._metrics.pushes.add(1, target, outcome)


def _result_of(receipts: Sequence[Receipt]) -> PushResult:
    """One answer for the shares of a push; its id is the earliest, which is what clients saw first."""
    conflicts = [receipt.id for receipt in receipts if receipt.conflict]
    if conflicts:
        return PushResult(str(min(conflicts)), Result.CONFLICT)
    repeated = all(receipt.repeated for receipt in receipts)
    earliest = min(receipt.id for receipt in receipts)
    return PushResult(str(earliest), Result.REPEATED if repeated else Result.ACCEPTED)
