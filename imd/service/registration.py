"""This process in the registry: entered when it can serve, kept up to date, taken out first of all."""

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from imd.errors import ImdError, RegistryUnavailable
from imd.interfaces import Clock, Instance, Registry, Timer

REPORT_SECONDS = 10.0  # how often a comet's connection counts reach those who offer nodes to clients


class Registration:
    """Registers what ``describe`` says of this process, again at each report."""

    log = Logger(namespace="imd.service")

    def __init__(self, *, registry: Registry, clock: Clock, describe: Callable[[], Instance]) -> None:
        self._registry = registry
        self._clock = clock
        self._describe = describe
        self._timer: Timer | None = None  # the next report, while open
        self._report: Deferred[None] | None = None  # under way

    async def open(self) -> None:
        """Enter it. Raises :class:`imd.errors.ServerIdTaken` when a living process has the id."""
        await self._registry.register(self._describe())
        self._timer = self._clock.callLater(REPORT_SECONDS, self._begin_report)

    async def close(self) -> None:
        """Take it out, so that nobody new is sent here."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._report is not None:
            self._report.cancel()
        try:
            await self._registry.unregister(self._describe())
        except RegistryUnavailable as error:
            # Its entry ends with our session all the same.
            self.log.warn("not taken out of the registry: {error}", error=str(error))

    def trouble(self) -> str | None:
        """None: the registry speaks for itself."""
        return None

    def _begin_report(self) -> None:
        self._timer = self._clock.callLater(REPORT_SECONDS, self._begin_report)
        if self._report is None:
            self._report = Deferred.fromCoroutine(self._update())
            self._report.addBoth(self._end_report)

    async def _update(self) -> None:
        await self._registry.update(self._describe())

    def _end_report(self, result: object) -> None:
        self._report = None
        if isinstance(result, Failure) and not result.check(ImdError, CancelledError):
            self.log.failure("a bug in the registry", failure=result)
        # A report that the registry could not take is followed by the next; the registry says itself when it is away.
