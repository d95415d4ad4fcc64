"""Fills holes in timelines: asks for what is missing until nothing is."""

from collections.abc import Callable, Iterable

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from imd.client.backoff import pause
from imd.client.client_v2 import ClientV2
from imd.client.core import Pushed
from imd.client.timeline import Missed, Timeline
from imd.errors import ImdError, Overloaded, PeerUnavailable, Unavailable
from imd.interfaces import Clock

SYNC_MESSAGES = 500  # that one op 38 asks for
SYNC_RETRIES = 5  # of one that the server could not do, with growing pauses; then the connection is made anew

_log = Logger()


class Filler:
    """One client's. A hole that cannot be filled ends the connection: the next one resumes."""

    __slots__ = ("_asking", "_clock", "_filled", "_jitter", "gaps")

    def __init__(
        self, *, clock: Clock, jitter: Callable[[], float], filled: Callable[[Iterable[Pushed | Missed]], None]
    ) -> None:
        self._clock = clock
        self._jitter = jitter  # 0 to 1, random
        self._filled = filled  # takes what an answer brought to light
        self._asking: dict[str, Deferred[None]] = {}  # by timeline, at most one question each
        self.gaps = 0  # holes that were found

    def fill(self, client: ClientV2, name: str, timeline: Timeline) -> None:
        """Begin, unless it is being filled."""
        if name in self._asking:
            return
        self.gaps += 1
        asking = self._asking[name] = Deferred.fromCoroutine(self._ask(client, name, timeline))
        asking.addErrback(lambda cancelled: None)  # by stop(); nothing else comes out
        if asking.called:
            del self._asking[name]
        else:
            asking.addCallback(self._over, name)

    def _over(self, _: None, name: str) -> None:
        self._asking.pop(name, None)

    def stop(self) -> None:
        """The connection is gone, and with it all questions."""
        asking, self._asking = self._asking, {}
        for question in asking.values():
            question.cancel()

    async def _ask(self, client: ClientV2, name: str, timeline: Timeline) -> None:
        tries = 0
        try:
            while timeline.lacks:
                try:
                    reply = await client.sync(name, timeline.question(), SYNC_MESSAGES)
                except (Unavailable, Overloaded):
                    tries += 1
                    if client.trouble is not None or tries > SYNC_RETRIES:
                        raise
                    await pause(self._clock, 2 ** (tries - 2) * (1 + self._jitter()))
                    continue
                tries = 0
                if reply.epoch != timeline.place.epoch:
                    raise PeerUnavailable("the timeline was numbered anew")
                self._filled(timeline.filled(reply.last, reply.recovered, reply.more))
        except CancelledError:
            raise
        except ImdError as error:
            client.hang_up(error)
        except Exception as error:  # a bug, ours or the application's, must not leave a hole that nobody fills
            _log.failure("filling a hole failed")
            client.hang_up(PeerUnavailable(f"filling a hole failed: {error}"))
