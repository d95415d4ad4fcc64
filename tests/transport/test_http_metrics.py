"""Metrics in Prometheus' text format."""

from collections.abc import Callable

from prometheus_client.parser import text_string_to_metric_families
from twisted.trial.unittest import SynchronousTestCase

from imd.metrics import Metrics
from imd.transport.http_metrics import MetricsApi, Snapshot, render, snapshot
from tests.support.http_wire import HttpWire, site_of


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """(sample name, sorted labels) -> figure, as Prometheus' own parser reads it."""
    families = text_string_to_metric_families(render(snapshot(metrics)).decode())
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


class ExpositionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.metrics = Metrics()

    def test_counters(self) -> None:
        """A counter ends in _total; without labels it is there from the start."""
        self.metrics.drops.add(3, "job", "expired")
        found = samples(self.metrics)
        self.assertEqual(found["imd_drops_total", (("layer", "job"), ("reason", "expired"))], 3)
        self.assertEqual(found["imd_pushes_merged_total", ()], 0)

    def test_gauges(self) -> None:
        """A gauge is what was set, or what its reader says now."""
        self.metrics.connections.set(5, "tcp")
        self.metrics.channels.read = lambda: 7
        found = samples(self.metrics)
        self.assertEqual(found["imd_connections", (("transport", "tcp"),)], 5)
        self.assertEqual(found["imd_channels", ()], 7)

    def test_histograms(self) -> None:
        """Buckets are cumulative, +Inf is the count, a figure on a bound is below it."""
        for figure in (0.0005, 0.0006, 99.0):
            self.metrics.delivery_seconds.observe(figure)
        found = samples(self.metrics)
        for bound, count in (("0.0005", 1), ("0.001", 2), ("10.0", 2), ("+Inf", 3)):
            self.assertEqual(found["imd_delivery_seconds_bucket", (("le", bound),)], count)
        self.assertEqual(found["imd_delivery_seconds_count", ()], 3)
        self.assertAlmostEqual(found["imd_delivery_seconds_sum", ()], 99.0011)

    def test_labels_are_escaped(self) -> None:
        """Whatever a label holds, the page can be read."""
        value = 'a"b\\c\nd'
        self.metrics.closed.add(1, value)
        self.assertEqual(samples(self.metrics)["imd_connections_closed_total", (("reason", value),)], 1)

    def test_snapshot(self) -> None:
        """What is counted after the snapshot is not in it: it shares nothing with what goes on counting."""
        self.metrics.closed.add(1, "peer_closed")
        self.metrics.delivery_seconds.observe(1)
        taken = snapshot(self.metrics)
        before = render(taken)
        self.metrics.closed.add(1, "peer_closed")
        self.metrics.closed.add(1, "peer_lost")
        self.metrics.delivery_seconds.observe(1)
        self.assertEqual(render(taken), before)


class MetricsApiTests(SynchronousTestCase):
    def test_exposition(self) -> None:
        """The page is rendered by what was handed in for it, from a snapshot."""
        elsewhere: list[Snapshot] = []

        async def in_thread(function: Callable[[Snapshot], bytes], taken: Snapshot) -> bytes:
            elsewhere.append(taken)
            return function(taken)

        metrics = Metrics()
        metrics.drops.add(2, "comet", "slow_consumer")
        wire = HttpWire(site_of(*MetricsApi(metrics=metrics, in_thread=in_thread).routes()))
        answer = wire.ask("GET", "/metrics")
        self.assertTrue(answer.headers["content-type"].startswith("text/plain; version=0.0.4"))
        self.assertIn(b'imd_drops_total{layer="comet",reason="slow_consumer"} 2.0', answer.body)
        self.assertEqual(len(elsewhere), 1)
