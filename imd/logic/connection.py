"""What comets ask of logic: who is this client, remember it, forget it, who else is there."""

from collections.abc import Callable

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from imd.errors import AuthRefused, Overloaded, Unavailable
from imd.interfaces import Authenticator, Broker, Leases, Location, Presence, ReceiveHook, Rooms
from imd.logic.ids import IdMaker
from imd.metrics import Metrics
from imd.protocol import rpc
from imd.protocol.push import Push, Target, partition_of


class Connections:
    """:class:`imd.interfaces.LogicClient`, answered here.

    A key is one connection's: the newest wins, and the older one is told so by a kick through the broker, in order with the
    pushes to that key. Whose word a key is, is the authenticator's rule (see :class:`imd.logic.token.TokenAuthenticator`).
    """

    _log = Logger()

    __slots__ = (
        "_authenticator",
        "_broker",
        "_hook",
        "_ids",
        "_leases",
        "_metrics",
        "_now",
        "_offering",
        "_presence",
        "_public_comets",
        "_rooms",
    )

    def __init__(
        self,
        *,
        authenticator: Authenticator,
        presence: Presence,
        rooms: Rooms,
        leases: Leases,
        broker: Broker,
        hook: ReceiveHook,
        ids: IdMaker,
        now: Callable[[], float],
        metrics: Metrics,
        public_comets: bool = True,
    ) -> None:
        self._authenticator = authenticator
        self._presence = presence
        self._rooms = rooms
        self._leases = leases
        self._broker = broker  # for kicks
        self._hook = hook  # gets what clients send
        self._ids = ids
        self._now = now  # the wall clock, seconds since the epoch
        self._metrics = metrics
        self._offering = 0  # kicks for which the broker has not answered
        self._public_comets = public_comets  # whether a comet may listen beyond its own machine

    async def connect(self, request: rpc.Connect) -> rpc.Connected:
        """Who this is; what the credentials say wins over what the client asked for.

        Raises :class:`imd.errors.AuthRefused`; :class:`imd.errors.Unavailable` when the authenticator or presence is away:
        presence may name the connection then, until it is told otherwise.
        """
        identity = await self._authenticator.authenticate(request)
        key = identity.key or request.key
        assert key, "comet proposes a key when the client has none"
        location = Location(request.server, request.boot)
        displaced = await self._presence.attach(location, key, identity.mid)
        if displaced is not None:
            await self._kick(key, displaced)
        return rpc.Connected(
            key=key,
            mid=identity.mid,
            room=request.room if identity.room is None else identity.room,
            accepts=request.accepts if identity.accepts is None else identity.accepts,
        )

    async def disconnect(self, request: rpc.Disconnect) -> rpc.Done:
        """Forget the connection, unless its key is a newer one's by now."""
        await self._presence.detach(Location(request.server, request.boot), request.key, request.mid)
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

    async def _kick(self, key: str, displaced: Location) -> None:
        """Have the older connection closed. When the broker cannot take it, the older comet hears of it at its next renewal."""
        try:
            kick = Push(
                self._ids.make(),
                int(self._now() * 1000),
                Target.KICK,
                keys=(key,),
                server=displaced.server,
                boot=displaced.boot,
            )
            await self._offer(partition_of(key, self._broker.partitions), kick)
        except (Unavailable, Overloaded) as error:
            self._log.warn("a replaced connection on {server} stays: {error}", server=displaced.server, error=error)

    async def _offer(self, partition: int, kick: Push) -> None:
        self._metrics.offered.add(1, "kick")
        self._offers(1)
        try:
            await self._broker.publish([(partition, kick)])
        finally:
            self._offers(-1)

    def _offers(self, change: int) -> None:
        self._offering += change
        self._metrics.offering.set(self._offering, "kick")
