"""This process in the registry: entered before it serves, kept up to date, taken out once nobody needs it."""

from collections.abc import Callable

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from imd.errors import ImdError, RegistryUnavailable
from imd.interfaces import Clock, Instance, Registry, Timer

LOOK_SECONDS = 1.0  # between two looks at a comet's connection counts, which those need who offer nodes to clients
REPORT_SECONDS = 10.0  # in which every change of them is told
NOTABLE = 0.05  # a change of this share is told at the next look: in ZooKeeper a report costs every process a read


class Registration:
    """Registers what ``describe`` says of this process, again as its counts change. Offline for clients unless ``offered``."""

    log = Logger(namespace="imd.service")

    def __init__(
        self, *, registry: Registry, clock: Clock, describe: Callable[[], Instance], offered: bool = True
    ) -> None:
        self._registry = registry
        self._clock = clock
        self._describe = describe
        self._offered = offered  # whether it takes new clients
        self._timer: Timer | None = None  # the next look, while open
        self._told = 0  # connections, as they were told last
        self._told_at = 0.0  # when that was, seconds on the clock
        self._report: Deferred[None] | None = None  # under way

    async def open(self) -> None:
        """Enter it. Raises :class:`imd.errors.ServerIdTaken` when a living process has the id."""
        self._told_at = self._clock.seconds()
        await self._registry.register(self._instance())
        self._timer = self._clock.callLater(LOOK_SECONDS, self._look)

    async def close(self) -> None:
        """Take it out."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._report is not None:
            self._report.cancel()
        try:
            await self._registry.unregister(self._instance())
        except RegistryUnavailable as error:
            # Its entry ends with our session all the same.
            self.log.warn("not taken out of the registry: {error}", error=str(error))

    def trouble(self) -> str | None:
        """None: the registry speaks for itself."""
        return None

    async def offer(self, offered: bool) -> None:
        """Say at once whether it takes new clients."""
        self._offered = offered
        try:
            await self._registry.update(self._instance())
        except RegistryUnavailable as error:
            # The next report says it.
            self.log.warn("the registry was not told: {error}", error=str(error))

    def _instance(self) -> Instance:
        instance = self._describe()
        self._told = instance.conn_count
        return msgspec.structs.replace(instance, offline=not self._offered)

    def _look(self) -> None:
        self._timer = self._clock.callLater(LOOK_SECONDS, self._look)
        now = self._clock.seconds()
        changed = abs(self._describe().conn_count - self._told)
        if self._report is None and (changed > NOTABLE * self._told or now - self._told_at >= REPORT_SECONDS):
            self._told_at = now
            report = self._report = Deferred.fromCoroutine(self._registry.update(self._instance()))
            report.addBoth(self._end_report)

    def _end_report(self, result: object) -> None:
        self._report = None
        if isinstance(result, Failure) and not result.check(ImdError, CancelledError):
            self.log.failure("a bug in the registry", failure=result)
        # A report that the registry could not take is followed by the next; the registry says itself when it is away.
