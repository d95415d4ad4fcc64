"""What operators and their tools ask: is it alive, is it ready, what does it count."""

from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec

from imd.metrics import Metrics
from imd.transport.http_message import Request, Response, json_response
from imd.transport.http_metrics import CONTENT_TYPE, Snapshot, render, snapshot
from imd.transport.http_route import Route

Troubles = Callable[[], dict[str, str]]
InThread = Callable[[Callable[[Snapshot], bytes], Snapshot], Awaitable[bytes]]


class Health(msgspec.Struct, frozen=True):
    """The process lives and its reactor turns."""

    status: Literal["ok"] = "ok"


class Readiness(msgspec.Struct, frozen=True):
    """Whether to send it work."""

    ready: bool
    troubles: dict[str, str] = {}  # part -> one sentence; empty when ready


class HealthApi:
    """``/healthz`` and ``/readyz``: on the admin listener of every process, and beside logic's API."""

    __slots__ = ("_troubles",)

    def __init__(self, *, troubles: Troubles) -> None:
        self._troubles = troubles  # part -> what is wrong with it, without secrets; empty = ready

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/healthz", self.healthz, "Whether the process lives", "health", answer=Health),
            Route(
                "GET",
                "/readyz",
                self.readyz,
                "Whether to send it work",
                "health",
                "503 while something that it needs is away, with the same body.",
                answer=Readiness,
                unready=Readiness,
            ),
        ]

    def healthz(self, request: Request) -> Response:
        return json_response(Health())

    def readyz(self, request: Request) -> Response:
        troubles = self._troubles()
        return json_response(Readiness(not troubles, troubles), 503 if troubles else 200)


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
