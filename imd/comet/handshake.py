"""Handshake: from a good op 7 to op 8, or to why not."""

from typing import TYPE_CHECKING

from imd.comet.edge import Edge
from imd.comet.state import State
from imd.errors import AuthRefused, CloseReason, ImdError
from imd.protocol.body import Auth
from imd.protocol.packet import Packet
from imd.protocol.rpc import Connect

if TYPE_CHECKING:
    from imd.comet.session import Session


class Handshake:
    """Asks logic who the client is, has its room hosted, lets it in: in this order, so that whatever is pushed once it has
    seen op 8 reaches it. Whoever vanishes meanwhile is taken out of presence again.

    The session is AUTHENTICATING when it begins. Counts one result: ok, refused, unavailable, or gone.
    """

    __slots__ = ("_edge", "_packet", "_session")

    def __init__(self, *, session: "Session", edge: Edge, packet: Packet) -> None:
        self._session = session
        self._edge = edge
        self._packet = packet  # op 7, which op 8 answers

    async def run(self, auth: Auth) -> None:
        """The wait for logic has the deadline of its link; the handshake's own ends the session, not this."""
        edge, session = self._edge, self._session
        key = auth.key or edge.make_key()
        edge.departures.enter(key)
        mid: int | None = None  # as presence may name the connection; None = it does not, or should
        result = "gone"
        try:
            async with edge.departures.turn(key):
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
                if await self._hosted(connected.room):
                    session.admit(self._packet, connected)
                    mid, result = None, "ok"
        except AuthRefused as error:
            mid, result = None, "refused"
            session.close(CloseReason.AUTH_REFUSED, str(error))
        except ImdError as error:
            result = "unavailable"
            session.close(CloseReason.AUTH_UNAVAILABLE, str(error))
        finally:
            edge.metrics.authentications.add(1, result)
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
        )

    async def _hosted(self, room: str) -> bool:
        """Hold the first room; False, and nothing held, when the client is gone."""
        if room and self._waited_for():
            await self._edge.interest.hold(room)
            if not self._waited_for():
                self._edge.interest.drop(room)
        return self._waited_for()
