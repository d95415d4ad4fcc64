"""One HTTP connection: limits on what it may send and how slowly, and the answers it gets.

Twisted parses; what is added here is what it leaves open: bodies are capped from what is announced and as they come (Twisted
spools them to disk without a limit), and a request that drips in has a deadline that dripping does not move.
"""

from collections.abc import Mapping
from enum import Enum, unique
from functools import cache
from http import HTTPStatus
from math import inf
from typing import Any, Protocol, cast
from urllib.parse import unquote_to_bytes

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import http

from imd.alarm import Alarm
from imd.errors import BodyTooLarge, ImdError, LineTooLong, Overloaded, RequestTooSlow, Unavailable
from imd.interfaces import Clock
from imd.transport.http_message import Request, Response
from imd.transport.stream import Stream

LINGER_SECONDS = 5.0  # how long a refused peer may still send; closing on unread bytes would take the answer with it
STOP_SECONDS = 3.0  # when the server stops: that a request has left to come in, and a peer to read its last answer
_INT_DIGITS = 4300  # what Python makes a number of
_STATUSES_WITHOUT_BODY = frozenset({204, 304})


class Server(Protocol):
    """What a channel needs of its site."""

    max_body_bytes: int
    receive_seconds: float
    idle_seconds: float
    answer_seconds: float

    def hold(self, size: int) -> bool:
        """Take ``size`` bytes of the memory for bodies (or give back, when negative). False: there is not enough left."""

    def opened(self, channel: "Channel") -> None: ...
    def closed(self, channel: "Channel") -> None: ...

    def stopping(self) -> bool:
        """Whether connections end with their next answer."""

    def next_request_id(self) -> str: ...

    async def respond(self, request: Request) -> Response:
        """The answer, whatever happens. Never raises but for cancellation."""

    def refusal(self, error: ImdError, target: str) -> Response:
        """The answer to a request that was not taken in whole. ``target`` as it was sent; empty when it never came."""


@unique
class State(Enum):
    """Where a connection stands."""

    IDLE = 1  # nothing of the next request has come
    RECEIVING = 2  # some of it has
    ANSWERING = 3  # all of it has
    UNREAD = 4  # it was answered, and the peer has still to read: what it sends meanwhile waits
    REFUSED = 5  # it was answered before it was complete: the rest is dropped, then the connection
    ENDING = 6  # it ends as soon as its last answer is out; it is cut when that takes too long


class Channel(http.HTTPChannel):
    """One connection. Requests are answered one after another; what is pipelined waits, bounded by Twisted."""

    MAX_LENGTH = 131_072  # of a line, and so of a query: 3,000 keys of 32 digits, which goim takes there
    totalHeadersSize = 163_840  # of the request line and the headers together
    maxHeaders = 100

    def __init__(self, site: Server, clock: Clock) -> None:
        super().__init__()
        # Twisted declares narrower types than it uses: any request factory, any number of seconds.
        self.requestFactory = Exchange  # type: ignore[assignment]  # see above
        self.timeOut = site.idle_seconds  # type: ignore[assignment]  # see above
        self.site = site
        self.state = State.IDLE
        self.clock = clock
        self._alarm = Alarm(clock, self._time_out)
        self._addresses: tuple[Any, Any] = (None, None)  # (the peer's, ours); Twisted asks the socket for each request

    def connectionMade(self) -> None:
        stream = cast(Stream, self.transport)
        self._addresses = (stream.getPeer(), stream.getHost())
        super().connectionMade()
        self.site.opened(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.site.closed(self)
        super().connectionLost(reason)
        self._alarm.stop()

    def getPeer(self) -> Any:
        return self._addresses[0]

    def getHost(self) -> Any:
        return self._addresses[1]

    def setTimeout(self, period: float | None) -> float | None:
        """Twisted's makes, moves or cancels a timer four times a request."""
        before, self.timeOut = self.timeOut, period  # type: ignore[assignment]  # as above
        self._alarm.due(inf if period is None else self.clock.seconds() + period)
        return before

    def _time_out(self) -> None:
        self.timeOut = None
        self.timeoutConnection()

    def resetTimeout(self) -> None:
        """Bytes came (Twisted calls this at every read): only the first of a request start its deadline."""
        if self.state is State.IDLE:
            self.state = State.RECEIVING
            self.setTimeout(self.site.receive_seconds)

    def lineLengthExceeded(self, line: bytes) -> None:
        """Twisted would hang up without a word."""
        if self.state is not State.REFUSED:
            self.refuse(LineTooLong(f"a line of more than {self.MAX_LENGTH} bytes"))

    def headerReceived(self, line: bytes) -> bool:
        """Twisted makes a number of any digits; Python refuses to beyond some."""
        if len(line) > _INT_DIGITS and line.lower().startswith(b"content-length:"):
            line = b"Content-Length: -"  # no number, which it answers as any other
        return bool(super().headerReceived(line))

    def allHeadersReceived(self) -> None:
        limit = self.site.max_body_bytes
        if self.length is not None and self.length > limit:  # None: chunked, counted as it comes
            self.refuse(BodyTooLarge(f"a body of {self.length} bytes, at most {limit}"))
        else:
            super().allHeadersReceived()

    def allContentReceived(self) -> None:
        if self.state is not State.REFUSED:
            self.state = State.ANSWERING
            super().allContentReceived()

    def pauseProducing(self) -> None:
        """Not all that was written has left. Twisted goes on reading while it answers: who pipelines and does not read would be
        answered until the memory is full."""
        super().pauseProducing()
        self._networkProducer.pauseProducing()

    def resumeProducing(self) -> None:
        """All of it has."""
        super().resumeProducing()
        if self.state is State.UNREAD:
            self.requestDone(self.requests[0])

    def requestDone(self, request: http.Request) -> None:
        if self._waitingForTransport and self.persistent:
            self.state = State.UNREAD
            self.setTimeout(STOP_SECONDS if self.site.stopping() else self.site.idle_seconds)
            return
        self.state = State.IDLE
        if self.site.stopping():
            self.persistent = 0
        super().requestDone(request)  # may begin the next one, if it was pipelined
        if self.state is State.IDLE:
            if not self.persistent:
                self.state = State.ENDING
            self.setTimeout(STOP_SECONDS if self.site.stopping() else self.site.idle_seconds)

    def stop(self) -> None:
        """The site stops: what has come in is answered, what is coming in has to hurry, and so has who reads an answer."""
        if self.state is State.IDLE:
            self._end(STOP_SECONDS)
        elif self.state in (State.UNREAD, State.ENDING):
            self.setTimeout(STOP_SECONDS)
        elif self.state is State.RECEIVING:
            self.setTimeout(min(STOP_SECONDS, self.site.receive_seconds))

    def timeoutConnection(self) -> None:
        """Twisted would write a log line for each connection that ends like this."""
        if self.state is State.ANSWERING:
            self.requests[0].give_up()
        elif self.state is State.RECEIVING and self.site.stopping():
            self.refuse(Unavailable("this server is stopping; the request had not come in whole"))
        elif self.state is State.RECEIVING:
            seconds = self.site.receive_seconds
            self.refuse(RequestTooSlow(f"the request was not complete after {seconds:g} s"))
        elif self.state in (State.UNREAD, State.ENDING):  # its peer does not read
            self.cut()
        else:
            self._end(LINGER_SECONDS)

    def cut(self) -> None:
        """Hang up now, whatever was not sent."""
        cast(Stream, self.transport).abortConnection()

    def _end(self, seconds: float) -> None:
        """Hang up once everything is sent, and after ``seconds`` at the latest."""
        self.state = State.ENDING
        self.loseConnection()
        self.setTimeout(seconds)

    def refuse(self, error: ImdError) -> None:
        """Answer a request that is not complete, and end: what still comes is dropped for a while."""
        self.state = State.REFUSED
        self.lineReceived = self.rawDataReceived = _drop  # type: ignore[method-assign]  # not asked for every line
        # Twisted's own, and only there while a request comes in; without it the answer has the usual shape.
        target: bytes = getattr(self, "_path", b"")
        self.write(_message(self.site.refusal(error, target.decode("latin-1")), last=True))
        self.setTimeout(LINGER_SECONDS)
        for exchange in self.requests:
            exchange.release()


class Exchange(http.Request):
    """One request as it comes in, and its way to the site and back."""

    log = Logger()

    def __init__(self, channel: Channel, queued: object = False) -> None:
        super().__init__(channel)
        self._site = channel.site
        self._connection = channel  # ``channel`` itself is Twisted's, and gone when the answer is out
        self._body = bytearray()  # what has come; emptied when it is handed on
        self._held_bytes = 0  # of the site's memory for bodies
        self._lost = False  # nobody is there to read an answer
        self._serving: Deferred[None]  # from when all of it has come

    def gotLength(self, length: int | None) -> None:
        """The channel has judged it; the body stays in memory, which the site bounds."""

    def handleContentChunk(self, data: bytes) -> None:
        if self._connection.state is State.REFUSED:
            return
        limit = self._site.max_body_bytes
        if len(self._body) + len(data) > limit:
            self._connection.refuse(BodyTooLarge(f"a body of more than {limit} bytes"))
        elif not self._site.hold(len(data)):
            self._connection.refuse(Overloaded("too many requests are being received"))
        else:
            self._held_bytes += len(data)
            self._body += data

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        self.method, self.uri, self.clientproto = command, path, version
        self._connection.setTimeout(self._site.answer_seconds)
        self._serving = Deferred.fromCoroutine(self._serve()).addErrback(self._failed)

    def give_up(self) -> None:
        """The time for an answer is over: what it waits for is cancelled, and the site has an answer for that."""
        self._serving.cancel()

    def connectionLost(self, reason: Failure) -> None:
        """What is under way goes on: a push that was begun has an outcome, even if nobody hears it."""
        self._lost = True
        self.release()
        super().connectionLost(reason)
        if self._connection.state is State.ANSWERING:
            timer = self._connection.clock.callLater(self._site.answer_seconds, self.give_up)
            self._serving.addBoth(lambda _: timer.cancel() if timer.active() else None)

    def release(self) -> None:
        """Give the memory of the body back, once."""
        self._site.hold(-self._held_bytes)
        self._held_bytes = 0
        self._body = bytearray()

    async def _serve(self) -> None:
        try:
            response = await self._site.respond(self._request())
        finally:
            self.release()
        if not self._lost:
            self._send(response)

    def _request(self) -> Request:
        path, query = split_target(self.uri.decode("latin-1"))
        return Request(
            id=self._site.next_request_id(),
            method=self.method.decode("latin-1"),
            path=path,
            query=query,
            headers=_headers(self.requestHeaders),
            body=bytes(self._body),
            address=_host(self._connection.getPeer()),
            local_address=_host(self._connection.getHost()),
        )

    def _send(self, response: Response) -> None:
        """In one piece, which the transport can send at once; Twisted would make some twenty of it."""
        last = not self._connection.persistent or self._site.stopping()
        self.startedWriting = 1
        self._connection.write(_message(response, last=last, with_body=self.method != b"HEAD"))
        self.finish()

    def _failed(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self.log.failure("An answer could not be sent", failure=failure)
        if not self._lost:
            self._connection.cut()


def split_target(target: str) -> tuple[str, str]:
    """(decoded path, raw query) of a request's target."""
    if target.startswith(("http://", "https://")):  # the absolute form, which RFC 9112 section 3.2.2 wants understood
        target = "/" + target.split("://", 1)[1].partition("/")[2]
    path, _, query = target.partition("?")
    return unquote_to_bytes(path.encode("latin-1")).decode("utf-8", "replace"), query


def _headers(raw: Any) -> Mapping[str, str]:
    return {name.decode("latin-1").lower(): values[0].decode("latin-1") for name, values in raw.getAllRawHeaders()}


def _host(address: Any) -> str:
    """The IP of a Twisted address; unix sockets have none."""
    return getattr(address, "host", "")


def _drop(data: bytes) -> None:
    """What still comes of a request that was refused."""


def _message(response: Response, *, last: bool, with_body: bool = True) -> bytes:
    """An answer as it is sent; the connection ends after the ``last`` one. Its headers are ours: no peer has a say in them."""
    head = [_status_line(response.status)]
    head += [f"{name}: {value}\r\n" for name, value in response.headers]
    if response.content_type:
        head.append(f"Content-Type: {response.content_type}\r\n")
    if response.status not in _STATUSES_WITHOUT_BODY:
        head.append(f"Content-Length: {len(response.body)}\r\n")
    head.append(
        "X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
        if last
        else "X-Content-Type-Options: nosniff\r\n\r\n"
    )
    return "".join(head).encode("latin-1") + (response.body if with_body else b"")


@cache
def _status_line(status: int) -> str:
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
