"""Links to the peers in the registry: to every comet, or to all logic processes as if they were one."""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

import zmq
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from imd.errors import (
    BadRequest,
    ConfigError,
    DeadlineExceeded,
    ImdError,
    Overloaded,
    PeerDown,
    PeerUnavailable,
    by_code,
)
from imd.interfaces import CometClient, Instance, Registry
from imd.metrics import Metrics
from imd.protocol import rpc
from imd.transport.rpc_client import RpcCometClient, RpcLogicClient
from imd.transport.rpc_gather import Gathering
from imd.transport.rpc_link import Link
from imd.transport.zmq_curve import CurveDialer
from imd.transport.zmq_options import ZmqOptions

IDEMPOTENT = frozenset(
    {
        rpc.Method.CONNECT,
        rpc.Method.DISCONNECT,
        rpc.Method.CONNECT_MANY,
        rpc.Method.DISCONNECT_MANY,
        rpc.Method.RENEW,
        rpc.Method.HOST,
        rpc.Method.READ,
        rpc.Method.ACK,
        rpc.Method.REFRESH,
    }
)
MIN_ATTEMPT_SECONDS = 0.1  # with less left, another try cannot succeed


class Links:
    """A link to each living process of one role that has an endpoint, made and retired as the registry says.

    A process that was started again is another peer. Where we have CURVE keys, a peer without one is not dialled.
    """

    log = Logger()

    def __init__(
        self,
        *,
        role: str,
        registry: Registry,
        context: zmq.Context[zmq.Socket[bytes]],
        reactor: Any,
        metrics: Metrics,
        deadline_seconds: float,
        options: ZmqOptions | None = None,
        curve: CurveDialer | None = None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._role = role
        self._registry = registry
        self._context = context
        self._reactor = reactor
        self._metrics = metrics
        self._deadline_seconds = deadline_seconds  # of a call on a link
        self._options = options
        self._curve = curve  # None = plaintext
        self._changed = changed  # told after the peers changed
        self._unwatch: Callable[[], None] | None = None  # None while closed
        self._retired: set[Link] = set()  # out of the registry, with calls that may be pending
        self.peers: dict[Instance, Link] = {}  # as :func:`_peer` names them
        self._shunned: set[Instance] = set()  # in the registry and not to be dialled: each was warned of once

    def open(self) -> None:
        """Watch the registry."""
        self._unwatch = self._registry.watch(self._role, self._registered)

    def close(self) -> None:
        """Hang up on everybody."""
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
        for link in [*self.peers.values(), *self._retired]:
            link.changed = None
            link.close()
        self.peers.clear()
        self._retired.clear()
        self._count()

    @property
    def reachable(self) -> bool:
        """A link is up, or there is nobody to reach."""
        links = self.peers.values()
        return any(link.up for link in links) or not (links or self._shunned)

    def _registered(self, instances: Sequence[Instance]) -> None:
        wanted = {_peer(instance) for instance in instances if instance.rpc}
        for peer in [peer for peer in self.peers if peer not in wanted]:
            self._retire(self.peers.pop(peer))
        self._shunned &= wanted
        for peer in sorted(wanted - self.peers.keys() - self._shunned, key=lambda peer: peer.id):
            if self._curve is not None and not peer.rpc_public_key:
                self.log.warn("{role} {id} offers no CURVE key and is not dialled", role=peer.role, id=peer.id)
                self._shunned.add(peer)
                continue
            try:
                self.peers[peer] = self._dial(peer)
            except ConfigError as error:  # of the peer's: it must not cost us the others
                self.log.warn("{role} {id} is not dialled: {error}", role=peer.role, id=peer.id, error=str(error))
                self._shunned.add(peer)
        self._count()
        self._changed()

    def _dial(self, peer: Instance) -> Link:
        link = Link(
            context=self._context,
            reactor=self._reactor,
            endpoint=peer.rpc,
            metrics=self._metrics,
            deadline_seconds=self._deadline_seconds,
            options=self._options,
            curve=self._curve,
            server_key=peer.rpc_public_key.encode(),
        )
        link.changed = self._count
        link.open()
        return link

    def _retire(self, link: Link) -> None:
        self._retired = {old for old in self._retired if old.pending}
        self._retired.add(link)
        link.changed = None
        link.retire()

    def _count(self) -> None:
        up = sum(link.up for link in self.peers.values())
        self._metrics.links.set(up, self._role, "up")
        self._metrics.links.set(len(self.peers) - up, self._role, "down")


def _peer(instance: Instance) -> Instance:
    """What makes it another peer when it changes."""
    return Instance(
        role=instance.role,
        id=instance.id,
        boot=instance.boot,
        rpc=instance.rpc,
        rpc_public_key=instance.rpc_public_key,
    )


class CometLinks:
    """:class:`imd.interfaces.Comets` by the registry; a :class:`imd.interfaces.Resource`."""

    def __init__(self, *, registry: Registry, deadline_seconds: float = 3.0, **shared: Any) -> None:
        # ``shared`` as Links takes it: context, reactor, metrics, options, curve
        self._links = Links(
            role="comet", registry=registry, deadline_seconds=deadline_seconds, changed=self._changed, **shared
        )
        self._comets: dict[str, tuple[int, CometClient]] = {}  # server -> its latest boot, and its link
        self._known: Deferred[None] = Deferred()  # fires when the registry has said who is there

    async def open(self) -> None:
        """Returns once the registry has said which comets there are, however long that takes: what job took off the broker
        before would find none, and a push to all would be dropped for it."""
        self._known = Deferred()
        self._links.open()
        try:
            await self._known
        except CancelledError:
            self._links.close()
            raise

    async def close(self) -> None:
        """See :class:`imd.interfaces.Resource`."""
        self._links.close()
        self._comets = {}

    def trouble(self) -> str | None:
        """None while one comet is up, and also when none is there: then there is nobody to push to."""
        return None if self.reachable() else "no comet can be reached: pushes wait in the broker"

    def reachable(self) -> bool:
        """See :class:`imd.interfaces.Comets`. A comet that is not dialled, for its keys do not fit ours, is not reached."""
        return self._links.reachable

    def find(self, server: str) -> tuple[int, CometClient] | None:
        """See :class:`imd.interfaces.Comets`."""
        return self._comets.get(server)

    def all(self) -> Mapping[str, tuple[int, CometClient]]:
        """See :class:`imd.interfaces.Comets`."""
        return self._comets

    def _changed(self) -> None:
        peers = sorted(self._links.peers.items(), key=lambda item: item[0].boot)
        self._comets = {peer.id: (peer.boot, RpcCometClient(link)) for peer, link in peers}
        if not self._known.called:
            self._known.callback(None)


class LogicLinks(RpcLogicClient):
    """:class:`imd.interfaces.LogicClient` over whichever logic is up; a :class:`imd.interfaces.Resource`.

    Calls go round. One that was not sent, or was refused for load, goes to the next peer; one whose outcome is unknown does
    too if its method may be repeated. ``deadline_seconds`` covers all tries, ``attempt_seconds`` one.

    Clients who come, or go, at one time share a request (:class:`imd.transport.rpc_gather.Gathering`). A logic of an older
    version does not know such requests: it is asked for each alone then.
    """

    __slots__ = ("_arrivals", "_deadline_seconds", "_departures", "_links", "_reactor", "_turn")

    def __init__(
        self,
        *,
        registry: Registry,
        reactor: Any,
        deadline_seconds: float = 5.0,
        attempt_seconds: float = 2.5,
        **shared: Any,
    ) -> None:
        super().__init__(self)
        self._links = Links(
            role="logic", registry=registry, reactor=reactor, deadline_seconds=attempt_seconds, **shared
        )
        self._arrivals = Gathering(clock=reactor, ask=self._connect_all)
        self._departures = Gathering(clock=reactor, ask=self._disconnect_all)
        self._reactor = reactor
        self._deadline_seconds = deadline_seconds
        self._turn = 0  # rises with every call: where the round begins

    async def open(self) -> None:
        """See :class:`imd.interfaces.Resource`."""
        self._links.open()

    async def close(self) -> None:
        """See :class:`imd.interfaces.Resource`."""
        self._arrivals.close()
        self._departures.close()
        self._links.close()

    async def connect(self, request: rpc.Connect) -> rpc.Connected:
        """See :class:`imd.interfaces.LogicClient`."""
        connected = await self._arrivals.ask(request)
        return await super().connect(request) if connected is None else connected

    async def disconnect(self, request: rpc.Disconnect) -> rpc.Done:
        """See :class:`imd.interfaces.LogicClient`."""
        done = await self._departures.ask(request)
        return await super().disconnect(request) if done is None else done

    async def _connect_all(self, clients: Sequence[rpc.Connect]) -> list[rpc.Connected | ImdError | None]:
        """None for one that has to be asked for alone."""
        if len(clients) == 1:
            return [await super().connect(clients[0])]
        try:
            verdicts = (await self.connect_many(rpc.ConnectMany(tuple(clients)))).verdicts
        except BadRequest:
            return [None] * len(clients)
        if len(verdicts) != len(clients):
            raise ImdError(f"logic gave {len(verdicts)} verdicts on {len(clients)} clients")
        return [by_code(each.code)(each.words) if each.code else each.connected for each in verdicts]

    async def _disconnect_all(self, ends: Sequence[rpc.Disconnect]) -> list[rpc.Done | ImdError | None]:
        """As :meth:`_connect_all`. All are of one comet's start."""
        first = ends[0]
        if len(ends) == 1:
            return [await super().disconnect(first)]
        entries = tuple((each.key, each.mid) for each in ends)
        try:
            return [await self.disconnect_many(rpc.DisconnectMany(first.server, first.boot, entries))] * len(ends)
        except BadRequest:
            return [None] * len(ends)

    def trouble(self) -> str | None:
        """None when one logic is up."""
        return None if any(link.up for link in self._links.peers.values()) else "no logic can be reached"

    async def call(self, method: rpc.Method, request: rpc.Value) -> rpc.Value:
        """The first reply. Raises :class:`PeerDown` when nobody could be asked, else as the last peer's link did."""
        ends = self._reactor.seconds() + self._deadline_seconds
        error: Exception = PeerDown("no logic can be reached")
        for link in self._round():
            left = ends - self._reactor.seconds()
            if left < MIN_ATTEMPT_SECONDS:
                break
            try:
                return await self._attempt(link, method, request, left)
            except (PeerDown, Overloaded) as refused:
                error = refused
            except (PeerUnavailable, DeadlineExceeded) as unknown:
                error = unknown
                if not _repeatable(method, request):
                    break
        raise error

    def _round(self) -> list[Link]:
        """Every peer once, another one in front each time; those that would only refuse come last."""
        links = list(self._links.peers.values())
        if not links:
            return []
        self._turn += 1
        start = self._turn % len(links)
        turned = list(chain(links[start:], links[:start]))
        return sorted(turned, key=lambda link: not link.ready)

    async def _attempt(self, link: Link, method: rpc.Method, request: rpc.Value, left: float) -> rpc.Value:
        reply = Deferred.fromCoroutine(link.call(method, request))
        reply.addTimeout(left, self._reactor, onTimeoutCancel=_out_of_time)
        return await reply


def _repeatable(method: rpc.Method, request: rpc.Value) -> bool:
    """Whether it may be done twice: a client's message only under the id that makes the second one a repeat."""
    return method in IDEMPOTENT or (isinstance(request, rpc.Send) and bool(request.client_id))


def _out_of_time(_result: object, seconds: float) -> rpc.Value:
    raise DeadlineExceeded(f"no logic answered within what was left of the deadline, {seconds:.1f} s")
