"""Alive and ready, over HTTP."""

from twisted.trial.unittest import SynchronousTestCase

from imd.transport.http_health import HealthApi
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
