"""twistd's `imd-comet`: connections, sessions and fan-out."""

from random import random
from secrets import token_hex
from typing import Any, ClassVar

from imd.comet.limits import Limits
from imd.comet.policy import SlowPolicy
from imd.comet.server import Server
from imd.config import Role, Settings
from imd.config.check import is_public
from imd.config.settings import Comet
from imd.errors import ConfigError
from imd.interfaces import Registry
from imd.protocol.rpc import Method
from imd.service.comets import supervise
from imd.service.cores import allowance, cores, count_processes
from imd.service.daemon import Daemon, Part
from imd.service.discovery import discovery
from imd.service.launch import launch
from imd.service.leased_server import LeasedServer
from imd.service.links import LogicLinks
from imd.service.listener import Listener
from imd.service.offer import Offer
from imd.service.options import Options as RoleOptions
from imd.service.process import Process, now_ms
from imd.service.registration import Registration
from imd.service.room_types import room_types
from imd.service.rpc_part import RpcPart
from imd.service.sending import Sending
from imd.transport.rpc_server import RpcServer
from imd.transport.server_certificate import ServerCertificate
from imd.transport.tcp import TcpFactory
from imd.transport.websocket import WebSocketFactory


class Options(RoleOptions):
    """What `twistd imd-comet --help` shows."""

    role: ClassVar[Role] = "comet"
    optParameters: ClassVar[list[list[Any]]] = [
        [
            "processes",
            "n",
            None,
            "How many comets to run side by side on the same ports, each a process of its own: a number, or auto for one a "
            "core. Their ids are ID-1, ID-2, …; without this option it is one process, ID.",
        ],
    ]
    optFlags: ClassVar[list[list[Any]]] = [
        ["pin", None, "With --processes: keep each on a core of its own, instead of where the scheduler likes it."]
    ]
    synopsis = "[--config comet.toml] [--id ID] [--processes N] [--set section.key=value]..."
    longdesc = (
        "Holds the clients' connections (TCP, WebSocket, and both over TLS) and writes pushes to them. Finds logic through "
        "ZooKeeper, and accepts clients once presence knows it. Listens on 127.0.0.1:3101 (TCP) and :3102 (WebSocket) unless "
        "configured otherwise. A comet is one process and uses one core: --processes runs several behind the same ports, "
        "starts again what ends, and stops all of them together. For all of imd in one process: twistd imd."
    )

    def __init__(self) -> None:
        super().__init__()
        self.held = cores()
        self.count: int | None = None  # of processes, once the command line was read; None = this one, unsupervised

    def postOptions(self) -> None:
        """The count comes first, for ``--check`` answers and ends."""
        if self["processes"] is not None:
            try:
                self.count = count_processes(self["processes"], cores=len(self.held), allowance=allowance())
            except ConfigError as error:
                raise SystemExit(str(error)) from None
        super().postOptions()


def makeService(options: Options) -> Daemon:  # twistd's name
    """twistd calls it, before the fork."""
    if options.count is None:
        return launch(options, build)
    return supervise(options, options.count, cores=options.held if options["pin"] else ())


def build(process: Process) -> list[Part]:
    """The parts of a comet of a cluster."""
    found = discovery(process)
    return [
        *process.parts(),
        *found.parts,
        *comet_parts(process, found.registry, process.settings.rpc.listen),
    ]


def comet_parts(process: Process, registry: Registry, endpoint: str) -> list[Part]:
    """The edge itself. ``endpoint``: where job reaches it.

    It is registered before it asks for presence's lease: a second process under a living one's id must not take that.
    Clients are sent here last of all, and no longer first of all.
    """
    rpc = process.settings.rpc
    links = LogicLinks(
        registry=registry,
        context=process.context,
        reactor=process.reactor,
        metrics=process.metrics,
        deadline_seconds=rpc.deadline_seconds,
        attempt_seconds=rpc.deadline_seconds / 2,  # time for another logic
        options=process.zmq_options,
        curve=process.security.dialer,
    )
    settings = process.settings.comet
    sending = Sending(settings.sender)
    server = Server(
        server=process.id,
        boot=process.boot,
        logic=links,
        clock=process.reactor,
        metrics=process.metrics,
        make_key=lambda: token_hex(16),
        random=random,
        now_ms=now_ms,
        limits=_limits(process.settings),
        arm=sending.arm,
        public=any(is_public(text) for text in _addresses(settings).values() if text),
        refused=process.fail,
    )
    answers = RpcServer(
        context=process.context,
        reactor=process.reactor,
        endpoint=endpoint,
        handlers={Method.PUSH: server.push},
        metrics=process.metrics,
        options=process.zmq_options,
        curve=process.security.guard,
    )
    registration = Registration(
        registry=registry,
        clock=process.reactor,
        describe=lambda: process.instance(
            "comet", process.advertised(answers.endpoint), conn_count=server.conn_count, ip_count=server.ip_count
        ),
        offered=False,
    )
    return [
        Part("sender", sending),
        Part("logic links", links),
        Part("comet rpc", RpcPart(answers)),
        Part("comet registration", registration),
        Part("presence lease", LeasedServer(server, clock=process.reactor, unnamed=registry.trouble)),
        *_listeners(process, server),
        Part("offer to clients", Offer(registration)),
    ]


def _listeners(process: Process, server: Server) -> list[Part]:
    settings, clock = process.settings.comet, process.reactor
    certificate = (
        ServerCertificate(cert_file=settings.certificate, key_file=settings.private_key)
        if settings.tls or settings.websocket_tls
        else None
    )
    parts = []
    for key, text in _addresses(settings).items():
        if not text:
            continue
        tls = key in ("tls", "websocket_tls")
        factory = (
            WebSocketFactory(
                accept=server.accept,
                clock=clock,
                origins=settings.allowed_origins,
                max_body_bytes=settings.max_body_bytes,
                tls=tls,
            )
            if key.startswith("websocket")
            else TcpFactory(accept=server.accept, clock=clock, max_body_bytes=settings.max_body_bytes, tls=tls)
        )
        bound = process.sockets[f"comet.{key}"]
        listener = Listener(
            bound, reactor=process.reactor, factory=factory, tls=certificate if tls else None, direct=True
        )
        parts.append(Part(bound.key, listener))
    return parts


def _addresses(settings: Comet) -> dict[str, str]:
    """Key of ``[comet]`` -> where clients connect; empty = off."""
    return {
        "tcp": settings.tcp,
        "websocket": settings.websocket,
        "tls": settings.tls,
        "websocket_tls": settings.websocket_tls,
    }


def _limits(whole: Settings) -> Limits:
    settings = whole.comet
    policies = {name: room.slow_policy for name, room in whole.rooms.items()}
    return Limits(
        handshake_seconds=settings.handshake_seconds,
        heartbeat_seconds=settings.heartbeat_seconds,
        heartbeat_max=settings.heartbeat_max,
        max_connections=settings.max_connections,
        max_connections_per_address=settings.max_connections_per_address,
        packets_per_second=settings.packets_per_second,
        packets_burst=settings.packet_burst,
        max_body_bytes=settings.max_body_bytes,
        outbox_bytes=settings.outbox_bytes,
        slow_policy=SlowPolicy(settings.slow_policy),
        slow_policies={name: SlowPolicy(policy) for name, policy in policies.items() if policy is not None},
        room_types=room_types(whole),
        inboxes_kept=whole.inboxes.keep,
        buckets=settings.buckets,
        deliveries_per_turn=settings.turn_channels,
        delivery_queue_bytes=settings.delivery_queue_bytes,
        rooms=settings.max_rooms,
        resumes_per_second=settings.resumes_per_second,
        resumes_burst=settings.resume_burst,
        check_seconds=settings.timeline_check_seconds,
        linger_seconds=settings.room_linger_seconds,
        renew_seconds=settings.renew_seconds,
        full_cycle_seconds=settings.full_renewal_seconds,
        stop_seconds=settings.stop_seconds,
    )
