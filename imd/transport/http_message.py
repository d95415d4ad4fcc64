"""The two messages of an HTTP exchange, as handlers see them: values, whole, decoded."""

from collections.abc import Mapping
from typing import Any

import msgspec

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
Headers = tuple[tuple[str, str], ...]


class Request(msgspec.Struct, frozen=True):
    """A whole request. Its body is within the site's limit; nothing else of it has been judged."""

    id: str  # names it in our log and in the answer to a failure
    method: str  # upper case as the peer sent it
    path: str  # percent-decoded, without the query
    query: str = ""  # raw, without the question mark
    headers: Mapping[str, str] = {}  # names in lower case; of a repeated header the first
    body: bytes = b""
    address: str = ""  # the peer's IP; empty for a unix socket
    local_address: str = ""  # the IP it connected to; empty for a unix socket

    def header(self, name: str) -> str:
        """A header's value by its lower-case name; empty when it is absent."""
        return self.headers.get(name, "")


class Response(msgspec.Struct, frozen=True):
    """A whole answer. Content-Length, and what every answer of the site carries, is added when it is sent."""

    status: int = 200
    body: bytes = b""
    content_type: str = ""  # empty = no Content-Type
    headers: Headers = ()


def json_response(value: Any, status: int = 200, headers: Headers = ()) -> Response:
    """``value`` as JSON, never cached: every JSON answer of ours is about now."""
    return Response(status, msgspec.json.encode(value), JSON, (("Cache-Control", "no-store"), *headers))
