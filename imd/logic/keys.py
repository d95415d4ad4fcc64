"""The keys that tokens are verified with: those of the configuration, and those that a JWKS URL publishes."""

from collections.abc import Awaitable, Callable, Sequence

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from imd.errors import ConfigError, Unavailable
from imd.interfaces import Clock, Timer
from imd.logic.verify_key import VerifyKey, read_jwks
from imd.metrics import Metrics

Fetch = Callable[[], Awaitable[bytes]]  # ends within its own deadline; raises imd.errors.Unavailable


class KeyRing:
    """Keys now, and how to get newer ones. With a URL it is a :class:`imd.interfaces.Resource` that asks again in time.

    While the URL is away or answers nonsense, the keys that it gave last go on. An unknown kid makes it ask at once, but at
    most once in ``again_seconds``: whoever makes up kids cannot make it ask more.
    """

    _log = Logger()

    __slots__ = (
        "_again_seconds",
        "_asked_at",
        "_asking",
        "_clock",
        "_fetch",
        "_fetched",
        "_fixed",
        "_metrics",
        "_open",
        "_refresh_seconds",
        "_timer",
        "_trouble",
        "_waiting",
        "generation",
    )

    def __init__(
        self,
        *,
        keys: Sequence[VerifyKey],
        clock: Clock,
        metrics: Metrics,
        fetch: Fetch | None = None,
        refresh_seconds: float = 300.0,
        again_seconds: float = 10.0,
    ) -> None:
        self.generation = 0  # rises whenever the keys become others: what was verified before may no longer hold
        self._fixed = tuple(keys)  # of the configuration
        self._fetched: tuple[VerifyKey, ...] = ()  # of the URL, as it answered last
        self._fetch = fetch  # None = there is no URL
        self._clock = clock
        self._metrics = metrics
        self._refresh_seconds = refresh_seconds
        self._again_seconds = again_seconds
        self._asked_at: float | None = None  # when the URL was asked last, on the clock; None = never
        self._trouble: str | None = None if fetch is None else "the JWKS has not been fetched yet"
        self._asking: Deferred[None] | None = None  # the question under way; None = there is none
        self._waiting: list[Deferred[None]] = []  # those who wait for it
        self._timer: Timer | None = None  # the next regular refresh; None = closed, or one is under way
        self._open = False

    async def open(self) -> None:
        """Ask the URL now and regularly; returns after its first answer, or failure."""
        self._open = True
        await self._refresh()

    async def close(self) -> None:
        """Ask no more."""
        self._open = False
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        if self._asking is not None:
            self._asking.cancel()

    def trouble(self) -> str | None:
        """None while there are keys: those of a URL that went away go on."""
        return None if self._fixed or self._fetched else self._trouble

    @property
    def doubt(self) -> str | None:
        """None when every key that exists is known; else why a token of an unknown key may be good all the same."""
        return self._trouble

    def candidates(self, algorithm: str, kid: str) -> list[VerifyKey]:
        """The keys that may have signed a token of this algorithm: those of its kid, and those without name.

        All of the algorithm for a token without kid (empty).
        """
        fitting = [key for key in (*self._fixed, *self._fetched) if key.algorithm == algorithm]
        return [key for key in fitting if not kid or not key.kid or key.kid == kid]

    async def learn(self, kid: str) -> None:
        """Make sure that a key of this name is known if there is one: asks the URL unless it is known, or was just asked."""
        if any(key.kid == kid for key in (*self._fixed, *self._fetched)):
            return
        if self._asking is None and not self._may_ask():
            return
        await self._refresh()

    def _may_ask(self) -> bool:
        return self._asked_at is None or self._clock.seconds() - self._asked_at >= self._again_seconds

    async def _refresh(self) -> None:
        """Ask once, however many want to know; one of them that is cancelled leaves the others' question alone."""
        if self._fetch is None:
            return
        waiter: Deferred[None] = Deferred()
        self._waiting.append(waiter)
        self._begin()
        await waiter

    def _begin(self) -> None:
        if self._fetch is None or self._asking is not None:
            return
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        self._asking = asking = Deferred.fromCoroutine(self._ask(self._fetch))
        asking.addBoth(self._answered)

    async def _ask(self, fetch: Fetch) -> None:
        began = self._asked_at = self._clock.seconds()
        result = "error"
        try:
            keys = read_jwks(await fetch(), source="the JWKS URL", secrets=False)
            result = "ok"
        except (Unavailable, ConfigError) as error:
            self._trouble = str(error)
            self._log.warn("no new keys, {count} go on: {error}", count=len(self._fetched), error=error)
        except CancelledError:
            raise
        except Exception:  # a bug of ours: log it, and go on with the keys there are
            self._trouble = "a bug while reading the JWKS: see the log"
            self._log.failure(self._trouble)
        else:
            self._trouble = None
            if keys != self._fetched:
                self._fetched = keys
                self.generation += 1
                self._log.info("{count} keys from the JWKS URL", count=len(keys))
        finally:
            self._metrics.backend_seconds.observe(self._clock.seconds() - began, "jwks", "fetch", result)

    def _answered(self, _: object) -> None:
        self._asking = None
        if self._open:
            soon = self._again_seconds if self._trouble else self._refresh_seconds
            self._timer = self._clock.callLater(min(soon, self._refresh_seconds), self._begin)
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.called:
                waiter.callback(None)
