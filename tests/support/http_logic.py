"""Logic's HTTP site on memory backends: everything behind it is real, but for the broker's mishaps."""

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from imd.backend.broker_memory import BrokerMemory
from imd.backend.leases_memory import LeasesMemory
from imd.backend.rooms_memory import RoomsMemory
from imd.backend.timelines_memory import TimelinesMemory
from imd.backend.traces_memory import TracesMemory
from imd.interfaces import Instance, Location, Receipt
from imd.logic.access import PushKey, PushKeys
from imd.logic.balancer import Balancer
from imd.logic.fate import Fates
from imd.logic.ids import IdMaker
from imd.logic.keep import LIVE_ONLY, KeepRules
from imd.logic.nodes import Nodes, NodesSettings
from imd.logic.online import Online
from imd.logic.push import Pusher
from imd.logic.push_limits import PushLimits
from imd.logic.region import Regions
from imd.logic.trace_notes import TraceNotes
from imd.logic.tracing import Tracing
from imd.metrics import Metrics
from imd.protocol.push import Push
from imd.transport.http_goim import GoimApi
from imd.transport.http_health import HealthApi
from imd.transport.http_messages import MessagesApi
from imd.transport.http_openapi import OpenApi
from imd.transport.http_pages import PagesApi, PageSettings
from imd.transport.http_v1 import PushApi
from tests.support.http_wire import HttpWire, site_of

COMET = Location("c1", 1)
NOW = 1_800_000_000.0


class RecordingBroker:
    """A broker in memory that keeps a list of what it took, and fails when told to."""

    def __init__(self, inner: BrokerMemory) -> None:
        self._inner = inner
        self.partitions = inner.partitions
        self.taken: list[Push] = []
        self.deliver: Callable[[Push], object] | None = None  # a job that is always there; None = nobody takes them
        self.failing: Exception | None = None

    async def publish(self, pushes: Sequence[tuple[int, Push]]) -> list[Receipt]:
        if self.failing is not None:
            raise self.failing
        receipts = await self._inner.publish(pushes)
        outcomes = zip(pushes, receipts, strict=True)
        stored = [push for (_, push), receipt in outcomes if not (receipt.repeated or receipt.conflict)]
        self.taken += stored
        if self.deliver is not None:
            for push in stored:
                self.deliver(push)
        return receipts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class HttpLogic:
    """Logic as a composition root puts it together. ``push_keys``: the key in clear -> its scopes; None = nobody needs one.

    ``rules``: what is kept; nothing unless told.
    """

    def __init__(
        self,
        push_keys: dict[str, tuple[str, ...]] | None = None,
        max_body_bytes: int = 65536,
        page: PageSettings | None = None,
        clock: Any = None,
        rules: KeepRules = LIVE_ONLY,
    ) -> None:
        self.clock = clock or Clock()
        self.metrics = Metrics()
        self.timelines = TimelinesMemory(metrics=self.metrics, now_ms=lambda: int(NOW * 1000), make_epoch=lambda: "era")
        self.traces = TracesMemory(clock=self.clock)
        inner = BrokerMemory(
            partitions=4,
            clock=self.clock,
            metrics=self.metrics,
            max_backlog_entries=1000,
            timelines=self.timelines,
        )
        run(inner.open())
        self.broker = RecordingBroker(inner)
        self.leases = LeasesMemory(clock=self.clock, lease_seconds=30)
        self.rooms = RoomsMemory(leases=self.leases)
        self.online = Online(rooms=self.rooms)
        regions = Regions({"eu": ["192.0.2.0/24"]})
        self.nodes = Nodes(
            balancer=Balancer(region_weight=1.6), regions=regions, settings=NodesSettings(default_domain="imd.example")
        )
        keys = PushKeys(
            keys=[_key(key, scopes) for key, scopes in (push_keys or {}).items()], required=push_keys is not None
        )
        pusher = Pusher(
            broker=self.broker,
            ids=IdMaker(now=lambda: NOW, worker_id=1),
            now=lambda: NOW,
            limits=PushLimits(),
            metrics=self.metrics,
            rules=rules,
            tracing=Tracing(
                notes=TraceNotes(traces=self.traces, process="logic/l1", metrics=self.metrics), process="logic/l1"
            ),
        )
        routes = [
            *GoimApi(pusher=pusher, keys=keys, online=self.online, nodes=self.nodes).routes(),
            *PushApi(pusher=pusher, keys=keys).routes(),
            *MessagesApi(fates=Fates(traces=self.traces, timelines=self.timelines), keys=keys).routes(),
            *HealthApi(troubles=dict).routes(),
            *PagesApi(settings=page or PageSettings(push_key_needed=keys.required)).routes(),
        ]
        self.openapi = OpenApi(routes=routes, version="1", keys_required=keys.required)
        self.routes = [*routes, *self.openapi.routes()]
        self.site = site_of(*self.routes, clock=self.clock, metrics=self.metrics, max_body_bytes=max_body_bytes)
        self._wire: HttpWire | None = None  # made when it is asked for: it is a connection

    @property
    def wire(self) -> HttpWire:
        """One connection, kept."""
        if self._wire is None:
            self._wire = HttpWire(self.site)
        return self._wire

    def comets(self, *comets: Instance) -> None:
        """These are in the registry now."""
        self.online.comets_changed(comets)
        self.nodes.comets_changed(comets)

    def members(self, **counts: int) -> None:
        """So many are in these rooms of type ``live``, on a comet that lives."""
        self.rooms_report({f"live://{name}": count for name, count in counts.items()})

    def rooms_report(self, counts: dict[str, int]) -> None:
        run(self.leases.renew(COMET))
        run(self.rooms.report(COMET, list(counts.items())))


def run(coroutine: Any) -> Any:
    """The result of a coroutine that waits for nobody."""
    results: list[Any] = []
    Deferred.fromCoroutine(coroutine).addCallback(results.append)
    [result] = results
    return result


def _key(key: str, scopes: tuple[str, ...]) -> PushKey:
    return PushKey(name=f"of-{key}", sha256=sha256(key.encode()).hexdigest(), scopes=scopes)
