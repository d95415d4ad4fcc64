"""A real client that remembers what it was sent."""

from collections.abc import Callable
from typing import Any

from imd.client.client import Client
from imd.client.core import Pushed
from imd.transport.dial import dial
from tests.support.reactor import eventually, reactor


class ListeningClient:
    """Made by :func:`listen`, authenticated."""

    def __init__(self) -> None:
        self.client: Client  # once it has dialled
        self.pushes: list[tuple[int, bytes]] = []  # (operation, body), as they came

    @property
    def bodies(self) -> list[bytes]:
        return [body for _, body in self.pushes]

    def pushed(self, push: Pushed) -> None:
        self.pushes.append((push.operation, push.body))

    async def got(self, *bodies: bytes, seconds: float = 15.0) -> None:
        """Wait for these; fails with what came."""
        await self.until(lambda: set(bodies) <= set(self.bodies), seconds, f"wanted {bodies!r}")

    async def until(self, holds: Callable[[], bool], seconds: float = 15.0, wanted: str = "") -> None:
        try:
            await eventually(holds, seconds)
        except AssertionError as error:
            trouble = f", connection: {self.client.trouble}" if self.client.trouble else ""
            raise AssertionError(f"{error}; {wanted}; got {self.bodies[-20:]!r}{trouble}") from None


async def listen(case: Any, url: str, *, ca_file: str | None = None, **who: Any) -> ListeningClient:
    """Connect and authenticate as ``who`` (see :meth:`imd.client.client.Client.authenticate`); hung up when ``case`` ends."""
    listening = ListeningClient()
    listening.client = await dial(Client, url, reactor=reactor, ca_file=ca_file, on_push=listening.pushed)
    case.addCleanup(case.later, listening.client.close)
    await listening.client.authenticate(**({"accepts": (1000,)} | who))
    return listening
