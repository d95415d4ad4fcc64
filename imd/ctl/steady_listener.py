"""A listener of version 2: several rooms, and no kept message lost from one connection, or run, to the next."""

from collections.abc import Callable, Collection
from random import random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from imd.client.core import Pushed
from imd.client.steady_client import Connect, SteadyClient
from imd.client.timeline import Missed
from imd.ctl.place_file import PlaceFile
from imd.errors import ImdError
from imd.protocol.auth_reply import AuthReply
from imd.protocol.body import Auth
from imd.protocol.presence_event import PresenceEvent

SAVE_SECONDS = 1.0  # a run that is killed shows again at most what came in the last of these


class SteadyListener:
    """One run of ``imdctl listen`` that resumes; the application of its client."""

    __slots__ = (
        "_client",
        "_clock",
        "_count",
        "_ended",
        "_entered",
        "_file",
        "_say",
        "_show",
        "_trouble",
        "_url",
        "received",
    )

    def __init__(
        self,
        *,
        clock: Any,
        connect: Connect,
        url: str,
        auth: Auth,
        rooms: Collection[str],
        show: Callable[[Pushed], None],
        say: Callable[[str], None],
        file: PlaceFile | None = None,
        count: int = 0,
        jitter: Callable[[], float] = random,
    ) -> None:
        self._clock = clock
        self._url = url  # as people read it
        self._show = show  # a push that arrived
        self._say = say  # what became of the connection
        self._file = file  # where places are kept; None = only as long as this runs
        self._count = count  # stop after as many pushes; 0 = go on
        self._entered = False  # a connection stood once
        self._trouble: ImdError | None = None  # why the first one could not be made
        self._ended: Deferred[None] = Deferred()  # run() has
        self._client = SteadyClient(
            connect=connect,
            clock=clock,
            application=self,
            jitter=jitter,
            auth=auth,
            rooms=rooms,
            places=file.load() if file is not None else {},
        )
        self.received = 0  # pushes

    @property
    def losses(self) -> int:
        """Connections that stood and were lost."""
        return self._client.losses

    @property
    def complete(self) -> bool:
        """As many pushes came as were asked for."""
        return self.received >= self._count

    async def run(self) -> None:
        """Returns after :meth:`stop`, or when ``count`` pushes came; places are saved then.

        Raises the :class:`ImdError` of the first connection when it cannot be made, and whatever says that none can.
        """
        saving = LoopingCall(self._save)
        saving.clock = self._clock
        if self._file is not None:
            saving.start(SAVE_SECONDS, now=False).addErrback(self._unsaved)
        try:
            await self._client.run()
        finally:
            if saving.running:
                saving.stop()
            self._ended.callback(None)
        if self._trouble is not None:
            raise self._trouble
        self._save()

    def stop(self) -> "Deferred[None]":
        """Hang up; what is answered fires when the connection is gone."""
        self._client.stop()
        return self._ended

    def _save(self) -> None:
        if self._file is not None:
            self._file.save(self._client.places)

    def _unsaved(self, failure: Failure) -> None:
        failure.trap(ImdError)
        assert isinstance(failure.value, ImdError)
        self._give_up(failure.value)

    def _give_up(self, trouble: ImdError) -> None:
        self._trouble = trouble
        self._client.stop()

    # --- what the client tells

    def pushed(self, push: Pushed) -> None:
        self.received += 1
        self._show(push)
        if self._count and self.received == self._count:
            self._client.stop()

    def missed(self, missed: Missed) -> None:
        name = missed.timeline or "the inbox"
        if missed.before.epoch != missed.now.epoch:
            self._say(f"{name}: the server numbers its messages anew; what was sent while we were away may be lost")
        else:
            first, last = missed.before.seq + 1, missed.now.seq
            numbers = f"message {first} is" if first == last else f"messages {first} to {last} are"
            self._say(f"{name}: {numbers} no longer there: we were away for too long")

    def attended(self, event: PresenceEvent) -> None:
        self._say(f"member {event.mid} {'is in' if event.joined else 'has left'} {event.room}")

    def entered(self, reply: AuthReply) -> None:
        self._entered = True
        rooms = ", ".join(name for name in reply.timelines if name)
        self._say(f"connected to {self._url}" + (f", in {rooms}" if rooms else ""))

    def left(self, trouble: ImdError, wait_seconds: float) -> None:
        if self._entered:
            self._say(f"{trouble}; again in {wait_seconds:.1f} s")
        else:
            self._give_up(trouble)
