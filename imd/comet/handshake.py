"""Handshake: from a good op 7 to op 8, or to why not."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from imd.comet.channel import Channel
from imd.comet.edge import Edge
from imd.comet.state import State
from imd.errors import AuthRefused, CloseReason, ImdError, Overloaded
from imd.protocol.auth_reply import Allowance, AuthReply, Standing
from imd.protocol.body import Auth
from imd.protocol.packet import Packet
from imd.protocol.rpc import Connect, Connected, Page
from imd.protocol.timeline import NOWHERE, Place

if TYPE_CHECKING:
    from imd.comet.session import Session


class Handshake:
    """Asks logic who the client is, has its rooms hosted, lets it in: in this order, so that whatever is pushed once it has
    seen op 8 reaches it. Whoever vanishes meanwhile is taken out of presence again.

    A client of version 2 is in its rooms before op 8, with its outbox corked: what is pushed while its timelines are looked up
    waits behind op 8, and what is kept is found in the timelines. So there is no gap between what it missed and what comes.

    The session is AUTHENTICATING when it begins. Counts one result: ok, refused, unavailable, room_refused, bad_body, limited
    or gone.
    """

    __slots__ = ("_edge", "_packet", "_result", "_session")

    def __init__(self, *, session: "Session", edge: Edge, packet: Packet) -> None:
        self._session = session
        self._edge = edge
        self._packet = packet  # op 7, which op 8 answers
        self._result = "gone"  # as it is counted in the end

    async def run(self, auth: Auth) -> None:
        """The wait for logic has the deadline of its link; the handshake's own ends the session, not this."""
        try:
            await self._identify(auth)
            if self._session.state is State.RESUMING:
                await self._resume(auth)
        finally:
            self._edge.metrics.authentications.add(1, self._result)

    # --- who it is ----------------------------------------------------------------------------------------------------

    async def _identify(self, auth: Auth) -> None:
        """In the end it is in its rooms, or out of presence again."""
        edge, session = self._edge, self._session
        key = auth.key or edge.make_key()
        edge.departures.enter(key)
        mid: int | None = None  # as presence may name the connection; None = it does not, or should
        try:
            async with edge.departures.turns(key):
                await edge.departures.settle(key)
                if not self._waited_for():
                    return
                mid = auth.mid
                connected = await edge.logic.connect(self._request(auth, key))
                mid = connected.mid
                if connected.key != key:
                    edge.departures.enter(connected.key)
                    edge.departures.left(key, None)
                    key = connected.key
                rooms = tuple(dict.fromkeys(filter(None, (connected.room, *auth.rooms))))
                if self._permitted(connected, rooms) and await self._hosted(rooms):
                    self._let_in(auth, connected, rooms)
                    mid = None
        except AuthRefused as error:
            mid, self._result = None, "refused"
            session.close(CloseReason.AUTH_REFUSED, str(error))
        except ImdError as error:
            self._result = "unavailable"
            session.close(CloseReason.AUTH_UNAVAILABLE, str(error))
        finally:
            edge.departures.left(key, mid)

    def _waited_for(self) -> bool:
        return self._session.state is State.AUTHENTICATING

    def _request(self, auth: Auth, key: str) -> Connect:
        return Connect(
            server=self._edge.server,
            boot=self._edge.boot,
            key=key,
            mid=auth.mid,
            room=auth.room_id,
            platform=auth.platform,
            accepts=auth.accepts,
            token=auth.token,
            address=self._session.address,
            version=self._packet.version,
            device=auth.device,
        )

    def _permitted(self, connected: Connected, rooms: Sequence[str]) -> bool:
        """Whether it may be in all of them; else the session ends."""
        if not self._waited_for():
            return False
        may_join = self._edge.membership.may_join
        if not all(may_join(room, connected.mid, connected.grants) for room in rooms):
            self._result = "room_refused"
            self._session.close(CloseReason.ROOM_REFUSED, "a room of op 7")
        elif len(rooms) > self._edge.limits.rooms:
            self._result = "bad_body"
            self._session.close(CloseReason.BAD_BODY, f"more than {self._edge.limits.rooms} rooms")
        return self._waited_for()

    async def _hosted(self, rooms: Sequence[str]) -> bool:
        """Hold them, one after the other: a client has one request of this kind under way. False, and nothing held, when the
        client is gone."""
        interest = self._edge.interest
        held: list[str] = []
        try:
            for room in rooms:
                if not self._waited_for():
                    break
                await interest.hold(room)
                held.append(room)
        except BaseException:
            for room in held:
                interest.drop(room)
            raise
        if self._waited_for():
            return True
        for room in held:
            interest.drop(room)
        return False

    def _let_in(self, auth: Auth, connected: Connected, rooms: Sequence[str]) -> None:
        """Of version 1, op 8 follows at once."""
        session = self._session
        session.enter(connected, rooms, auth.device)
        if session.state is State.AUTHENTICATING:
            self._result = "ok"
            session.admit(self._packet)

    # --- where it stands ----------------------------------------------------------------------------------------------

    async def _resume(self, auth: Auth) -> None:
        """Of version 2: look up its timelines, then op 8, what waited behind it, and what it missed."""
        edge, session = self._edge, self._session
        channel = session.open_channel()
        names = self._names(channel)
        wanted = {timeline: auth.resume.get(name) for name, timeline in names.items() if timeline is not None}
        try:
            pages = await edge.follower.begin(channel, wanted) if wanted else {}
        except Overloaded as error:
            self._result = "limited"
            retry_after_ms = int(1000 * error.retry_after_seconds * (1 + edge.random()))
            session.close(CloseReason.RESUME_LIMITED, str(error), retry_after_ms=retry_after_ms)
        except ImdError as error:
            self._result = "unavailable"
            session.close(CloseReason.AUTH_UNAVAILABLE, str(error))
        else:
            if session.state is State.RESUMING:
                self._result = "ok"
                session.admit(self._packet, self._reply(channel, names, pages, auth.resume).encode())
                edge.follower.release(channel, wanted)

    def _names(self, channel: Channel) -> dict[str, str | None]:
        """Each of its timelines as clients call it -> as the processes do; None = it is live."""
        membership = self._edge.membership
        names = {room: membership.timeline(room) for room in channel.rooms}
        return {"": membership.inbox(channel.mid), **names} if channel.mid else names

    def _reply(
        self,
        channel: Channel,
        names: Mapping[str, str | None],
        pages: Mapping[str, Page],
        places: Mapping[str, Place],
    ) -> AuthReply:
        edge, limits = self._edge, self._edge.limits
        standings = {}
        for name, timeline in names.items():
            page = Page("", NOWHERE, places.get(name, NOWHERE) == NOWHERE) if timeline is None else pages[timeline]
            online = edge.renewal.online(name) if name else -1
            standings[name] = Standing(
                seq=page.head.seq, epoch=page.head.epoch, recovered=page.recovered, online=online
            )
        return AuthReply(
            key=channel.key,
            mid=channel.mid,
            server=edge.server,
            heartbeat_seconds=limits.heartbeat_seconds,
            timelines=standings,
            limits=Allowance(
                rooms=limits.rooms,
                body_bytes=limits.max_body_bytes,
                packets_per_second=limits.packets_per_second,
            ),
        )
