"""What operators and their tools ask first: is it alive, is it ready."""

from collections.abc import Callable
from typing import Literal

import msgspec

from imd.transport.http_message import Request, Response, json_response
from imd.transport.http_route import Route

Troubles = Callable[[], dict[str, str]]


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
