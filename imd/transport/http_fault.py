"""Faults: what a peer is told in HTTP when it is wrong, or when we are. The one place where errors become statuses."""

from collections.abc import Callable
from typing import Any

import msgspec

from imd.errors import AuthRefused, BadRequest, ImdError, Overloaded, Unavailable
from imd.transport.http_message import Headers, Response, json_response

HIDDEN = "internal error; the log knows more under this request id"


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """What went wrong."""

    name: str  # for programs; the names never change
    message: str  # for people
    request_id: str = ""  # for our log; only when the fault is ours


class FaultBody(msgspec.Struct, frozen=True):
    """The body of every answer that is no success."""

    error: Fault


FaultMaker = Callable[[ImdError, str], Any]


def fault_body(error: ImdError, request_id: str) -> FaultBody:
    """The usual shape; goim's endpoints have their own."""
    return FaultBody(Fault(error.name, str(error), request_id))


def fault_response(error: ImdError, make: FaultMaker = fault_body, request_id: str = "") -> Response:
    """The status, the headers that go with it, and the body that ``make`` gives it."""
    headers: Headers = ()
    if isinstance(error, Overloaded | Unavailable):
        headers = (("Retry-After", str(error.retry_after_seconds)),)
    elif isinstance(error, AuthRefused):
        headers = (("WWW-Authenticate", 'Bearer realm="imd"'),)
    return json_response(make(error, request_id), error.http_status, headers)


def bad_value(error: msgspec.ValidationError) -> BadRequest:
    """msgspec's words, the field first: ``to.keys[0]: expected str, got int``; ``$`` alone is the whole body."""
    words, _, path = str(error).partition(" - at `$")
    words = words[:1].lower() + words[1:].replace("`", "")
    path = path.rstrip("`").lstrip(".")
    return BadRequest(f"{path}: {words}" if path else words)
