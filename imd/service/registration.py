"""This process in the registry: entered before it serves, kept up to date, taken out once nobody needs it."""

from collections.abc import Callable

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from imd.errors import ImdError, RegistryUnavailable
from imd.interfaces import Clock, Instance, Registry, Timer

REPORT_SECONDS = 10.0  # how often a comet's connection counts reach those who offer nodes to clients


class Registration:
    """Registers what ``describe`` says of this process, again at each report. Offline for clients while not ``offered``."""

    log = Logger(namespace="imd.service")

    def __init__(
        self, *, registry: Registry, clock: Clock, describe: Callable[[], Instance], offered: bool = True
    ) -> None:
        self._registry = registry
        self._clock = clock
        self._describe = describe
        self._offered = offered  # whether it takes new clients
        self._timer: Timer | None = None  # the next report, while open
        self._report: Deferred[None] | None = None  # under way

    async def open(self) -> None:
        """Enter it. Raises :class:`imd.errors.ServerIdTaken` when a living process has the id."""
        await self._registry.register(self._instance())
        self._timer = self._clock.callLater(REPORT_SECONDS, self._begin_report)

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
        return msgspec.structs.replace(self._describe(), offline=not self._offered)

    def _begin_report(self) -> None:
        self._timer = self._clock.callLater(REPORT_SECONDS, self._begin_report)
        if self._report is None:
            report = self._report = Deferred.fromCoroutine(self._registry.update(self._instance()))
            report.addBoth(self._end_report)

    def _end_report(self, result: object) -> None:
        self._report = None
        if isinstance(result, Failure) and not result.check(ImdError, CancelledError):
            self.log.failure("a bug in the registry", failure=result)
        # A report that the registry could not take is followed by the next; the registry says itself when it is away.


class Offer:
    """The last part of a comet to open and the first to close: meanwhile new clients are sent here."""

    def __init__(self, registration: Registration) -> None:
        self._registration = registration

    async def open(self) -> None:
        """Everything serves: come."""
        await self._registration.offer(True)

    async def close(self) -> None:
        """Send nobody new; what is here can still be reached."""
        await self._registration.offer(False)

    def trouble(self) -> str | None:
        """None: the registry speaks for itself."""
        return None
