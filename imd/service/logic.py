"""twistd's `imd-logic`: authentication, presence, the push API and goim's endpoints over HTTP."""

from time import time
from typing import ClassVar

from twisted.logger import Logger

from imd import __version__
from imd.config import Role
from imd.config.check import is_public
from imd.config.settings import Auth, Push
from imd.config.settings import Nodes as NodesTable
from imd.interfaces import Authenticator, Registry
from imd.logic.access import PushKey, PushKeys
from imd.logic.attendance import Attendance
from imd.logic.balancer import Balancer
from imd.logic.connection import Connections
from imd.logic.devices import DeviceLimits, Devices
from imd.logic.fate import Fates
from imd.logic.ids import IdMaker
from imd.logic.kept_messages import KeptMessages
from imd.logic.keys import KeyRing
from imd.logic.kicks import Kicks
from imd.logic.nodes import Backoff, Nodes, NodesSettings
from imd.logic.online import Online
from imd.logic.push import Pusher
from imd.logic.push_limits import PushLimits
from imd.logic.receive import Discard
from imd.logic.region import Regions
from imd.logic.sender import Sender
from imd.logic.token import TokenAuthenticator, TokenSettings
from imd.logic.trace_notes import TraceNotes
from imd.logic.tracing import Tracing
from imd.logic.trust import TrustAuthenticator
from imd.logic.verify_key import VerifyKey, read_jwks
from imd.protocol.room_type import Send
from imd.protocol.rpc import Method
from imd.service.daemon import Daemon, Part
from imd.service.discovery import discovery
from imd.service.launch import launch
from imd.service.listener import Listener
from imd.service.named_file import read_named
from imd.service.options import Options as RoleOptions
from imd.service.process import Process
from imd.service.registration import Registration
from imd.service.room_types import keep_rules, room_types
from imd.service.rpc_part import RpcPart
from imd.service.storage import Storage, storage
from imd.service.trace_notes_part import TraceNotesPart
from imd.service.watching import Watching
from imd.service.worker_id import WorkerId
from imd.transport.http import HttpSite
from imd.transport.http_goim import GoimApi
from imd.transport.http_health import HealthApi
from imd.transport.http_messages import MessagesApi
from imd.transport.http_openapi import OpenApi
from imd.transport.http_pages import PagesApi, PageSettings
from imd.transport.http_v1 import PushApi
from imd.transport.jwks_http import JwksUrl
from imd.transport.rpc_server import RpcServer


class Options(RoleOptions):
    """What `twistd imd-logic --help` shows."""

    role: ClassVar[Role] = "logic"
    synopsis = "[--config logic.toml] [--id ID] [--set section.key=value]..."
    longdesc = (
        "Authenticates clients, keeps presence, accepts pushes over HTTP (goim's endpoints and /v1/push) into Redis. "
        "Needs Redis and ZooKeeper. Listens on 127.0.0.1:3111 (HTTP) unless configured otherwise. "
        "For all of imd in one process without either: twistd imd."
    )


def makeService(options: Options) -> Daemon:  # twistd's name
    """twistd calls it, before the fork."""
    return launch(options, build)


def build(process: Process) -> list[Part]:
    """The parts of a logic of a cluster."""
    ids = IdMaker(now=time)
    found = discovery(process, worker_id_changed=ids.take)
    stored = storage(process, found.witness)
    return [
        *process.parts(),
        *found.parts,
        *stored.parts,
        *logic_parts(process, found.registry, stored, ids, process.settings.rpc.listen),
    ]


def logic_parts(process: Process, registry: Registry, stored: Storage, ids: IdMaker, endpoint: str) -> list[Part]:
    """The brain itself. ``endpoint``: where comets reach it."""
    settings, metrics = process.settings, process.metrics
    ring = _key_ring(settings.auth, process) if settings.auth.mode == "token" else None
    name = f"logic/{process.id}"  # as traces have it
    notes = TraceNotes(traces=stored.traces, process=name, metrics=metrics)
    pusher = Pusher(
        broker=stored.broker,
        ids=ids,
        now=time,
        limits=_limits(settings.push),
        metrics=metrics,
        rules=keep_rules(settings),
        tracing=Tracing(notes=notes, process=name, share=settings.trace.share),
    )
    connections = _connections(process, stored, ids, pusher, notes, _authenticator(settings.auth, ring))
    answers = _answers(process, connections, endpoint)
    online = Online(rooms=stored.rooms)
    nodes = Nodes(
        balancer=Balancer(region_weight=settings.nodes.region_weight),
        regions=Regions(settings.regions),
        settings=_nodes(settings.nodes),
    )
    registration = Registration(
        registry=registry,
        clock=process.reactor,
        describe=lambda: process.instance("logic", process.advertised(answers.endpoint)),
    )
    listeners = []
    if "logic.http" in process.sockets:
        fates = Fates(traces=stored.traces, timelines=stored.timelines)
        site = _site(process, pusher, fates, online, nodes)
        http = Listener(
            process.sockets["logic.http"], reactor=process.reactor, factory=site, direct=True, drain=site.stop
        )
        listeners.append(Part("logic.http", http))
    return [
        *([Part("token keys", ring)] if ring else []),
        Part("trace notes", TraceNotesPart(notes)),
        Part("worker id", WorkerId(registry=registry, take=ids.take)),
        Part("known comets", Watching(registry, "comet", online.comets_changed, nodes.comets_changed)),
        Part("logic rpc", RpcPart(answers)),
        *listeners,
        Part("logic registration", registration),
    ]


def _answers(process: Process, connections: Connections, endpoint: str) -> RpcServer:
    """Where they ask it."""
    return RpcServer(
        context=process.context,
        reactor=process.reactor,
        endpoint=endpoint,
        handlers={
            Method.CONNECT: connections.connect,
            Method.DISCONNECT: connections.disconnect,
            Method.CONNECT_MANY: connections.connect_many,
            Method.DISCONNECT_MANY: connections.disconnect_many,
            Method.RENEW: connections.renew,
            Method.RECEIVE: connections.receive,
            Method.HOST: connections.host,
            Method.READ: connections.read,
            Method.ACK: connections.ack,
            Method.SEND: connections.send,
            Method.REFRESH: connections.refresh,
            Method.ATTEND: connections.attend,
        },
        metrics=process.metrics,
        options=process.zmq_options,
        curve=process.security.guard,
    )


def _connections(
    process: Process, stored: Storage, ids: IdMaker, pusher: Pusher, notes: TraceNotes, authenticator: Authenticator
) -> Connections:
    """What comets ask."""
    settings, metrics = process.settings, process.metrics
    types = room_types(settings)
    kicks = Kicks(broker=stored.broker, ids=ids, now=time, metrics=metrics)
    limits = DeviceLimits(default=settings.devices.limit, per_platform=settings.devices.per_platform)
    return Connections(
        authenticator=authenticator,
        presence=stored.presence,
        rooms=stored.rooms,
        leases=stored.leases,
        kicks=kicks,
        devices=Devices(presence=stored.presence, kicks=kicks, limits=limits),
        kept=KeptMessages(timelines=stored.timelines, notes=notes, now=time),
        sender=Sender(pusher=pusher, metrics=metrics, room_types=types, to_members=Send(settings.inboxes.send)),
        attendance=Attendance(broker=stored.broker, ids=ids, now=time, metrics=metrics, room_types=types),
        hook=Discard(),
        metrics=metrics,
        public_comets=settings.auth.mode != "trust" or settings.auth.allow_trust_on_public_address,
    )


def _key_ring(auth: Auth, process: Process) -> KeyRing:
    """The keys that may have signed tokens. Raises :class:`imd.errors.ConfigError` for files that hold none."""
    keys = [
        VerifyKey.from_file(
            read_named(f"auth.keys[{number}].file", key.file), algorithm=key.algorithm, source=key.file, kid=key.kid
        )
        for number, key in enumerate(auth.keys)
    ]
    fetch = None
    if auth.jwks.startswith(("https://", "http://")):
        fetch = JwksUrl(url=auth.jwks, reactor=process.reactor)
    elif auth.jwks:
        keys += read_jwks(read_named("auth.jwks", auth.jwks), source=auth.jwks, secrets=True)
    return KeyRing(
        keys=keys,
        clock=process.reactor,
        metrics=process.metrics,
        fetch=fetch,
        refresh_seconds=auth.jwks_refresh_seconds,
    )


def _authenticator(auth: Auth, ring: KeyRing | None) -> Authenticator:
    if ring is None:
        return TrustAuthenticator()
    settings = TokenSettings(
        issuer=auth.issuer,
        audience=auth.audience,
        mid_claim=auth.mid_claim,
        leeway_seconds=auth.leeway_seconds,
        require_exp=auth.require_exp,
    )
    return TokenAuthenticator(keys=ring, now=time, settings=settings)


def _site(process: Process, pusher: Pusher, fates: Fates, online: Online, nodes: Nodes) -> HttpSite:
    settings = process.settings
    required = _keys_required(process)
    if required and not settings.push.keys:
        log = Logger("imd.service.logic")
        log.warn("nobody can push: push keys are required, and push.keys is empty; imdctl new-push-key makes one")
    keys = PushKeys(
        keys=[PushKey(name=key.name, sha256=key.sha256, scopes=key.scopes) for key in settings.push.keys],
        required=required,
    )
    page = PageSettings(
        websocket_port=_websocket_port(process),
        secure_websocket_port=settings.nodes.wss_port,
        nodes=process.role == "logic",
        push_key_needed=required,
        token_needed=settings.auth.mode == "token",
    )
    routes = [
        *GoimApi(pusher=pusher, keys=keys, online=online, nodes=nodes).routes(),
        *PushApi(pusher=pusher, keys=keys).routes(),
        *MessagesApi(fates=fates, keys=keys).routes(),
        *HealthApi(troubles=process.troubles).routes(),
        *PagesApi(settings=page).routes(),
    ]
    document = OpenApi(routes=routes, version=__version__, keys_required=required)
    return HttpSite(
        [*routes, *document.routes()],
        clock=process.reactor,
        metrics=process.metrics,
        max_body_bytes=settings.logic.max_request_bytes,
        receive_seconds=settings.logic.http_timeout_seconds,
        idle_seconds=settings.logic.http_timeout_seconds,
    )


def _websocket_port(process: Process) -> int:
    """Where browsers find a comet: our own in `twistd imd`, else as clients are told."""
    bound = process.sockets.get("comet.websocket")
    return bound.address.port if bound else process.settings.nodes.ws_port


def _keys_required(process: Process) -> bool:
    """Unless told: always, but where a client need not prove who it is and only this machine can reach us."""
    settings = process.settings
    if settings.push.require_key == "auto":
        return settings.auth.mode != "trust" or is_public(settings.logic.http)
    return settings.push.require_key == "always"


def _limits(push: Push) -> PushLimits:
    return PushLimits(body_bytes=push.max_body_bytes, pushes=push.max_array, targets=push.max_targets)


def _nodes(table: NodesTable) -> NodesSettings:
    return NodesSettings(
        default_domain=table.default_domain,
        domain_suffix=table.domain_suffix,
        tcp_port=table.tcp_port,
        ws_port=table.ws_port,
        wss_port=table.wss_port,
        heartbeat_seconds=round(table.heartbeat_seconds),
        heartbeat_max=table.heartbeat_max,
        max_nodes=table.max_nodes,
        backoff=Backoff(
            max_delay=table.backoff_max_delay,
            base_delay=table.backoff_base_delay,
            factor=table.backoff_factor,
            jitter=table.backoff_jitter,
        ),
    )
