"""Health, readiness and metrics over HTTP."""

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from imd.metrics import Metrics
from imd.transport.http_admin import HealthApi, MetricsApi
from imd.transport.http_metrics import Snapshot
from tests.support.http_wire import HttpWire, site_of


class HealthTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.troubles: dict[str, str] = {}
        self.wire = HttpWire(site_of(*HealthApi(troubles=lambda: self.troubles).routes()))

    def test_ready(self) -> None:
        """Alive and ready without troubles."""
        self.assertEqual(self.wire.ask("GET", "/healthz").json(), {"status": "ok"})
        answer = self.wire.ask("GET", "/readyz")
        self.assertEqual((answer.status, answer.json()), (200, {"ready": True, "troubles": {}}))

    def test_troubled(self) -> None:
        """A trouble is 503 with its reason; the process is alive all the same."""
        self.troubles["broker"] = "redis 127.0.0.1:6379 does not answer"
        answer = self.wire.ask("GET", "/readyz")
        self.assertEqual((answer.status, answer.json()), (503, {"ready": False, "troubles": self.troubles}))
        self.assertEqual(self.wire.ask("GET", "/healthz").status, 200)


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
