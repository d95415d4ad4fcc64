"""A route: what stands at one method and path, and all that its page in the OpenAPI document says."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import msgspec

from imd.errors import ImdError
from imd.transport.http_fault import FaultMaker, fault_body
from imd.transport.http_message import JSON, Request, Response

# A handler is a coroutine function when it leaves the process, else a plain one.
Handler = Callable[[Request], Response | Coroutine[Any, Any, Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the table. What varies is in the query, or is the last segment of a path, in braces: ``/v1/messages/{id}``."""

    method: str  # GET (which serves HEAD too) or POST
    path: str
    handler: Handler
    summary: str
    tag: str  # the group it is shown in
    detail: str = ""
    query: type[msgspec.Struct] | None = None  # what reads its query; None = it takes none
    body: Any = None  # the type that reads its JSON body; ``bytes`` = any bytes; None = it takes none
    answer: Any = None  # the type of its JSON answer; None = ``content_type`` says it all
    content_type: str = JSON  # of its answer
    errors: tuple[type[ImdError], ...] = ()  # what it may raise, beyond what any request may meet
    fault: FaultMaker = fault_body  # the shape of its errors
    fault_type: Any = None  # the type of that shape; None = the usual one
    unready: Any = None  # the type of its answer with 503, when that is no fault
    scopes: str = ""  # which bearer keys may, in words; empty = anybody
    listed: bool = True  # whether the OpenAPI document has it (files of the page are no interface)

    @property
    def parameter(self) -> str:
        """The name of what varies in its path; empty = nothing does."""
        last = self.path.rpartition("/")[2]
        return last[1:-1] if last.startswith("{") else ""
