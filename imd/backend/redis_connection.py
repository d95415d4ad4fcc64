"""One connection to a Redis: commands out, replies in the same order, each with a deadline."""

from collections import deque
from collections.abc import Callable
from math import inf
from typing import Any

import hiredis
import txredisapi
from OpenSSL.SSL import Error as TLSError
from service_identity import CertificateError, VerificationError
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHandshakeListener, ITCPTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from imd.alarm import Alarm
from imd.backend.redis_refusal import RedisRefusal
from imd.errors import DeadlineExceeded, Unavailable
from imd.interfaces import Clock

Argument = bytes | str | int  # a str goes out as UTF-8

Send = Callable[[Any, bytes], None]  # writes to a transport of Twisted's, in its own way

MAX_WAITING = 10_000  # calls under way on one connection; more than that only cost memory until their deadline


def buffered(transport: Any, data: bytes) -> None:
    """In the next turn, as Twisted does by itself."""
    transport.write(data)


@implementer(IHandshakeListener)
class RedisConnection(txredisapi.HiredisProtocol):  # type: ignore[misc]  # txredisapi has no types
    """txredisapi's protocol without its connecting: it neither authenticates, logs nor connects again by itself.

    Replies are bytes, ints, None, and lists of them. Everything is said by :meth:`call`; txredisapi's own commands know no
    deadlines, and their replies would be nobody's.
    """

    def __init__(
        self, *, label: str, clock: Clock, verify: Callable[[Any], None] | None, send: Send = buffered
    ) -> None:
        super().__init__(charset=None, convertNumbers=False)
        self.label = label  # which Redis, for errors
        self.run_id = ""  # of the server's process, 40 hex digits, once ready: after a restart or failover another
        self._clock = clock
        self._send = send
        self._verify = verify  # raises Unavailable for a peer that is not the right one; None without TLS
        self._ready = False  # commands may be sent; with TLS only after the peer was looked at
        self._open_waiter: Deferred[None] | None = None  # while the connector waits for that
        self._lost_waiters: list[Deferred[str]] = []
        self._deadlines: deque[float] = deque()  # of the calls under way, in order, on the clock
        self._alarm = Alarm(clock, self._expire)  # of the first
        self._seconds = 0.0  # that the call which was made last may take
        self.why_lost = ""  # words; empty while it lives

    # what Twisted calls

    def connectionMade(self) -> None:
        """With TLS nothing may be said before the peer is known."""
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
            self.transport.setTcpKeepAlive(True)
        if self._verify is None:
            self._be_ready()

    def handshakeCompleted(self) -> None:
        """TLS stands. Look again at whose certificate it is, before a password is sent."""
        assert self._verify is not None
        try:
            self._verify(self.transport.getHandle())
        except Unavailable as error:
            self.abort(str(error))
        else:
            self._be_ready()

    def dataReceived(self, data: bytes, unpause: bool = False) -> None:
        """Replies, cut anywhere."""
        if self.why_lost:  # they would be taken for those of later calls
            return
        try:
            super().dataReceived(data)
        except txredisapi.InvalidData:
            self.abort("the peer does not speak Redis' protocol")

    def connectionLost(self, reason: Failure) -> None:
        """Every call under way fails."""
        self.why_lost = self.why_lost or _words(reason)
        super().connectionLost(reason)
        self._alarm.stop()  # last: each that fails sets it for the next
        opening, self._open_waiter = self._open_waiter, None
        if opening is not None:
            opening.errback(self._gone())
        waiters, self._lost_waiters = self._lost_waiters, []
        for waiter in waiters:
            waiter.callback(self.why_lost)

    # what txredisapi calls

    def replyReceived(self, reply: Any) -> None:
        """The oldest call's; an error is an exception."""
        if not self._deadlines:
            self.abort("it answers what nobody asked")
            return
        self._deadlines.popleft()
        self._alarm.due(self._deadlines[0] if self._deadlines else inf)
        super().replyReceived(reply)

    def tryConvertData(self, data: Any) -> Any:
        """hiredis has made bytes, ints and lists of it: nothing is left to convert."""
        return data

    def _build_command(self, *arguments: Argument, **_: object) -> bytes:
        packed: bytes = hiredis.pack_command(arguments)  # type: ignore[arg-type]  # its stub takes tuples of one
        return packed

    # what links call

    async def opened(self) -> None:
        """Return once commands may be sent, TLS included. Raises :class:`imd.errors.Unavailable`."""
        if self.why_lost:
            raise self._gone()
        if not self._ready:
            self._open_waiter = Deferred()
            await self._open_waiter

    async def call(self, *arguments: Argument, seconds: float) -> Any:
        """One command and its reply.

        Raises :class:`RedisRefusal` for an error reply, :class:`imd.errors.DeadlineExceeded` after ``seconds`` (the connection
        is aborted then: a Redis that does not answer must not find a heap of old commands when it wakes up), and
        :class:`imd.errors.Unavailable` when the connection is or gets lost. Calls that are under way together have the same
        ``seconds``.
        """
        if self.why_lost:
            raise self._gone()
        if len(self._deadlines) >= MAX_WAITING:
            raise Unavailable(f"{self.label}: {MAX_WAITING} calls wait for their answers")
        self._send(self.transport, self._build_command(*arguments))
        deadline = self._clock.seconds() + seconds
        if not self._deadlines:
            self._alarm.due(deadline)
        self._deadlines.append(deadline)
        self._seconds = seconds
        reply = await self.replyQueue.get()
        if isinstance(reply, txredisapi.ResponseError):
            raise RedisRefusal(self.label, str(reply))
        if isinstance(reply, DeadlineExceeded):
            raise reply
        if isinstance(reply, txredisapi.ConnectionError):
            raise self._gone()
        return reply

    def _expire(self) -> None:
        """The first has waited too long."""
        words = f"no answer within {self._seconds:g} s"
        self.abort(words)
        self.replyReceived(DeadlineExceeded(f"{self.label}: {words}"))
        self._alarm.stop()  # those behind it end with the connection

    async def lost(self) -> str:
        """Return when it is gone: why, in words."""
        if self.why_lost and not self.connected:
            return self.why_lost
        waiter: Deferred[str] = Deferred()
        self._lost_waiters.append(waiter)
        try:
            return await waiter
        finally:
            if waiter in self._lost_waiters:
                self._lost_waiters.remove(waiter)

    def abort(self, why: str) -> None:
        """Cut it now. Calls under way fail."""
        if not self.why_lost:
            self.why_lost = why
            if self.transport is not None:
                self.transport.abortConnection()

    def _be_ready(self) -> None:
        self._ready = True
        opening, self._open_waiter = self._open_waiter, None
        if opening is not None:
            opening.callback(None)

    def _gone(self) -> Unavailable:
        return Unavailable(f"{self.label}: {self.why_lost}")


def _words(reason: Failure) -> str:
    if reason.check(ConnectionDone):
        return "it closed the connection"
    if reason.check(ConnectionLost, ConnectionAborted):
        return "the connection was lost"
    if reason.check(VerificationError, CertificateError):
        return "its certificate is for another name"
    if reason.check(TLSError):
        (causes,) = getattr(reason.value, "args", None) or ((),)
        return f"TLS failed: {', '.join(cause[-1] for cause in causes) or 'the peer hung up'}"
    return f"the connection was lost: {reason.getErrorMessage()}"
