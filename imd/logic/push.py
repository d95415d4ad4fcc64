"""Accepts pushes: gives each an id and puts it into the broker, in one share per partition that it concerns."""

from collections import Counter as Amounts
from collections.abc import Callable, Coroutine, Iterable, Sequence
from itertools import chain
from typing import Any

from twisted.internet.defer import CancelledError

from imd.errors import BadRequest, BodyTooLarge, ImdError
from imd.interfaces import Broker, Receipt
from imd.logic.ids import IdMaker
from imd.logic.keep import LIVE_ONLY, KeepRules
from imd.logic.offers import Offers
from imd.logic.order import Order
from imd.logic.push_limits import PushLimits
from imd.logic.push_request import PushRequest, PushResult, Result
from imd.logic.tracing import Tracing
from imd.metrics import Metrics
from imd.protocol.body import MAX_KEY_BYTES
from imd.protocol.push import Push
from imd.protocol.timeline import NOWHERE

_ACCEPTED = Result.ACCEPTED  # looking it up in its enum costs more than making an answer


class Pusher:
    """Turns what back ends ask for into what the broker carries.

    An idempotency key is remembered per pusher and target. Given again with the same targets, operation and body, kept or live
    as before, a push is ``repeated``; when the first try had reached only some of its partitions, the others get it now and it
    is ``accepted``. With another of these it is a ``conflict`` as soon as one of its targets has seen the key.
    """

    __slots__ = ("_asking", "_ids", "_limits", "_metrics", "_now", "_offers", "_partitions", "_rules", "_tracing")

    def __init__(
        self,
        *,
        broker: Broker,
        ids: IdMaker,
        now: Callable[[], float],
        limits: PushLimits,
        metrics: Metrics,
        rules: KeepRules = LIVE_ONLY,
        tracing: Tracing | None = None,
    ) -> None:
        self._partitions = broker.partitions
        self._offers = Offers(broker=broker, metrics=metrics)
        self._ids = ids
        self._now = now  # the wall clock, seconds since the epoch
        self._limits = limits
        self._rules = rules  # what timelines keep
        self._tracing = tracing  # which are traced; None = none
        self._metrics = metrics
        self._asking = 0  # pushes whose outcome is not known

    async def push(
        self, requests: Sequence[PushRequest], *, pusher: str = "", traceparent: str = ""
    ) -> list[PushResult]:
        """Accept all of them, or none; answers in their order, and pushes to one target keep it too.

        ``pusher`` is whose they are (the name of the push key): idempotency keys of different pushers never meet.
        ``traceparent`` is what came with them, good or not (see :class:`imd.logic.tracing.Tracing`). Raises
        :class:`imd.errors.BadRequest` (which names the item of an array, and its field) and
        :class:`imd.errors.BodyTooLarge` before anything is stored; else what :meth:`imd.interfaces.Broker.publish` raises.
        """
        return await self._counted(
            [request.to.targets for request in requests], self._push(requests, pusher, traceparent)
        )

    async def _push(self, requests: Sequence[PushRequest], pusher: str, traceparent: str) -> list[PushResult]:
        if len(requests) > self._limits.pushes:
            raise BadRequest(f"more than {self._limits.pushes} pushes in one array")
        orders: list[Order] = []
        for index, request in enumerate(requests):
            try:
                orders.append(request.order(pusher, traceparent))
                self._check(orders[-1])
            except (BadRequest, BodyTooLarge) as error:
                if len(requests) == 1:
                    raise
                raise type(error)(f"[{index}]: {error}") from None
        return await self._accept(orders)

    async def push_order(self, order: Order) -> PushResult:
        """Accept one push that is ordered by nobody's HTTP request. Raises as :meth:`push` does."""
        return (await self._counted([order.targets or ["nobody"]], self._take(order)))[0]

    async def push_keys(self, operation: int, body: bytes, keys: Iterable[str], traceparent: str = "") -> int:
        """A live push to connections; its id. Keys that cannot be anybody's are skipped, as unknown ones are."""
        named = dict.fromkeys(keys)
        possible = tuple(key for key in named if 0 < len(key.encode()) <= MAX_KEY_BYTES)
        self._skip(len(named) - len(possible))
        return await self._goim("keys", Order(operation, body, keys=possible, parent=traceparent))

    async def push_members(self, operation: int, body: bytes, mids: Iterable[int], traceparent: str = "") -> int:
        """A push to every connection of some members, kept as inboxes are; its id. 0 is nobody and skipped."""
        named = dict.fromkeys(mids)
        possible = tuple(mid for mid in named if mid)
        self._skip(len(named) - len(possible))
        return await self._goim("members", Order(operation, body, mids=possible, parent=traceparent))

    async def push_room(self, operation: int, body: bytes, room: str, traceparent: str = "") -> int:
        """A push to the channels of a room, by its whole id, kept as its type is; its id."""
        return await self._goim("room", Order(operation, body, rooms=(room,), parent=traceparent))

    async def push_all(self, operation: int, body: bytes, speed: int = 0, traceparent: str = "") -> int:
        """A live push to every connection, ``speed`` of them a second over the whole cluster (0 = at once); its id."""
        return await self._goim("all", Order(operation, body, all=True, speed=speed, parent=traceparent))

    async def _goim(self, target: str, order: Order) -> int:
        work = self._take(order) if order.targets else self._take_for_nobody()
        return int((await self._counted([[target]], work))[0].id)

    async def _take_for_nobody(self) -> list[PushResult]:
        """goim's way: an order whose targets were all skipped is accepted."""
        return [PushResult(str(self._ids.make()), Result.ACCEPTED)]

    async def _take(self, order: Order) -> list[PushResult]:
        self._check(order)
        return await self._accept([order])

    def _check(self, order: Order) -> None:
        self._limits.check(order)
        order.check_keep(self._rules)

    def _skip(self, names: int) -> None:
        """Keys and members that nobody can be."""
        if names:
            self._metrics.drops.add(names, "logic", "impossible")

    async def _accept(self, orders: Sequence[Order]) -> list[PushResult]:
        at_ms = int(self._now() * 1000)
        shares = [self._shares(order, at_ms) for order in orders]
        answers = iter(await self._publish([share for each in shares for share in each]))
        receipts = [[next(answers) for _ in each] for each in shares]
        if self._tracing is not None:
            stored_at_ms = int(self._now() * 1000)
            for each, of_each in zip(shares, receipts, strict=True):
                self._tracing.published([push for _, push in each], of_each, stored_at_ms)
        return [_result_of(each) for each in receipts]

    def _shares(self, order: Order, at_ms: int) -> list[tuple[int, Push]]:
        id = self._ids.make()
        trace = self._tracing.traceparent(id, order) if self._tracing is not None else ""
        return order.shares(id, at_ms, self._partitions, self._rules, trace)

    async def _publish(self, shares: Sequence[tuple[int, Push]]) -> list[Receipt]:
        stored_bytes = sum([_stored_bytes(push) for _, push in shares])
        if stored_bytes > self._limits.stored_bytes:
            raise BodyTooLarge(
                f"bodies of {stored_bytes} bytes for all partitions, rooms and inboxes, at most "
                f"{self._limits.stored_bytes}: push to fewer at once"
            )
        return await self._offers.publish(shares)

    async def _counted(
        self, asked: Sequence[Sequence[str]], work: Coroutine[Any, Any, list[PushResult]]
    ) -> list[PushResult]:
        """Each push, by its targets, is counted as asked for, and once by what became of it, whatever becomes of ``work``."""
        amounts = Amounts(chain.from_iterable(asked))  # of each kind of target
        for target, amount in amounts.items():
            self._metrics.asked.add(amount, target)
        self._asks(amounts.total())
        outcome = "error"
        results: list[PushResult] = []
        try:
            results = await work
            return results
        except CancelledError:  # the deadline of its HTTP request has passed
            outcome = "cancelled"
            raise
        except ImdError as error:
            outcome = error.name
            raise
        finally:
            self._asks(-amounts.total())
            if results and not all(result.result is _ACCEPTED for result in results):  # seldom
                for targets, result in zip(asked, results, strict=True):
                    self._became(Amounts(targets), result.result.value)
            else:
                self._became(amounts, _ACCEPTED.value if results else outcome)

    def _became(self, amounts: Amounts[str], outcome: str) -> None:
        for target, amount in amounts.items():
            self._metrics.pushes.add(amount, target, outcome)

    def _asks(self, change: int) -> None:
        self._asking += change
        self._metrics.asking.set(self._asking)


def _stored_bytes(push: Push) -> int:
    """Its body in the broker, and in each of its timelines."""
    return len(push.body) * (1 + (max(1, len(push.mids)) if push.keep_count else 0))


def _result_of(receipts: Sequence[Receipt]) -> PushResult:
    """One answer for the shares of a push; its id is the earliest, which is what clients saw first."""
    if len(receipts) == 1 and not (receipts[0].repeated or receipts[0].conflict):  # nearly all
        places = receipts[0].places
        place = places[0] if len(places) == 1 else NOWHERE
        return PushResult(str(receipts[0].id), _ACCEPTED, place.seq, place.epoch)
    conflicts = [receipt.id for receipt in receipts if receipt.conflict]
    if conflicts:
        return PushResult(str(min(conflicts)), Result.CONFLICT)
    repeated = all(receipt.repeated for receipt in receipts)
    earliest = min(receipt.id for receipt in receipts)
    places = tuple([place for receipt in receipts for place in receipt.places])
    place = places[0] if len(places) == 1 else NOWHERE
    return PushResult(str(earliest), Result.REPEATED if repeated else Result.ACCEPTED, place.seq, place.epoch)
