"""``GET /v1/messages/{id}``: what became of one push."""

import re

from imd.errors import (
    AuthRefused,
    BadRequest,
    DeadlineExceeded,
    NotFound,
    ScopeMissing,
    TimelineUnavailable,
    Unavailable,
)
from imd.logic.access import PushKeys
from imd.logic.fate import Fate, Fates
from imd.transport.http_message import Request, Response, json_response
from imd.transport.http_route import Route

SCOPE = "read"
_ID = re.compile("[0-9]{1,19}")

DETAIL = """Of a push that was traced: it asked for it (`trace`), came with a sampled `traceparent`, or is of the share in
`trace.share`. `devices` says for each device what is known of it now: `queued`, `written`, `acked`, `expired` or `dropped`, and
why. `hops` are the steps by time; each time is by the clock of the process that says so. 404 when the push was not traced, or
longer ago than `trace.keep_seconds`."""


class MessagesApi:
    """The endpoint. It names members and devices: where keys are required, only one with the scope ``read`` may ask."""

    __slots__ = ("_fates", "_keys")

    def __init__(self, *, fates: Fates, keys: PushKeys) -> None:
        self._fates = fates
        self._keys = keys  # who may ask

    def routes(self) -> list[Route]:
        return [
            Route(
                "GET",
                "/v1/messages/{id}",
                self.message,
                "What became of a push, device by device",
                "push",
                DETAIL,
                answer=Fate,
                errors=(
                    *(BadRequest, AuthRefused, ScopeMissing, NotFound),
                    *(TimelineUnavailable, Unavailable, DeadlineExceeded),
                ),
                scopes=SCOPE,
            )
        ]

    async def message(self, request: Request) -> Response:
        self._keys.authorize(request.header("authorization"), [SCOPE])
        text = request.path.rpartition("/")[2]
        if not _ID.fullmatch(text) or int(text) >= 2**63:
            raise BadRequest("id: the id of a push is a number in decimal, as the answer to the push has it")
        return json_response(await self._fates.of(int(text)))
