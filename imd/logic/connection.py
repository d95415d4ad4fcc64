"""What comets ask of logic: who is this client, remember it, forget it, who else is there, what has it missed."""

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from imd.errors import AuthRefused, BadRequest
from imd.interfaces import Authenticator, Leases, Location, Presence, ReceiveHook, Rooms
from imd.logic.arrivals import MAX_CLIENTS, Arrivals
from imd.logic.attendance import Attendance
from imd.logic.devices import Devices
from imd.logic.kept_messages import KeptMessages
from imd.logic.kicks import Kicks
from imd.logic.sender import Sender
from imd.metrics import Metrics
from imd.protocol import rpc


class Connections:
    """:class:`imd.interfaces.LogicClient`, answered here.

    A key is one connection's: the newest wins, and the older one is told so by a kick through the broker, in order with the
    pushes to that key. Whose word a key is, is the authenticator's rule (see :class:`imd.logic.token.TokenAuthenticator`).
    """

    _log = Logger()

    __slots__ = (
        "_arrivals",
        "_attendance",
        "_authenticator",
        "_hook",
        "_kept",
        "_leases",
        "_metrics",
        "_presence",
        "_public_comets",
        "_rooms",
        "_sender",
    )

    def __init__(
        self,
        *,
        authenticator: Authenticator,
        presence: Presence,
        rooms: Rooms,
        leases: Leases,
        kicks: Kicks,
        devices: Devices,
        kept: KeptMessages,
        sender: Sender,
        attendance: Attendance,
        hook: ReceiveHook,
        metrics: Metrics,
        public_comets: bool = True,
    ) -> None:
        self._authenticator = authenticator
        self._arrivals = Arrivals(authenticator=authenticator, presence=presence, kicks=kicks, devices=devices)
        self._presence = presence
        self._rooms = rooms
        self._leases = leases
        self._kept = kept
        self._sender = sender
        self._attendance = attendance
        self._hook = hook  # gets what clients send
        self._metrics = metrics
        self._public_comets = public_comets  # whether a comet may listen beyond its own machine

    async def connect(self, request: rpc.Connect) -> rpc.Connected:
        """See :meth:`imd.logic.arrivals.Arrivals.connect`."""
        return await self._arrivals.connect(request)

    async def connect_many(self, request: rpc.ConnectMany) -> rpc.Verdicts:
        """See :meth:`imd.logic.arrivals.Arrivals.connect_many`."""
        return await self._arrivals.connect_many(request)

    async def disconnect(self, request: rpc.Disconnect) -> rpc.Done:
        """Forget the connection, unless its key is a newer one's by now."""
        await self._presence.detach(Location(request.server, request.boot), request.key, request.mid)
        return rpc.Done()

    async def disconnect_many(self, request: rpc.DisconnectMany) -> rpc.Done:
        """The same for many. Raises :class:`imd.errors.BadRequest`."""
        if len(request.entries) > MAX_CLIENTS:
            raise BadRequest(f"{MAX_CLIENTS} entries at most")
        await self._presence.detach_many(Location(request.server, request.boot), request.entries)
        return rpc.Done()

    async def renew(self, request: rpc.Renew) -> rpc.Renewed:
        """Extend the comet's lease and what this page names.

        Raises :class:`imd.errors.ServerIdTaken` when a newer boot holds the lease, :class:`imd.errors.AuthRefused` for a comet
        that strangers can reach while every client is believed.
        """
        if request.public and not self._public_comets:
            raise AuthRefused(
                "logic runs with auth.mode = trust, which believes whatever a client says, and this comet listens on a public "
                "address: use auth.mode = token, or set auth.allow_trust_on_public_address = true for logic"
            )
        location = Location(request.server, request.boot)
        if request.leaving:
            await self._leases.release(location)
            return rpc.Renewed()
        alive = await self._leases.renew(location)
        replaced = await self._presence.renew(location, request.entries) if request.entries else []
        counts = await self._rooms.report(location, request.rooms) if request.rooms else {}
        return rpc.Renewed(lease_lapsed=not alive, replaced=tuple(replaced), rooms=tuple(counts.items()))

    async def receive(self, request: rpc.Receive) -> rpc.Done:
        """Hand the packet to the hook. The client gets its echo whatever the hook does."""
        try:
            await self._hook(request)
        except CancelledError:
            raise
        except Exception:  # the application's own code: whatever it raises is its bug, and must not reach the client
            self._log.failure("the receive hook failed on operation {operation}", operation=request.operation)
            self._metrics.hook_calls.add(1, "error")
        else:
            self._metrics.hook_calls.add(1, "ok")
        return rpc.Done()

    async def host(self, request: rpc.Host) -> rpc.Done:
        """The comet wants the room's pushes from now on, or no longer."""
        location = Location(request.server, request.boot)
        if request.wanted:
            await self._rooms.host(location, request.room)
        else:
            await self._rooms.unhost(location, request.room)
        return rpc.Done()

    async def read(self, request: rpc.Read) -> rpc.Pages:
        """See :meth:`imd.logic.kept_messages.KeptMessages.read`."""
        return await self._kept.read(request)

    async def ack(self, request: rpc.Acks) -> rpc.Done:
        """See :meth:`imd.logic.kept_messages.KeptMessages.ack`."""
        return await self._kept.ack(request)

    async def send(self, request: rpc.Send) -> rpc.Sent:
        """See :meth:`imd.logic.sender.Sender.send`."""
        return await self._sender.send(request)

    async def attend(self, request: rpc.Attendances) -> rpc.Done:
        """See :meth:`imd.logic.attendance.Attendance.attend`."""
        return await self._attendance.attend(request)

    async def refresh(self, request: rpc.Refresh) -> rpc.Refreshed:
        """How long the new token is good, and what it grants; the client keeps its key, its rooms and its accept set.

        Raises :class:`imd.errors.AuthRefused` for one that is not good, or names another member;
        :class:`imd.errors.Unavailable` when the authenticator cannot say. Who trusts clients refuses none.
        """
        shown = rpc.Connect(request.server, 0, "", request.mid, token=request.token)
        identity = await self._authenticator.authenticate(shown)
        if identity.mid != request.mid:
            raise AuthRefused("the token is another member's")
        return rpc.Refreshed(identity.expires_at_ms, identity.grants)
