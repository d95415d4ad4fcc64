"""The exposition of metrics: a snapshot taken on the reactor's thread, rendered anywhere."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from imd.metrics import Counter, Gauge, Histogram, Metrics

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot(Collector):
    """The figures of one moment. It shares nothing with the metrics, so that another thread may render it."""

    families: Sequence[Metric]

    def collect(self) -> Iterable[Metric]:
        return self.families


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
