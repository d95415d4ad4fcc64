"""A real client of version 2 that stays over every loss, and remembers what it was handed."""

from collections.abc import Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred

from imd.client.client import ANSWER_SECONDS
from imd.client.client_v2 import ClientV2
from imd.client.core import Pushed
from imd.client.steady_client import SteadyClient
from imd.client.timeline import Missed
from imd.errors import ImdError
from imd.protocol.auth_reply import AuthReply
from imd.protocol.body import Auth
from imd.protocol.presence_event import PresenceEvent
from imd.protocol.timeline import Place
from imd.transport.dial import dial
from tests.support.reactor import eventually, reactor

CONNECT_SECONDS = 2.0


class FollowingClient:
    """Made by :func:`follow`, connected. Dials its addresses in turns."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        mid: int,
        key: str,
        rooms: Sequence[str],
        places: Mapping[str, Place] | None = None,
        platform: str = "",
        patience_seconds: float = CONNECT_SECONDS,
    ) -> None:
        self.bodies: list[bytes] = []  # as handed on, so that what is kept is there once, in order
        self.gone: list[Missed] = []  # what it was told is lost
        self.troubles: list[ImdError] = []  # ends of connections, and attempts in vain
        self._urls = urls
        self._turn = 0
        self._patience_seconds = (
            patience_seconds  # with a connection that is being made, and with an answer, that many at least
        )
        self.steady = SteadyClient(
            connect=self._connect,
            clock=reactor,
            application=self,
            jitter=lambda: 0.5,
            auth=Auth(mid=mid, key=key, platform=platform, accepts=(1000,)),
            rooms=rooms,
            places=places,
            first_delay_seconds=0.2,
            max_delay_seconds=1.0,
        )
        self.running = Deferred.fromCoroutine(self.steady.run())

    async def _connect(self, on_push: Any) -> ClientV2:
        url = self._urls[self._turn % len(self._urls)]
        self._turn += 1
        return await dial(
            ClientV2,
            url,
            reactor=reactor,
            on_push=on_push,
            connect_seconds=self._patience_seconds,
            answer_seconds=max(self._patience_seconds, ANSWER_SECONDS),
        )

    async def end(self) -> None:
        """A clean-up: returns when the connection is gone."""
        self.steady.stop()
        await self.running

    # --- imd.client.application.Application

    def pushed(self, push: Pushed) -> None:
        self.bodies.append(push.body)

    def missed(self, missed: Missed) -> None:
        self.gone.append(missed)

    def attended(self, event: PresenceEvent) -> None:
        """No test of this one looks at it."""

    def entered(self, reply: AuthReply) -> None:
        """It is seen by what comes."""

    def left(self, trouble: ImdError, wait_seconds: float) -> None:
        self.troubles.append(trouble)


async def follow(
    case: Any, urls: Sequence[str], *, mid: int, key: str, rooms: Sequence[str] = (), **more: Any
) -> FollowingClient:
    """Connected to the first of ``urls``; hung up when ``case`` ends. ``more``: its places, its platform."""
    client = FollowingClient(urls, mid=mid, key=key, rooms=rooms, **more)
    case.addCleanup(case.later, client.end)
    await eventually(lambda: client.steady.connected, 15.0)
    return client
