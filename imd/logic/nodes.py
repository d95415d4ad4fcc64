"""Where clients should connect: goim's ``/goim/nodes/weighted`` and ``/goim/nodes/instances``."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from imd.interfaces import Instance
from imd.logic.balancer import Balancer
from imd.logic.region import Regions

WEB = "web"  # the platform that needs host names, for its certificates


class Backoff(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a client should redial."""

    max_delay: int = 0  # seconds
    base_delay: int = 0  # seconds
    factor: float = 0.0
    jitter: float = 0.0  # share of the delay


class Weighted(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a client needs before it connects. Zero values are left out, as goim does."""

    domain: str = ""
    tcp_port: int = 0
    ws_port: int = 0
    wss_port: int = 0
    heartbeat: int = 0  # seconds
    heartbeat_max: int = 0
    nodes: tuple[str, ...] = ()  # best first
    backoff: Backoff | None = None


class Metadata(msgspec.Struct, frozen=True):
    """What a comet says of itself, all as strings."""

    addrs: str  # between commas
    conn_count: str
    ip_count: str
    offline: str  # "true" or "false"
    weight: str


class Listed(msgspec.Struct, frozen=True):
    """A comet as goim's registry showed it."""

    region: str
    zone: str
    env: str
    hostname: str
    addrs: tuple[str, ...]  # where other processes reach it
    version: str
    latest_timestamp: int  # ns since the epoch
    metadata: Metadata
    appid: str = "goim.comet"


@dataclass(frozen=True, slots=True)
class NodesSettings:
    """``[nodes]``."""

    default_domain: str = ""  # offered when no comet is known
    domain_suffix: str = ""  # after a comet's host name
    tcp_port: int = 3101
    ws_port: int = 3102
    wss_port: int = 3103
    heartbeat_seconds: int = 240
    heartbeat_max: int = 2  # heartbeats that may be missed
    max_nodes: int = 5
    backoff: Backoff = field(default_factory=lambda: Backoff(max_delay=300, base_delay=3, factor=1.8, jitter=0.3))


class Nodes:
    """Answers from the comets that the registry showed last; draining ones are left out."""

    __slots__ = ("_balancer", "_comets", "_regions", "_settings")

    def __init__(self, *, balancer: Balancer, regions: Regions, settings: NodesSettings) -> None:
        self._balancer = balancer
        self._regions = regions
        self._settings = settings
        self._comets: Sequence[Instance] = ()  # those that take clients

    def comets_changed(self, comets: Sequence[Instance]) -> None:
        """For :meth:`imd.interfaces.Registry.watch`."""
        self._comets = [comet for comet in comets if not comet.offline]
        self._balancer.update(comets)

    def weighted(self, platform: str, address: str) -> Weighted:
        """For a client of this platform at this IP address: the comets to try, best first.

        The web gets host names, others the public addresses; without either, the default domain.
        """
        settings = self._settings
        chosen = self._balancer.choose(self._regions.find(address), settings.max_nodes)
        if platform == WEB:
            nodes = [comet.hostname + settings.domain_suffix for comet in chosen if comet.hostname]
        else:
            nodes = [address for comet in chosen for address in comet.addrs]
        if not nodes and settings.default_domain:
            nodes = [settings.default_domain]
        return Weighted(
            domain=settings.default_domain,
            tcp_port=settings.tcp_port,
            ws_port=settings.ws_port,
            wss_port=settings.wss_port,
            heartbeat=settings.heartbeat_seconds,
            heartbeat_max=settings.heartbeat_max,
            nodes=tuple(nodes),
            backoff=settings.backoff,
        )

    def instances(self) -> list[Listed]:
        """Every comet that takes clients."""
        return [_listed(comet) for comet in self._comets]


def _listed(comet: Instance) -> Listed:
    return Listed(
        region=comet.region,
        zone=comet.zone,
        env=comet.env,
        hostname=comet.hostname,
        addrs=(comet.rpc,) if comet.rpc else (),
        version=comet.version,
        latest_timestamp=comet.updated_at_ms * 1_000_000,
        metadata=Metadata(
            addrs=",".join(comet.addrs),
            conn_count=str(comet.conn_count),
            ip_count=str(comet.ip_count),
            offline=str(comet.offline).lower(),
            weight=str(comet.weight),
        ),
    )
