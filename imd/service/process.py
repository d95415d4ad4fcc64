"""What every process of imd has, whatever its role: who it is, its reactor, its counters, its ZeroMQ context."""

import platform
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import zmq
from twisted.internet.threads import deferToThreadPool

from imd import __version__
from imd.config import Role, Settings
from imd.config.check import listens
from imd.errors import ImdError
from imd.interfaces import Instance
from imd.metrics import Metrics
from imd.service.bound_socket import BoundSocket
from imd.service.daemon import Part
from imd.service.listener import Listener
from imd.service.rpc_security import PLAINTEXT, RpcSecurity, rpc_security
from imd.service.zmq_part import ZmqPart
from imd.transport.http import HttpSite
from imd.transport.http_health import HealthApi
from imd.transport.http_metrics import MetricsApi
from imd.transport.zmq_options import ZmqOptions


class Process(NamedTuple):
    """Made after twistd's fork: it holds a ZeroMQ context."""

    role: Role
    settings: Settings
    sockets: Mapping[str, BoundSocket]  # key of the configuration -> what was bound for it
    reactor: Any
    metrics: Metrics
    troubles: Callable[[], dict[str, str]]  # part -> why it is not usable now
    fail: Callable[[ImdError], None]  # ends the process with this one line
    context: zmq.Context[zmq.Socket[bytes]]
    security: RpcSecurity
    boot: int  # ms since the epoch when it started

    @property
    def id(self) -> str:
        """Its name in the registry."""
        return process_id(self.settings)

    @property
    def zmq_options(self) -> ZmqOptions:
        """Of all its ZeroMQ sockets."""
        rpc = self.settings.rpc
        heartbeat_ms = int(rpc.heartbeat_seconds * 1000)
        return ZmqOptions(
            max_message_bytes=rpc.max_message_bytes,
            high_water_mark=rpc.high_water_mark,
            heartbeat_ms=heartbeat_ms,
            heartbeat_timeout_ms=2 * heartbeat_ms,
        )

    def instance(self, role: Role, endpoint: str = "", **figures: Any) -> Instance:
        """Its entry in the registry, as of now."""
        server = self.settings.server
        return Instance(
            role=role,
            id=self.id,
            boot=self.boot,
            rpc=endpoint,
            hostname=server.hostname or platform.node(),
            region=server.region,
            zone=server.zone,
            env=server.env,
            version=__version__,
            addrs=server.addrs,
            weight=server.weight,
            updated_at_ms=now_ms(),
            rpc_public_key=self.security.public_key,
            **figures,
        )

    def advertised(self, endpoint: str) -> str:
        """What peers dial: ``rpc.advertise``, with the port that was taken where it names none."""
        advertise = self.settings.rpc.advertise
        if advertise.endswith(":*"):
            return advertise[:-1] + endpoint.rpartition(":")[2]
        return advertise or endpoint

    def parts(self) -> list[Part]:
        """What comes first: the operator's listener, so that /readyz can say what start-up waits for, and ZeroMQ."""
        admin = admin_parts(self.sockets, reactor=self.reactor, metrics=self.metrics, troubles=self.troubles)
        return [*admin, Part("zeromq", ZmqPart(self.context)), Part("rpc security", self.security)]

    def in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run ``function`` off the reactor's thread; answers a Deferred."""
        return deferToThreadPool(self.reactor, self.reactor.getThreadPool(), function, *arguments)


def process(
    role: Role,
    settings: Settings,
    *,
    sockets: Mapping[str, BoundSocket],
    reactor: Any,
    metrics: Metrics,
    troubles: Callable[[], dict[str, str]],
    fail: Callable[[ImdError], None],
) -> Process:
    """The process of this start. Raises :class:`imd.errors.ConfigError` for key files that cannot be used."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    boot = now_ms()
    metrics.start_time_seconds.set(boot / 1000)
    made = Process(
        role=role,
        settings=settings,
        sockets=sockets,
        reactor=reactor,
        metrics=metrics,
        troubles=troubles,
        fail=fail,
        context=context,
        # within one process there is nobody to keep out
        security=PLAINTEXT if role == "imd" else rpc_security(settings.rpc, context=context, reactor=reactor),
        boot=boot,
    )
    metrics.process.set(1, f"{made.id}@{boot}")
    return made


def admin_parts(
    sockets: Mapping[str, BoundSocket], *, reactor: Any, metrics: Metrics, troubles: Callable[[], dict[str, str]]
) -> list[Part]:
    """The operator's listener, where one was asked for."""
    if "admin.listen" not in sockets:
        return []
    rendering = MetricsApi(metrics=metrics, in_thread=partial(deferToThreadPool, reactor, reactor.getThreadPool()))
    site = HttpSite([*HealthApi(troubles=troubles).routes(), *rendering.routes()], clock=reactor, metrics=metrics)
    listener = Listener(sockets["admin.listen"], reactor=reactor, factory=site, drain=site.stop)
    return [Part("admin.listen", listener)]


def bind(role: Role, settings: Settings) -> dict[str, BoundSocket]:
    """Take every address that the role listens on. Raises :class:`imd.errors.ConfigError`."""
    return {
        key: BoundSocket(key, text, reuse_port=settings.comet.reuse_port and key.startswith("comet."))
        for key, text in listens(settings, role).items()
        if text
    }


def process_id(settings: Settings) -> str:
    """Its name in the registry."""
    return settings.server.id or platform.node()


def now_ms() -> int:
    """The wall clock, ms since the epoch."""
    return int(time.time() * 1000)
