"""Appending to a partition in Redis: one call under way, which takes along whatever has gathered."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence

import msgspec
from twisted.internet.defer import CancelledError, Deferred

from imd.backend.publication import count_answered, count_refused, count_unknown
from imd.backend.redis_connection import Argument
from imd.backend.redis_partitions import RedisPartitions
from imd.backend.redis_role import RedisRole
from imd.backend.redis_script import RedisScript
from imd.interfaces import Receipt
from imd.metrics import Metrics
from imd.protocol.push import Push, dump, fingerprint
from imd.protocol.timeline import Place
from imd.protocol.timeline import dump as dump_message

CHUNK = 1000  # pushes, and appends to timelines, a call: up to 6 ms, in which Redis does nothing else

_decode_places = msgspec.msgpack.Decoder().decode


class _Share:
    """What one caller wants appended, until all of it is known."""

    __slots__ = ("answer", "error", "left", "receipts")

    def __init__(self, pieces: int) -> None:
        self.left = pieces  # whose outcome is not known
        self.receipts: list[Receipt] = []  # in the order of its pushes
        self.error: Exception | None = None  # what is not on its way then will not be asked for
        self.answer: Deferred[list[Receipt]] = Deferred(self._cancel)

    def settle(self) -> None:
        """A piece has its outcome. The answer is one when all have, so that nothing goes on behind the caller's back."""
        self.left -= 1
        if self.left:
            return
        if self.error is None:
            self.answer.callback(self.receipts)
        elif not isinstance(self.error, CancelledError):  # else the caller has gone
            self.answer.errback(self.error)

    def _cancel(self, _answer: object) -> None:
        self.error = CancelledError()


class _Piece:
    """As much of a share as one call may have; nearly always all of it."""

    __slots__ = ("appends", "pushes", "share")

    def __init__(self, pushes: Sequence[Push], appends: int) -> None:
        self.pushes = pushes
        self.appends = appends  # to timelines
        self.share: _Share


class RedisAppender:
    """Of one partition. Shares are stored in the order they came, each in one step if one call may have it.

    While a call is under way shares gather, and leave together in the next: under load a call costs little more for many
    pushes than for one. Nothing ever waits for company. A call that fails fails for all that were in it; those behind are asked
    for nevertheless.
    """

    __slots__ = (
        "_busy",
        "_calling",
        "_idempotency_ms",
        "_length_seen",
        "_metrics",
        "_partition",
        "_role",
        "_running",
        "_script",
        "_store",
        "_waiting",
    )

    def __init__(
        self,
        *,
        store: RedisPartitions,
        role: RedisRole,
        script: RedisScript,
        partition: int,
        idempotency_ms: int,
        metrics: Metrics,
        length_seen: Callable[[int, int], None],
    ) -> None:
        self._store = store
        self._role = role
        self._script = script  # ``publish``
        self._partition = partition
        self._idempotency_ms = idempotency_ms
        self._metrics = metrics
        self._length_seen = length_seen  # told the partition and how many entries it holds
        self._waiting: deque[_Piece] = deque()  # bounded by who waits for the answers: HTTP and RPC bound those
        self._calling: list[_Piece] = []  # what is on its way to Redis
        self._busy = False  # a call is under way
        self._running: Deferred[None] | None = None  # that; None before the first

    def append(self, pushes: Sequence[Push]) -> Deferred[list[Receipt]]:
        """Their receipts, in their order. Fails as :meth:`imd.interfaces.Broker.publish` does.

        Cancelled, it stores nothing more of them; what is on its way to Redis may be stored, and is counted when that is known.
        """
        pieces = list(_pieces(pushes))
        share = _Share(len(pieces))
        for piece in pieces:
            piece.share = share
        self._waiting += pieces
        if not self._busy:
            self._busy = True
            self._running = Deferred.fromCoroutine(self._run())
        return share.answer

    @property
    def pending(self) -> int:
        """Pushes that are not counted yet: what waits, and what is on its way, whether anybody still asks for it or not."""
        return sum(len(piece.pushes) for pieces in (self._waiting, self._calling) for piece in pieces)

    async def _run(self) -> None:
        try:
            while self._waiting:
                self._take()
                if self._calling:
                    await self._append(self._calling)
        finally:
            self._busy = False

    def _take(self) -> None:
        """What goes in the next call: whole pieces, in order."""
        page = self._calling
        pushes = appends = 0
        while self._waiting:
            piece = self._waiting[0]
            pushes += len(piece.pushes)
            appends += piece.appends
            if page and (pushes > CHUNK or appends > CHUNK):
                break
            self._waiting.popleft()
            if piece.share.error is None:
                page.append(piece)
                continue
            count_refused(self._metrics, len(piece.pushes), piece.share.error)  # it was not asked for
            piece.share.settle()

    async def _append(self, page: list[_Piece]) -> None:
        pushes = [push for piece in page for push in piece.pushes]
        try:
            receipts = await self._call(pushes)
        except Exception as error:  # whatever it was, of these nobody knows
            count_unknown(self._metrics, len(pushes))
            for piece in page:
                piece.share.error = piece.share.error or error
        else:
            count_answered(self._metrics, pushes, receipts)
            start = 0
            for piece in page:
                piece.share.receipts += receipts[start : start + len(piece.pushes)]
                start += len(piece.pushes)
        self._calling = []
        for piece in page:
            piece.share.settle()

    async def _call(self, pushes: Sequence[Push]) -> list[Receipt]:
        arguments: list[Argument] = [self._idempotency_ms]
        for push in pushes:
            timelines = push.timelines
            mark = _mark(push) if push.idempotency_key else b""
            arguments += push.idempotency_key, mark, dump(push), len(timelines)
            if timelines:
                message = dump_message(push.id, push.at_ms, push.operation, push.body)
                arguments += message, push.keep_count, push.keep_ms, *timelines
        length, places, earlier = await self._store.run(
            self._role, "publish", self._script, self._partition, arguments, in_order=True
        )
        self._length_seen(self._partition, length)
        receipts = [
            Receipt(push.id, False, False, places_of(packed)) for push, packed in zip(pushes, places, strict=True)
        ]
        for turn, mark in zip(earlier[::2], earlier[1::2], strict=True):
            receipts[turn - 1] = _earlier(pushes[turn - 1], mark)
        return receipts


def places_of(packed: bytes) -> tuple[Place, ...]:
    """As ``lua/publish.lua`` packs them. Raises :class:`msgspec.DecodeError`."""
    if not packed:
        return ()
    try:
        epoch, *pairs = _decode_places(packed)
        if len(pairs) == 2:  # nearly all
            return (Place(pairs[0], f"{epoch}-{pairs[1]}"),)
        return tuple([Place(seq, f"{epoch}-{number}") for seq, number in zip(pairs[::2], pairs[1::2], strict=True)])
    except (TypeError, ValueError):
        raise msgspec.DecodeError("no places") from None


def _pieces(pushes: Sequence[Push]) -> Iterator[_Piece]:
    """Of at most ``CHUNK`` pushes, and appends to timelines; a push that has more goes alone, for it is stored in one step."""
    each = [max(1, len(push.mids)) if push.keep_count else 0 for push in pushes]
    total = sum(each)
    if len(pushes) <= CHUNK and total <= CHUNK:  # nearly all
        yield _Piece(pushes, total)
        return
    start = appends = 0
    for stop, coming in enumerate(each):
        if stop > start and (stop - start == CHUNK or appends + coming > CHUNK):
            yield _Piece(pushes[start:stop], appends)
            start, appends = stop, 0
        appends += coming
    yield _Piece(pushes[start:], appends)


def _mark(push: Push) -> bytes:
    """What an idempotency key stands for: the push's id, and what it asks. The script adds a colon and its places."""
    return b"%d:%s" % (push.id, fingerprint(push).hex().encode())


def _earlier(push: Push, mark: bytes) -> Receipt:
    id, asked, places = mark.split(b":", 2)
    if asked.decode() == fingerprint(push).hex():
        return Receipt(int(id), repeated=True, places=places_of(places))
    return Receipt(int(id), conflict=True)
