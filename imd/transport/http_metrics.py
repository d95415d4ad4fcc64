"""``/metrics``: a snapshot taken on the reactor's thread, rendered on another."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from imd.metrics import Counter, Gauge, Histogram, Metrics
from imd.transport.http_message import Request, Response
from imd.transport.http_route import Route

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot(Collector):
    """The figures of one moment. It shares nothing with the metrics, so that another thread may render it."""

    families: Sequence[Metric]

    def collect(self) -> Iterable[Metric]:
        return self.families


InThread = Callable[[Callable[[Snapshot], bytes], Snapshot], Awaitable[bytes]]


class MetricsApi:
    """``/metrics``: on the admin listener only."""

    __slots__ = ("_in_thread", "_metrics")

    def __init__(self, *, metrics: Metrics, in_thread: InThread) -> None:
        self._metrics = metrics
        self._in_thread = in_thread  # runs a function elsewhere than in the reactor's thread: deferToThread

    def routes(self) -> list[Route]:
        return [
            Route(
                "GET", "/metrics", self.exposition, "Every metric, for Prometheus", "metrics", content_type=CONTENT_TYPE
            )
        ]

    async def exposition(self, request: Request) -> Response:
        body = await self._in_thread(render, snapshot(self._metrics))
        return Response(200, body, CONTENT_TYPE, (("Cache-Control", "no-store"),))


def snapshot(metrics: Metrics) -> Snapshot:
    """Copy every figure. Call it on the thread that counts."""
    return Snapshot([_family(metric) for metric in metrics.all()])


def render(taken: Snapshot) -> bytes:
    """In Prometheus' text format. 5 µs a line, of which a process has thousands: not for the reactor's thread."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(taken)
    return generate_latest(registry)


def _family(metric: Counter | Gauge | Histogram) -> Metric:
    if isinstance(metric, Histogram):
        spread = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        for values, counts in metric.values.items():
            spread.add_metric(values, _buckets(metric.bounds, counts), counts[-1])
        return spread
    kind = CounterMetricFamily if isinstance(metric, Counter) else GaugeMetricFamily
    family = kind(metric.name, metric.help, labels=metric.labels)
    figures = {(): metric.value()} if isinstance(metric, Gauge) and metric.read else metric.values
    for values, figure in figures.items():
        family.add_metric(values, figure)
    return family


def _buckets(bounds: Sequence[float], counts: Sequence[float]) -> list[tuple[str, float]]:
    """(upper bound, how many are at or below it), the last one +Inf."""
    total, buckets = 0.0, []
    for bound, count in zip((*map(str, bounds), "+Inf"), counts[:-1], strict=True):
        total += count
        buckets.append((bound, total))
    return buckets
