"""The part of push ids that is this process's alone, leased from the registry."""

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from imd.interfaces import Registry


class WorkerId:
    """Does not hold start-up back: while the registry is away connections are served, and pushes are refused with 503."""

    log = Logger(namespace="imd.service")

    def __init__(self, *, registry: Registry, take: Callable[[int], None]) -> None:
        self._registry = registry
        self._take = take  # sets it where ids are made: no push gets one before
        self._leasing: Deferred[None] | None = None  # from open on
        self._leased = False

    async def open(self) -> None:
        """Begin to ask."""
        self._leasing = Deferred.fromCoroutine(self._lease())
        self._leasing.addErrback(self._failed)

    async def close(self) -> None:
        """Ask no more. The lease ends with our session in the registry."""
        if self._leasing is not None:
            self._leasing.cancel()

    def trouble(self) -> str | None:
        """What pushes wait for."""
        return None if self._leased else "the registry has not given a worker id yet: pushes cannot get ids"

    async def _lease(self) -> None:
        self._take(await self._registry.lease_worker_id())
        self._leased = True

    def _failed(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self.log.failure("no worker id", failure=failure)
