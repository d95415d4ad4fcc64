"""What a comet's pushes leave by."""

from collections.abc import Sequence

from twisted.logger import Logger

from imd.interfaces import Arm, Battery, Sink
from imd.transport.sender import sender


class Sending:
    """Chosen when it is made, in the thread that will send; said once the parts before it are open."""

    log = Logger(namespace="imd.service")

    def __init__(self, wanted: str) -> None:
        """``wanted``: as in comet.sender. Raises :class:`imd.errors.ConfigError` when that is not to be had."""
        self._chosen = sender(wanted)
        self._told = False  # that the ring has failed

    @property
    def arm(self) -> Arm:
        return self._arm_by_ring if self._chosen.ring else self._chosen.arm

    def _arm_by_ring(self, sinks: Sequence[Sink]) -> Battery:
        """A ring that fails for good does so in C, where nobody says it: it is seen when the next battery is made."""
        if not self._told and (trouble := self._chosen.ring.trouble) is not None:
            self._told = True
            self.log.warn("io_uring has failed: {trouble}; from now on pushes leave by send", trouble=trouble)
        return self._chosen.arm(sinks)

    async def open(self) -> None:
        """Say it."""
        name, lacks = self._chosen.name, self._chosen.lacks
        if lacks:
            self.log.info("pushes leave by {sender}: {lacks}", sender=name, lacks=lacks)
        else:
            self.log.info("pushes leave by {sender}", sender=name)

    async def close(self) -> None:
        """Nothing to do."""

    def trouble(self) -> str | None:
        return None
