"""The offer: new clients are sent to this process while it stands."""

from imd.service.registration import Registration


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
