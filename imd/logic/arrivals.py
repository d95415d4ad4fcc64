"""Arrivals: clients who want in, one by one or many at a time."""

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from imd.errors import BadRequest, ImdError
from imd.interfaces import Authenticator, Identity, Location, Presence
from imd.logic.devices import Devices
from imd.logic.kicks import Kicks
from imd.protocol import rpc

MAX_CLIENTS = 1000  # in one request: the wire's limit

Arrival = tuple[rpc.Connect, Identity]


class Arrivals:
    """Who are they; what the credentials say wins over what a client asked for. Then presence names them, all at once."""

    _log = Logger()

    __slots__ = ("_authenticator", "_devices", "_kicks", "_presence")

    def __init__(self, *, authenticator: Authenticator, presence: Presence, kicks: Kicks, devices: Devices) -> None:
        self._authenticator = authenticator
        self._presence = presence
        self._kicks = kicks  # end replaced connections
        self._devices = devices

    async def connect(self, request: rpc.Connect) -> rpc.Connected:
        """Raises :class:`imd.errors.AuthRefused`; :class:`imd.errors.Unavailable` when the authenticator or presence is away:
        presence may name the connection then, until it is told otherwise."""
        identity = await self._authenticator.authenticate(request)
        return (await self._enter([(request, identity)]))[0]

    async def connect_many(self, request: rpc.ConnectMany) -> rpc.Verdicts:
        """Those that can be told who they are without waiting; the others are to be asked for alone: a key that has to be
        fetched first must not keep those who came with it. Raises :class:`imd.errors.BadRequest`, and
        :class:`imd.errors.Unavailable` as :meth:`connect` does, for all of them."""
        clients = request.clients
        if len(clients) > MAX_CLIENTS or len({(each.server, each.boot) for each in clients}) > 1:
            raise BadRequest(f"clients of one comet's start, {MAX_CLIENTS} at most")
        found = [self._identify(each) for each in clients]
        arrivals = [(client, each) for client, each in zip(clients, found, strict=True) if isinstance(each, Identity)]
        entered = iter(await self._enter(arrivals) if arrivals else ())
        return rpc.Verdicts(tuple(rpc.Verdict(next(entered)) if isinstance(each, Identity) else each for each in found))

    def _identify(self, client: rpc.Connect) -> Identity | rpc.Verdict:
        """Who it is, as far as that is known at once."""
        found: list[Identity | rpc.Verdict] = []
        asking = Deferred.fromCoroutine(self._authenticator.authenticate(client))
        asking.addCallbacks(found.append, lambda failure: found.append(self._refused(failure)))
        if not found:
            asking.cancel()
            return rpc.Verdict()
        return found[0]

    def _refused(self, failure: Any) -> rpc.Verdict:
        error = failure.value
        if not isinstance(error, ImdError | CancelledError):
            # The last rung: one client must not cost the others theirs.
            self._log.failure("authenticating failed", failure)
            error = ImdError("internal error")
        return rpc.Verdict(None, error.code, str(error)) if isinstance(error, ImdError) else rpc.Verdict()

    async def _enter(self, arrivals: Sequence[Arrival]) -> list[rpc.Connected]:
        """Presence names them. Precondition: at least one, and all of one comet's start."""
        location = Location(arrivals[0][0].server, arrivals[0][0].boot)
        connected = [_connected(client, identity) for client, identity in arrivals]
        entries = [(each.key, each.mid, each.platform) for each in connected]
        displaced = await self._presence.attach_many(location, entries)
        if displaced:
            await self._kicks.kick(list(displaced.items()))
        await self._devices.all_connected(entries)
        return connected


def _connected(client: rpc.Connect, identity: Identity) -> rpc.Connected:
    key = identity.key or client.key
    assert key, "comet proposes a key when the client has none"
    return rpc.Connected(
        key=key,
        mid=identity.mid,
        room=client.room if identity.room is None else identity.room,
        accepts=client.accepts if identity.accepts is None else identity.accepts,
        grants=identity.grants,
        expires_at_ms=identity.expires_at_ms,
        platform=client.platform if identity.platform is None else identity.platform,
    )
