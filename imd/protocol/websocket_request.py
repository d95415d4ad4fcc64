"""The request for an upgrade as nearly everybody sends it (RFC 6455 §4.1), and its answer. Of others nothing is said."""

import re
from binascii import b2a_base64
from hashlib import sha1
from typing import NamedTuple

# Printable ASCII, each field on one line. No part of it takes back what it has matched, so that whatever a client makes up is
# looked through once.
_REQUEST = re.compile(
    rb"GET (/(?:[\w.~-][\w.~/-]*+)?+)(?:\?[\w.~=&%+-]*+)?+ HTTP/1\.1\r\n((?:[\w-]++:[ -~]*+\r\n){1,64}+)\r\n"
)
_FIELD = re.compile(rb"([\w-]+): *([^\r]*)\r\n")
_HOST = re.compile(rb"(?:[\w.-]+|\[[\da-fA-F:.]+\])(?::\d{1,5})?")
_KEY = re.compile(rb"[A-Za-z0-9+/]{22}==")
_ORIGIN = re.compile(rb"null|https?://[\w.-]+(?::[1-5]?\d{1,4})?")

_CONNECTIONS = frozenset((b"upgrade", b"keep-alive, upgrade"))
_OFFERS = frozenset((b"", b"permessage-deflate", b"permessage-deflate; client_max_window_bits"))  # to be declined

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # §1.3
_ANSWER = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n"
)


class UpgradeRequest(NamedTuple):
    """Good as far as the RFC can say."""

    path: str  # without its query
    origin: str  # empty = it has none
    key: bytes


def read_upgrade(request: bytes) -> UpgradeRequest | None:
    """What a whole request asks for. None: it is bad, or good in a way that is seldom seen."""
    whole = _REQUEST.fullmatch(request)
    if whole is None:
        return None
    path, head = whole.groups()
    found = _FIELD.findall(head)
    fields = {name.lower(): value for name, value in found}
    field = fields.get
    key, origin = field(b"sec-websocket-key", b""), field(b"origin")
    if (
        len(fields) < len(found)  # one is there twice
        or field(b"upgrade", b"").lower() != b"websocket"
        or field(b"connection", b"").lower() not in _CONNECTIONS
        or field(b"sec-websocket-version") != b"13"
        or field(b"sec-websocket-extensions", b"") not in _OFFERS
        or b"sec-websocket-protocol" in fields
        or not _HOST.fullmatch(field(b"host", b""))
        or not _KEY.fullmatch(key)
        or (origin is not None and not _ORIGIN.fullmatch(origin))
    ):
        return None
    return UpgradeRequest(path.decode(), (origin or b"").decode(), key)


def upgraded(key: bytes) -> bytes:
    """The answer that takes a request with this key, without a subprotocol or an extension (§4.2.2)."""
    digest = sha1(key + _MAGIC, usedforsecurity=False).digest()
    return _ANSWER % b2a_base64(digest, newline=False)
