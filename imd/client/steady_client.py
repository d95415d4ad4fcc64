"""A client that stays: over every loss of its connection it has each kept message once, in order."""

from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
from typing import Any

import msgspec
from twisted.internet.defer import CancelledError, Deferred

from imd.client.application import Application
from imd.client.backoff import FIRST_DELAY_SECONDS, MAX_DELAY_SECONDS, Backoff, pause
from imd.client.client_v2 import ClientV2
from imd.client.core import Pushed
from imd.client.filler import Filler
from imd.client.opening import opening
from imd.client.timeline import Missed, Timeline
from imd.errors import (
    AuthRefused,
    CloseReason,
    DeadlineExceeded,
    ImdError,
    NotAllowed,
    Overloaded,
    PeerUnavailable,
    ProtocolError,
    TooMany,
    Unavailable,
)
from imd.interfaces import Clock, Timer
from imd.protocol.auth_reply import Standing
from imd.protocol.body import MAX_ROOMS, Auth
from imd.protocol.membership import JoinReply
from imd.protocol.operation import Operation
from imd.protocol.packet import MAX_BODY_BYTES
from imd.protocol.presence_event import PresenceEvent
from imd.protocol.refresh import RefreshReply
from imd.protocol.send import SendMessage, SendReply
from imd.protocol.timeline import NOWHERE, Place

ACK_SECONDS = 0.2  # that acks are gathered
JOIN_RETRIES = 20  # of a room for which op 7 had no space; then the connection is made anew

Connect = Callable[[Callable[[Pushed], None]], Coroutine[Any, Any, ClientV2]]


class SteadyClient:
    """One client over many connections of version 2.

    It remembers its place in each timeline, resumes there, drops what comes twice, asks for what is missing and holds what came
    after it, and acks what was handled. :attr:`places`, stored and given to another one, lets that go on.
    """

    __slots__ = (
        "_ack",
        "_ack_seconds",
        "_acked",
        "_application",
        "_auth",
        "_backoff",
        "_body_bytes",
        "_client",
        "_clock",
        "_connect",
        "_ending",
        "_filler",
        "_jitter",
        "_rooms",
        "_running",
        "_stopped",
        "_timelines",
        "_wanted",
        "losses",
    )

    def __init__(
        self,
        *,
        connect: Connect,
        clock: Clock,
        application: Application,
        jitter: Callable[[], float],  # 0 to 1, random
        auth: Auth,
        rooms: Collection[str] = (),
        places: Mapping[str, Place] | None = None,
        ack_seconds: float = ACK_SECONDS,
        first_delay_seconds: float = FIRST_DELAY_SECONDS,
        max_delay_seconds: float = MAX_DELAY_SECONDS,
    ) -> None:
        self._connect = connect  # a client, not yet entered, that hands its pushes to the function given
        self._clock = clock
        self._application = application
        self._backoff = Backoff(
            first_delay_seconds=first_delay_seconds, max_delay_seconds=max_delay_seconds, jitter=jitter
        )
        self._jitter = jitter
        self._auth = auth  # who we are; its rooms, resume and room_id are not looked at
        self._rooms = dict.fromkeys(rooms)  # to be in
        self._timelines = {name: Timeline(name, place) for name, place in (places or {}).items()}
        self._wanted: set[str] = set()  # timelines that this connection follows
        self._acked: dict[str, int] = {}  # what this connection was told
        self._ack: Timer | None = None  # None = nothing to ack
        self._ack_seconds = ack_seconds
        self._filler = Filler(clock=clock, jitter=jitter, filled=self._filled)
        self._client: ClientV2 | None = None  # None unless a connection stands
        self._body_bytes = MAX_BODY_BYTES  # of a packet that the server takes, as far as we know
        self._running: Deferred[None] | None = None  # None before run()
        self._ending: Timer | None = None  # None until stop()
        self._stopped = False
        self.losses = 0  # of connections that stood, those that we ended not counted

    # --- what it knows

    @property
    def places(self) -> dict[str, Place]:
        """Where it stands in its timelines: room id, or empty for the own inbox -> what was handled."""
        return {name: timeline.place for name, timeline in self._timelines.items() if timeline.place.epoch}

    @property
    def duplicates(self) -> int:
        """Pushes that came again, and were not handed on."""
        return sum(timeline.duplicates for timeline in self._timelines.values())

    @property
    def gaps(self) -> int:
        """Times that a message came before one that stands before it."""
        return self._filler.gaps

    @property
    def connected(self) -> bool:
        """A connection stands."""
        return self._client is not None

    @property
    def rooms(self) -> tuple[str, ...]:
        """Those that it is in, or will be in when it is connected."""
        return tuple(self._rooms)

    # --- staying

    async def run(self) -> None:
        """Returns after :meth:`stop`.

        Raises the :class:`ImdError` with which coming back unchanged cannot succeed: :class:`imd.errors.AuthRefused`,
        :class:`imd.errors.NotAllowed`, and :class:`ProtocolError` when the server says that we broke the protocol. Whatever
        else happens to a connection leads to the next one.
        """
        if self._stopped:
            return
        self._running = Deferred.fromCoroutine(self._stay())
        try:
            await self._running
        except CancelledError:
            if not self._stopped:
                raise
        finally:
            if self._ending is not None and self._ending.active():
                self._ending.cancel()

    def stop(self) -> None:
        """Hand on no more, ack what was handled and hang up; :meth:`run` returns when the connection is gone."""
        if not self._stopped:
            self._stopped = True
            # not now: whoever calls may be called by a coroutine that this would cancel
            self._ending = self._clock.callLater(0, self._end)

    def _end(self) -> None:
        self._tell_acks()
        if self._running is not None:
            self._running.cancel()

    async def _stay(self) -> None:
        while True:
            since, least_ms = self._clock.seconds(), 0
            try:
                client = await self._connect(self._pushed)
            except (Unavailable, ProtocolError) as error:
                trouble: ImdError = error
            else:
                trouble = await self._hold(client)
                goodbye = client.goodbye
                if isinstance(trouble, AuthRefused) or (goodbye is not None and not goodbye.reconnect):
                    raise trouble
                least_ms = goodbye.retry_after_ms if goodbye is not None else 0
            if self._stopped:  # a look-up of a name that is cancelled fails as if there were no such name
                return
            seconds = self._backoff.after(self._clock.seconds() - since, least_ms)
            self._application.left(trouble, seconds)
            await pause(self._clock, seconds)

    async def _hold(self, client: ClientV2) -> ImdError:
        """One connection, to its end; why it ended."""
        try:
            try:
                await self._enter(client)
            except NotAllowed:  # a room does not let us in: coming back would not help
                raise
            except ImdError as error:  # it has ended, and knows why; or this is why
                client.hang_up(error)
            await client.closed()
        finally:
            self._over()
            await client.close()
        assert client.trouble is not None
        return client.trouble

    async def _enter(self, client: ClientV2) -> None:
        auth, late = opening(self._auth, self._rooms, self.places, self._body_bytes)
        reply = await client.enter(auth)
        # under the same key the next connection takes the place of this one, which the server may take for alive, and is the
        # same device
        self._auth = msgspec.structs.replace(self._auth, key=reply.key)
        self._client = client
        self._body_bytes = reply.limits.body_bytes
        self._acked = {}
        for room in auth.rooms:
            if room not in reply.timelines:
                raise ProtocolError(CloseReason.BAD_BODY, f"op 8 does not tell of {room}")
        lost = [self._follow(name, standing) for name, standing in reply.timelines.items()]
        self._application.entered(reply)
        self._hand(missed for missed in lost if missed is not None)
        for room in late:
            await self._join_late(client, room)

    async def _join_late(self, client: ClientV2, room: str) -> None:
        """Into one of our rooms that op 7 had no space for. The server may say that we ask for too many at once."""
        tries = 0
        while room in self._rooms:
            try:
                await self._join(client, room)
                return
            except (Unavailable, Overloaded) as error:
                tries += 1
                if client.trouble is not None or tries > JOIN_RETRIES:
                    raise
                seconds = error.retry_after_seconds
            await pause(self._clock, seconds * (1 + self._jitter()))

    def _follow(self, name: str, standing: Standing | JoinReply) -> Missed | None:
        timeline = self._timelines.setdefault(name, Timeline(name, NOWHERE))
        known = bool(timeline.place.epoch)
        missed = timeline.resumed(Place(standing.seq, standing.epoch), standing.recovered)
        self._wanted.add(name)
        if known and missed is None:
            self._ack_soon()  # the last acks may have been lost with the connection before
        else:
            self._acked[name] = standing.seq  # we begin here, and have handled nothing of it
        return missed

    def _over(self) -> None:
        """The connection is of no use any more."""
        if self._client is not None:
            self._client = None
            self.losses += not self._stopped
        self._wanted.clear()
        if self._ack is not None:
            self._ack.cancel()
            self._ack = None
        self._filler.stop()

    # --- what comes

    def _pushed(self, push: Pushed) -> None:
        header = push.header
        assert header is not None  # of version 2
        if not header.seq:
            self._hand((push,))
            return
        if header.timeline not in self._wanted:
            raise ProtocolError(CloseReason.BAD_BODY, f"a kept push to {header.timeline or 'the inbox'}, not followed")
        timeline = self._timelines[header.timeline]
        self._hand(timeline.take(push))
        self._ack_soon()
        if timeline.lacks and self._client is not None:
            self._filler.fill(self._client, header.timeline, timeline)

    def _filled(self, items: Iterable[Pushed | Missed]) -> None:
        self._hand(items)
        self._ack_soon()

    def _hand(self, items: Iterable[Pushed | Missed]) -> None:
        """To the application, until it says stop."""
        for item in items:
            if self._stopped:
                break
            if isinstance(item, Missed):
                self._application.missed(item)
            elif item.operation != Operation.PRESENCE or not self._attended(item):
                self._application.pushed(item)

    def _attended(self, push: Pushed) -> bool:
        """Whether it was a presence event. A back end may use the same number for something else."""
        try:
            event = PresenceEvent.decode(push.body)
        except ProtocolError:
            return False
        self._application.attended(event)
        return True

    # --- acks

    def _ack_soon(self) -> None:
        if self._ack is None and self._client is not None:
            self._ack = self._clock.callLater(self._ack_seconds, self._tell_acks)

    def _tell_acks(self) -> None:
        timer, self._ack = self._ack, None
        if timer is not None and timer.active():
            timer.cancel()
        if self._client is None:
            return
        seqs = {name: self._timelines[name].place.seq for name in self._wanted}
        news = {name: seq for name, seq in seqs.items() if seq > self._acked.get(name, 0)}
        if news:
            self._acked |= news
            self._client.ack(news)

    # --- requests

    async def join(self, room: str, place: Place | None = None) -> JoinReply:
        """Be in this room too, over every connection; from ``place`` on, if it is given.

        Raises :class:`PeerUnavailable` while no connection stands, :class:`imd.errors.TooMany`, and what the server says.
        """
        if len(self._rooms) >= MAX_ROOMS and room not in self._rooms:
            raise TooMany(f"a client is in at most {MAX_ROOMS} rooms")
        client = self._standing()
        if place is not None:
            self._timelines[room] = Timeline(room, place)
        return await self._join(client, room)

    async def _join(self, client: ClientV2, room: str) -> JoinReply:
        try:
            reply = await client.join(room, self.places.get(room))
            self._rooms[room] = None
            missed = self._follow(room, reply)
        except (DeadlineExceeded, ProtocolError) as error:
            client.hang_up(error)  # whether we are in it is not known
            raise
        if missed is not None:
            self._hand((missed,))
        return reply

    async def leave(self, room: str) -> Place:
        """Be in this room no more, over every connection. Answers where we stood, for a later :meth:`join`; then forgets it."""
        client = self._standing()
        wanted = room in self._rooms
        self._rooms.pop(room, None)
        try:
            await client.leave(room)
        except DeadlineExceeded as error:
            client.hang_up(error)
            raise
        except ImdError:
            if wanted and client.trouble is None:
                self._rooms[room] = None  # refused: we are in it
            raise
        self._rooms.pop(room, None)  # a join that was under way has entered it again
        self._wanted.discard(room)
        timeline = self._timelines.pop(room, None)
        return timeline.place if timeline is not None else NOWHERE

    async def send(self, message: SendMessage) -> SendReply:
        """As :meth:`ClientV2.send_message`; :class:`PeerUnavailable` while no connection stands."""
        return await self._standing().send_message(message)

    async def refresh(self, token: str) -> RefreshReply:
        """Show a new token; later connections use it too."""
        self._auth = msgspec.structs.replace(self._auth, token=token)
        return await self._standing().refresh(token)

    def _standing(self) -> ClientV2:
        if self._client is None:
            raise PeerUnavailable("there is no connection now")
        return self._client
