"""The metrics of a process, over HTTP."""

import shutil
import tempfile
from typing import Any

from twisted.internet.endpoints import TCP4ServerEndpoint, UNIXServerEndpoint
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from imd.ctl.admin_api import AdminApi
from imd.errors import PeerUnavailable
from imd.ledger import Figures
from imd.metrics import Metrics
from imd.transport.http_metrics import render, snapshot
from tests.support.reactor import reactor


class Admin(Resource):
    """``/metrics`` of some metrics, or any other answer."""

    isLeaf = True

    def __init__(self, metrics: Metrics) -> None:
        super().__init__()
        self.metrics = metrics
        self.status = 200
        self.body: bytes | None = None  # None = the metrics
        self.silent = False

    def render_GET(self, request: Any) -> Any:
        if self.silent:
            return NOT_DONE_YET
        request.setResponseCode(self.status if request.path == b"/metrics" else 404)
        return render(snapshot(self.metrics)) if self.body is None else self.body


class AdminApiTests(TestCase):
    """Against a small server."""

    async def serve(self) -> str:
        """Its address."""
        self.metrics = Metrics()
        self.admin = Admin(self.metrics)
        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(Site(self.admin))
        self.addCleanup(port.stopListening)
        return f"127.0.0.1:{port.getHost().port}"

    async def refused(self, address: str, words: str) -> None:
        with self.assertRaisesRegex(PeerUnavailable, words):
            await AdminApi(reactor=reactor, address=address, timeout_seconds=1).add_to(Figures())

    async def test_figures(self) -> None:
        """Counters lose Prometheus' suffix, gauges and labels come as they are; two processes add up."""
        address = await self.serve()
        self.metrics.start_time_seconds.set(1_800_000_000.5)
        self.metrics.drops.add(3, "job", 'a "b"\\\n')
        self.metrics.asking.set(2)
        figures = Figures()
        for written in (address, f"http://{address}", f"http://{address}/metrics"):
            started = await AdminApi(reactor=reactor, address=written).add_to(figures)
            self.assertEqual(started, 1_800_000_000.5)
        self.assertEqual(figures.of("imd_drops"), [({"layer": "job", "reason": 'a "b"\\\n'}, 9)])
        self.assertEqual(figures.of("imd_pushes_asking"), [({}, 6)])
        self.assertEqual(figures.of("imd_rpc_seconds"), [])

    async def test_unix_socket(self) -> None:
        """As ``admin.listen`` writes it."""
        await self.serve()
        folder = tempfile.mkdtemp(prefix="imd-admin-")  # short: a socket's path has 107 bytes at most
        self.addCleanup(shutil.rmtree, folder)
        path = f"{folder}/admin"
        port = await UNIXServerEndpoint(reactor, path).listen(Site(self.admin))
        self.addCleanup(port.stopListening)
        self.metrics.committed.add(4)
        figures = Figures()
        self.assertEqual(await AdminApi(reactor=reactor, address=f"unix:{path}").add_to(figures), 0)
        self.assertEqual(figures.of("imd_pushes_committed"), [({}, 4)])

    async def test_failures(self) -> None:
        """Nobody there, nobody answers, another status, other words: one line each."""
        await self.refused("127.0.0.1:1", "127.0.0.1:1: cannot connect: .*; is imd running there")
        await self.refused("unix:/nowhere", "unix:/nowhere: cannot connect")
        address = await self.serve()
        self.admin.status = 500
        await self.refused(address, "HTTP status 500")
        self.admin.status = 200
        for body in (b"hello", b"go_threads 3\n", b'imd_x{a="b'):
            self.admin.body = body
            await self.refused(address, "answered something else than metrics")
        self.admin.silent = True
        await self.refused(address, "no answer within 1 s")
