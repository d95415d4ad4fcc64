"""Work: the coroutines that are under way."""

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from imd.interfaces import Clock, Timer


class Work:
    """Starts coroutines and keeps them until they end: none is lost, none fails unheard."""

    _log = Logger()

    __slots__ = ("_clock", "_idle", "_over", "_running")

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._running: set[Deferred[None]] = set()
        self._over = False  # the last were cancelled: nothing starts any more
        self._idle: Deferred[None] | None = None  # who waits in drain; None = nobody

    def __len__(self) -> int:
        return len(self._running)

    def start(self, coroutine: Coroutine[Deferred[Any], Any, None]) -> None:
        """Begin now. An error that the coroutine lets through is a bug: it is logged."""
        if self._over:
            coroutine.close()
            return
        deferred = Deferred.fromCoroutine(self._logged(coroutine))
        self._running.add(deferred)
        deferred.addBoth(self._ended, deferred)

    async def pause(self, seconds: float) -> None:
        """Return ``seconds`` later."""
        waiting: Deferred[None] = Deferred()
        timer = self._clock.callLater(seconds, waiting.callback, None)
        try:
            await waiting
        finally:
            if timer.active():
                timer.cancel()

    async def drain(self, seconds: float) -> None:
        """Return when nothing runs; what still does after ``seconds`` is cancelled, and nothing starts any more then."""
        if self._running:
            self._idle = Deferred()
            timer: Timer = self._clock.callLater(seconds, self._cancel)
            await self._idle
            if timer.active():
                timer.cancel()

    def _cancel(self) -> None:
        self._over = True
        for deferred in list(self._running):
            deferred.cancel()

    async def _logged(self, coroutine: Coroutine[Deferred[Any], Any, None]) -> None:
        try:
            await coroutine
        except CancelledError:
            raise
        except Exception:  # the last rung: nobody above would hear of it
            self._log.failure("a coroutine of comet failed")

    def _ended(self, _: object, deferred: Deferred[None]) -> None:
        self._running.discard(deferred)
        if self._idle is not None and not self._running:
            idle, self._idle = self._idle, None
            idle.callback(None)
