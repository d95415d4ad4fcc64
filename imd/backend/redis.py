"""The link of this process to a Redis: a few connections that come back by themselves."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from random import random
from typing import Any

from twisted.application.internet import backoffPolicy
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.defer import TimeoutError as WaitedTooLong
from twisted.internet.task import deferLater
from twisted.logger import Logger

from imd.backend.redis_connection import Argument, RedisConnection, Send, buffered
from imd.backend.redis_connector import RedisConnector
from imd.backend.redis_refusal import RedisRefusal
from imd.backend.redis_script import RedisScript
from imd.backend.redis_settings import RedisSettings
from imd.errors import Unavailable

RETRY_SECONDS = (0.1, 3.0)  # after the first failure, and at most; plus up to JITTER_SECONDS
JITTER_SECONDS = 0.2
FIRST_WAIT_SECONDS = 1.0  # how long open() waits for its connections, so that a start beside a Redis begins ready


class RedisLink:
    """Calls share ``settings.connections`` connections, each of which is made again, with a growing pause, when it is lost.

    Calls raise :class:`imd.errors.Unavailable`: at once while no connection is there, after ``settings.timeout_seconds``
    when Redis does not answer (:class:`imd.errors.DeadlineExceeded`), and as :class:`RedisRefusal` when it answers an
    error. Whether the call was done is known only for a refusal and for a link that was away. Nothing is sent twice.

    Not a ClientService: that would say each attempt in the log; here each change of state is one line.
    """

    def __init__(self, *, settings: RedisSettings, reactor: Any, send: Send = buffered) -> None:
        self._settings = settings
        self._reactor = reactor  # connections, timers and name resolution
        self._connector = RedisConnector(settings=settings, reactor=reactor, send=send)
        self._connections: list[RedisConnection] = []  # ready for calls
        self._blocking: set[RedisConnection] = set()  # each is somebody's own
        self._wanted = False  # from open() to close()
        self._keepers: list[Deferred[None]] = []  # one a connection that should be
        self._turns = count()
        self._delay = backoffPolicy(*RETRY_SECONDS, jitter=lambda: random() * JITTER_SECONDS)  # noqa: S311  # no secret
        self._why_away = f"{settings.label}: not opened"  # words for errors while no connection is ready
        self._told_away: set[str] = set()  # the reasons that were logged since it was there last
        self._attempts_due = 0  # connections that open() waits for
        self._first_news: Deferred[None] | None = None  # fires when they are none; None when nobody waits
        self._run_id = ""  # of the server that was reached last
        self._listeners: dict[object, Callable[[], None]] = {}
        self._log = Logger()

    @property
    def timeout_seconds(self) -> float:
        """How long a call may take; whoever blocks adds its own waiting."""
        return self._settings.timeout_seconds

    # a Resource

    async def open(self) -> None:
        """See :class:`imd.interfaces.Resource`. Returns when every first attempt is over, at the latest after a second."""
        assert not self._wanted, "opened twice"
        self._wanted = True
        self._why_away = f"{self._settings.label}: still connecting"
        news: Deferred[None] = Deferred()
        self._first_news = news
        self._attempts_due = self._settings.connections
        for _ in range(self._settings.connections):
            keeper = Deferred.fromCoroutine(self._keep())
            keeper.addErrback(self._keeper_ended)
            self._keepers.append(keeper)
        news.addTimeout(FIRST_WAIT_SECONDS, self._reactor)
        try:
            await news
        except WaitedTooLong:
            if not self._connections:
                self._say_away(f"{self._settings.label}: no answer yet")
        finally:
            self._first_news = None

    async def close(self) -> None:
        """See :class:`imd.interfaces.Resource`. Calls under way get their answer, if it comes within the timeout."""
        self._wanted = False
        keepers, self._keepers = self._keepers, []
        connections, self._connections = self._connections, []
        self._why_away = f"{self._settings.label}: closed"
        for connection in list(self._blocking):
            connection.abort("closed")
        await _all([Deferred.fromCoroutine(self._let_go(connection)) for connection in connections])
        for keeper in keepers:
            keeper.cancel()
        await _all([Deferred.fromCoroutine(connection.lost()) for connection in self._blocking])

    def trouble(self) -> str | None:
        """None while a connection is ready; else why there is none."""
        return None if self._connections else self._why_away

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call ``listener`` whenever another run of Redis than the last one has been reached: it was restarted, or is another
        server now. Answers a function that ends it."""
        token = object()
        self._listeners[token] = listener
        return lambda: self._listeners.pop(token, None) and None

    # calls

    async def call(self, *arguments: Argument) -> Any:
        """One command and its reply: bytes, an int, None, or a list of them."""
        return await self._ask(self._pick(), *arguments)

    async def run(
        self,
        script: RedisScript,
        keys: Sequence[str],
        arguments: Sequence[Argument],
        lane: int | None = None,
        *,
        tell_run: bool = False,
    ) -> Any:
        """A script and what it returns. Redis gets the text only when it does not know the digest (yet, or any more).

        Calls of one ``lane`` share a connection while all stand, so Redis meets them in the order in which they were made.
        With ``tell_run`` the run id of the server that it goes to comes before the arguments.
        """
        connection = self._pick(lane)
        if tell_run:
            arguments = (connection.run_id, *arguments)
        try:
            return await self._ask(connection, "EVALSHA", script.digest, len(keys), *keys, *arguments)
        except RedisRefusal as refusal:
            if refusal.word != "NOSCRIPT":
                raise
        return await self._ask(connection, "EVAL", script.text, len(keys), *keys, *arguments)

    async def connect(self) -> RedisConnection:
        """A connection of the caller's own, for calls that block. It is not made again; :meth:`close` cuts it."""
        self._pick()
        connection = await self._connector.connect()
        if not self._wanted:  # closed meanwhile
            connection.abort("closed")
            raise Unavailable(self._why_away)
        self._blocking.add(connection)
        forget = Deferred.fromCoroutine(connection.lost())
        forget.addCallback(lambda _: self._blocking.discard(connection))
        return connection

    def _pick(self, lane: int | None = None) -> RedisConnection:
        if not self._connections:
            raise Unavailable(self._why_away)
        turn = next(self._turns) if lane is None else lane
        return self._connections[turn % len(self._connections)]

    async def _ask(self, connection: RedisConnection, *arguments: Argument) -> Any:
        try:
            return await connection.call(*arguments, seconds=self._settings.timeout_seconds)
        except RedisRefusal as refusal:
            if refusal.word == "READONLY":
                # It was the master, and no longer is: another connection, by name or by Sentinel, finds the new one.
                self._lose(connection, str(refusal))
            raise
        finally:
            if connection.why_lost:
                self._lose(connection, f"{connection.label}: {connection.why_lost}")

    # connections

    async def _keep(self) -> None:
        """Have one connection, again and again."""
        failures = 0
        while self._wanted:
            try:
                connection = await self._connector.connect()
            except Unavailable as error:
                failures += 1
                self._failed(error)
            except CancelledError:
                raise
            except Exception as error:  # it answers nonsense, or a bug of ours: neither may end the trying
                failures += 1
                self._log.failure("connecting to {redis} failed", redis=self._settings.label)
                self._failed(Unavailable(f"{self._settings.label}: {type(error).__name__} while connecting"))
            else:
                failures = 0
                self._gained(connection)
                try:
                    reason = await connection.lost()
                finally:
                    if not connection.why_lost:  # this keeper is being cancelled
                        connection.abort("closed")
                self._lose(connection, f"{connection.label}: {reason}")
            if self._wanted:  # whoever heard of the failure may have closed the link at once
                await deferLater(self._reactor, self._delay(failures))

    def _gained(self, connection: RedisConnection) -> None:
        self._connections.append(connection)
        if len(self._connections) == 1:
            self._told_away.clear()
            self._log.info("{redis}: connected", redis=self._settings.label)
        if connection.run_id != self._run_id:
            self._run_id = connection.run_id
            for listener in list(self._listeners.values()):
                listener()
        self._attempt_over()

    def _lose(self, connection: RedisConnection, why: str) -> None:
        connection.abort(why)
        if connection in self._connections:
            self._connections.remove(connection)
            if not self._connections:
                self._say_away(why)

    def _failed(self, error: Unavailable) -> None:
        if not self._connections:
            # A refusal (a wrong password, say) is worth its own line: whoever waits for a return would wait in vain.
            operators_turn = isinstance(error, RedisRefusal) and error.word != "LOADING"
            self._say_away(str(error), again=operators_turn)
        self._attempt_over()

    def _say_away(self, why: str, *, again: bool = False) -> None:
        self._why_away = why
        if not self._told_away or (again and why not in self._told_away):
            self._told_away.add(why)
            self._log.warn("{reason}; trying again", reason=why)

    def _attempt_over(self) -> None:
        self._attempts_due -= 1
        if self._first_news is not None and self._attempts_due == 0:
            news, self._first_news = self._first_news, None
            news.callback(None)

    def _keeper_ended(self, failure: Any) -> None:
        if not failure.check(CancelledError):
            self._log.failure("a keeper of {redis} ended", failure, redis=self._settings.label)

    async def _let_go(self, connection: RedisConnection) -> None:
        """Replies come in order: once this PING has its own, every call before it has."""
        with suppress(Unavailable):  # then there is nothing left to wait for
            await connection.call("PING", seconds=self._settings.timeout_seconds)
        connection.abort("closed")
        await connection.lost()


async def _all(work: list[Deferred[Any]]) -> None:
    if work:
        await DeferredList(work)
