"""What a comet's pushes leave by."""

from twisted.logger import Logger

from imd.interfaces import Arm
from imd.transport.sender import sender


class Sending:
    """Chosen when it is made, in the thread that will send; said once the parts before it are open."""

    log = Logger(namespace="imd.service")

    def __init__(self, wanted: str) -> None:
        """``wanted``: as in comet.sender. Raises :class:`imd.errors.ConfigError` when that is not to be had."""
        self._chosen = sender(wanted)

    @property
    def arm(self) -> Arm:
        return self._chosen.arm

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
