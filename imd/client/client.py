"""A client: one connection to imd, as a program wants it."""

from collections import deque
from collections.abc import AsyncIterator, Callable, Collection
from typing import ClassVar, Protocol

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from imd.client.core import Answered, ClientCore, Event, Pushed
from imd.errors import AuthRefused, CloseReason, DeadlineExceeded, ImdError, PeerUnavailable, ProtocolError
from imd.interfaces import Clock, Timer
from imd.protocol.operation import Operation

ANSWER_SECONDS = 10.0  # that a request waits, unless told otherwise
HEARTBEAT_SECONDS = 240.0  # the server's default; ``/goim/nodes/weighted`` says what it is
CLOSE_SECONDS = 5.0  # that the server has to let go of a connection which we closed
MAX_QUEUED_PUSHES = 1000  # that nobody has taken yet; then reading stops, and the server sees a slow client

_log = Logger()


class Link(Protocol):
    """What a client needs of its transport, which calls ``received`` and, once, ``lost``."""

    def send(self, packet: bytes) -> None: ...  # dropped when the server has hung up and ``lost`` is yet to come
    def close(self) -> None: ...  # what was sent may still leave
    def abort(self) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


class Client:
    """One connection. Requests are awaited; pushes go to ``on_push``, or to whoever iterates over :meth:`pushes`.

    A request raises :class:`DeadlineExceeded` without an answer in time, :class:`PeerUnavailable` when the connection is
    gone, :class:`AuthRefused` when it ended because of the credentials (only WebSocket says so).
    """

    VERSION: ClassVar = 1  # of the wire

    def __init__(
        self,
        *,
        link: Link,
        clock: Clock,
        framed: bool,
        on_push: Callable[[Pushed], None] | None = None,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._link = link
        self._clock = clock
        self._core = ClientCore(framed=framed, version=self.VERSION)
        self._on_push = on_push  # None = pushes are queued
        self._answer_seconds = answer_seconds
        self._waiting: dict[int, Deferred[bytes]] = {}  # sequence -> whoever awaits the answer
        self._pushes: deque[Pushed] = deque()  # at most MAX_QUEUED_PUSHES and what one read brought
        self._reader: Deferred[None] | None = None  # whoever awaits the next push
        self._paused = False  # reading, because of the queue
        self._beat: Timer | None = None  # the next heartbeat
        self._abort: Timer | None = None  # None until we hung up
        self._beating: Deferred[None] | None = None  # the one under way
        self._end: ImdError | None = None  # why the connection is gone; None while it is not
        self._closing = False  # by us
        self._lost = False  # the transport has said so
        self._enders: list[Deferred[None]] = []  # whoever awaits the end

    # --- requests

    async def authenticate(
        self,
        *,
        mid: int = 0,
        key: str = "",
        room: str = "",
        platform: str = "",
        accepts: Collection[int] = (),
        token: str = "",
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        """Say who we are; everything else comes after it. From then on heartbeats are sent by themselves."""
        body = {"mid": mid, "key": key, "room_id": room, "platform": platform, "accepts": list(accepts)}
        if token:
            body["token"] = token
        await self.request(Operation.AUTH, msgspec.json.encode(body))
        self._keep_beating(heartbeat_seconds)

    async def heartbeat(self) -> int:
        """Still here. Answers how many are in our room, over the whole cluster."""
        return int.from_bytes(await self.request(Operation.HEARTBEAT), signed=True)

    async def change_room(self, room: str) -> None:
        """Be in this room, and in no other; empty leaves."""
        await self.request(Operation.CHANGE_ROOM, room.encode())

    async def subscribe(self, operations: Collection[int]) -> None:
        """Accept pushes with these operations, too."""
        await self.request(Operation.SUB, _decimals(operations))

    async def unsubscribe(self, operations: Collection[int]) -> None:
        """No longer accept pushes with these operations."""
        await self.request(Operation.UNSUB, _decimals(operations))

    async def send(self, body: bytes, operation: int = Operation.SEND) -> None:
        """Hand ``body`` to the server's receive hook."""
        await self.request(operation, body)

    async def request(self, operation: int, body: bytes = b"") -> bytes:
        """Send any packet; the body of its answer."""
        if self._end is not None:
            raise self._end
        sequence, packet = self._core.request(operation, body)
        answer: Deferred[bytes] = Deferred()
        self._waiting[sequence] = answer
        timer = self._clock.callLater(self._answer_seconds, self._overdue, sequence)
        self._link.send(packet)
        try:
            return await answer
        except CancelledError:
            self._waiting.pop(sequence, None)
            self._core.forget(sequence)
            raise
        finally:
            if timer.active():
                timer.cancel()

    def _overdue(self, sequence: int) -> None:
        self._core.forget(sequence)
        waiting = self._waiting.pop(sequence, None)
        if waiting is not None:
            waiting.errback(DeadlineExceeded(f"no answer within {self._answer_seconds} seconds"))

    def _keep_beating(self, seconds: float) -> None:
        self._beat = self._clock.callLater(seconds, self._heartbeat_due, seconds)

    def _heartbeat_due(self, seconds: float) -> None:
        self._keep_beating(seconds)
        if self._beating is None:
            self._beating = Deferred.fromCoroutine(self._keep_alive())

    async def _keep_alive(self) -> None:
        try:
            await self.heartbeat()
        except ImdError as error:
            # while we do not read, a missing answer says nothing of the server; after the end nobody waits for one
            if not self._paused and self._end is None:
                _log.warn("The heartbeat failed: {error}", error=str(error))
                self._hang_up()
        finally:
            self._beating = None

    # --- pushes

    async def pushes(self) -> AsyncIterator[Pushed]:
        """Every push in order, until the connection ends; then its :class:`ImdError`, unless we closed it ourselves.

        One reader at a time. While nobody reads, ``MAX_QUEUED_PUSHES`` are kept; then the connection is not read at all,
        answers included.
        """
        while True:
            while self._pushes:
                push = self._pushes.popleft()
                self._breathe()
                yield push
            if self._end is not None:
                if self._closing:
                    return
                raise self._end
            self._reader = Deferred()
            await self._reader

    def _breathe(self) -> None:
        """Stop reading while the queue is full, go on when it is half empty."""
        if not self._paused and len(self._pushes) >= MAX_QUEUED_PUSHES:
            self._paused = True
            self._link.pause_reading()
        elif self._paused and len(self._pushes) <= MAX_QUEUED_PUSHES // 2:
            self._paused = False
            self._link.resume_reading()

    def _pushed(self, push: Pushed) -> None:
        if self._on_push is not None:
            self._on_push(push)
            return
        self._pushes.append(push)
        self._breathe()
        self._wake_reader()

    def _wake_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None and not reader.called:
            reader.callback(None)

    # --- the end

    async def close(self) -> None:
        """Hang up; returns when the connection is gone."""
        if self._end is None:
            self._closing = True
            self._finish(PeerUnavailable("closed by this client"))
            self._hang_up()
        await self.closed()

    async def closed(self) -> None:
        """Returns when the connection is gone, whoever ended it."""
        if self._lost:
            return
        ender: Deferred[None] = Deferred()
        self._enders.append(ender)
        await ender

    @property
    def trouble(self) -> ImdError | None:
        """Why the connection is gone; None while it is not."""
        return self._end

    def _hang_up(self) -> None:
        if self._abort is None and not self._lost:
            self._abort = self._clock.callLater(CLOSE_SECONDS, self._link.abort)
            self._link.close()

    def _finish(self, end: ImdError) -> None:
        self._end = end
        if self._beat is not None:
            self._beat.cancel()
            self._beat = None
        waiting, self._waiting = self._waiting, {}
        for answer in waiting.values():
            answer.errback(end)
        self._wake_reader()

    # --- what the transport says

    def received(self, data: bytes) -> None:
        """A part of the stream (TCP), or one whole message (WebSocket). After the end it is dropped."""
        if self._end is not None:
            return
        try:
            for event in self._core.receive(data):
                self._happened(event)
        except ProtocolError as error:
            self._break_off(error)

    def _happened(self, event: Event) -> None:
        """One of the things that the server said."""
        if isinstance(event, Pushed):
            self._pushed(event)
        elif isinstance(event, Answered):
            answer = self._waiting.pop(event.sequence, None)
            if answer is not None:
                answer.callback(event.body)

    def _break_off(self, why: ImdError) -> None:
        """End it for a reason of ours."""
        if self._end is None:
            self._finish(why)
            self._hang_up()

    def lost(self, code: int = 0, words: str = "") -> None:
        """The connection is gone: the code of a WebSocket close frame if there was one, and what is known about it."""
        self._lost = True
        if self._abort is not None and self._abort.active():
            self._abort.cancel()
        if self._end is None:
            self._finish(self._why(code, words))
        enders, self._enders = self._enders, []
        for ender in enders:
            ender.callback(None)

    def _why(self, code: int, words: str) -> ImdError:
        """What its end by the server, or by the network, means to whoever waits."""
        kind = AuthRefused if code == CloseReason.AUTH_REFUSED.code else PeerUnavailable
        return kind(f"the connection ended: {words}" if words else "the connection ended")


def _decimals(operations: Collection[int]) -> bytes:
    return ",".join(map(str, operations)).encode()
