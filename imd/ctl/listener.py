"""A listener: stays connected, through losses, and counts what arrives."""

from collections.abc import Callable, Coroutine
from random import random
from typing import Any, Protocol

from twisted.application.internet import backoffPolicy
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from imd.client.core import Pushed
from imd.errors import AuthRefused, ImdError, ProtocolError, Unavailable

FIRST_DELAY_SECONDS = 1.0  # before the second try; each further one waits half as long again, spread at random
MAX_DELAY_SECONDS = 60.0
STEADY_SECONDS = 30.0  # a connection that held as long was good: the next loss begins with the first delay


class Connected(Protocol):
    """What a listener needs of :class:`imd.client.client.Client`."""

    @property
    def trouble(self) -> ImdError | None: ...
    async def close(self) -> None: ...
    async def closed(self) -> None: ...


Connect = Callable[[Callable[[Pushed], None]], Coroutine[Any, Any, Connected]]


class Listener:
    """One run of ``imdctl listen``."""

    __slots__ = (
        "_clock",
        "_connect",
        "_count",
        "_jitter",
        "_running",
        "_say",
        "_show",
        "_stopped",
        "losses",
        "received",
    )

    def __init__(
        self,
        *,
        clock: Any,
        connect: Connect,
        show: Callable[[Pushed], None],
        say: Callable[[str], None],
        count: int = 0,
        jitter: Callable[[], float] = random,
    ) -> None:
        self._clock = clock
        self._connect = connect  # an authenticated client that hands its pushes to the function given
        self._show = show  # a push that arrived
        self._say = say  # what became of the connection
        self._count = count  # stop after as many pushes; 0 = go on
        self._jitter = jitter  # seconds that each wait is longer, so that many listeners do not come back at once
        self._running: Deferred[None] | None = None  # None before run()
        self._stopped = False
        self.received = 0  # pushes
        self.losses = 0  # of a connection that stood

    async def run(self) -> None:
        """Returns after :meth:`stop`, or when ``count`` pushes came.

        Raises the :class:`ImdError` of the first connection when it cannot be made, and :class:`AuthRefused` always; whatever
        happens to a connection that stood leads to the next one.
        """
        self._running = Deferred.fromCoroutine(self._listen())
        if self._stopped:
            self._running.cancel()
        try:
            await self._running
        except CancelledError:
            if not self._stopped:
                raise

    def stop(self) -> None:
        """Hang up; :meth:`run` returns when the connection is gone."""
        self._stopped = True
        if self._running is not None:
            self._running.cancel()

    @property
    def complete(self) -> bool:
        """As many pushes came as were asked for."""
        return self.received >= self._count

    async def _listen(self) -> None:
        delay = backoffPolicy(FIRST_DELAY_SECONDS, MAX_DELAY_SECONDS, jitter=self._jitter)
        tries, stood = 0, False  # since the last good connection; whether there ever was one
        while True:
            try:
                client = await self._connect(self._pushed)
            except (Unavailable, ProtocolError) as error:
                if self._stopped:  # a look-up of a name that is cancelled fails as if there were no such name
                    return
                if not stood:
                    raise
                trouble: ImdError | None = error
            else:
                stood, since = True, self._clock.seconds()
                try:
                    await client.closed()
                finally:
                    await client.close()
                trouble = client.trouble
                if isinstance(trouble, AuthRefused):
                    raise trouble
                self.losses += 1
                if self._clock.seconds() - since >= STEADY_SECONDS:
                    tries = 0
            seconds = delay(tries)
            tries += 1
            self._say(f"{trouble}; again in {seconds:.1f} s")
            await deferLater(self._clock, seconds)

    def _pushed(self, push: Pushed) -> None:
        if self._stopped:
            return
        self.received += 1
        self._show(push)
        if self._count and self.received == self._count:
            self.stop()
