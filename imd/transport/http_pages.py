"""The page that logic serves: files of imd/web, and what the page must know of this server."""

from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from importlib.resources import files

import msgspec

from imd.transport.http_message import Headers, Request, Response, json_response
from imd.transport.http_route import Route

CONTENT_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
}
# No script or style but our own files, no frame, no form that leaves; WebSockets go to comets, which may be anywhere.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self' ws: wss:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
SECURITY: Headers = (
    ("Content-Security-Policy", POLICY),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=()"),
)


class PageSettings(msgspec.Struct, frozen=True):
    """``/page.json``: where the page connects, and what it must ask the person for."""

    websocket_port: int = 3102
    secure_websocket_port: int = 3103  # when the page itself came by HTTPS
    websocket_url: str = ""  # wins over the ports and the nodes, when comets are behind another name
    nodes: bool = False  # ask /goim/nodes/weighted for hosts, unless the page was opened through loopback
    push_key_needed: bool = False
    token_needed: bool = False
    heartbeat_seconds: int = 15  # how often the page asks how many are in the room


@dataclass(frozen=True, slots=True)
class Page:
    """One file, as it is served."""

    body: bytes
    content_type: str
    etag: str  # with its quotes


class PagesApi:
    """``/`` is index.html, ``/web/<name>`` any of the files beside it. Read once, when it is made."""

    __slots__ = ("_pages", "_settings")

    def __init__(self, *, settings: PageSettings) -> None:
        self._settings = settings
        self._pages = {name: _read(name) for name in _names()}  # file name -> page

    def routes(self) -> list[Route]:
        paths = {name: "/" if name == "index.html" else f"/web/{name}" for name in self._pages}
        return [
            *(self._route(path, self._pages[name]) for name, path in paths.items()),
            Route("GET", "/page.json", self.settings, "What the page must know", "page", listed=False),
        ]

    def settings(self, request: Request) -> Response:
        return json_response(self._settings)

    def _route(self, path: str, page: Page) -> Route:
        return Route("GET", path, partial(serve, page), "", "page", content_type=page.content_type, listed=False)


def serve(page: Page, request: Request) -> Response:
    """The file, or 304 to a browser that has it. It asks each time: an upgrade shows at the next visit."""
    headers = (("ETag", page.etag), ("Cache-Control", "no-cache"), *SECURITY)
    known = {tag.strip().removeprefix("W/") for tag in request.header("if-none-match").split(",")}
    if known & {page.etag, "*"}:
        return Response(304, headers=headers)
    return Response(200, page.body, page.content_type, headers)


def _names() -> list[str]:
    names = (entry.name for entry in files("imd.web").iterdir())
    return sorted(name for name in names if name.rpartition(".")[2] in CONTENT_TYPES)


def _read(name: str) -> Page:
    body = files("imd.web").joinpath(name).read_bytes()
    return Page(body, CONTENT_TYPES[name.rpartition(".")[2]], f'"{sha256(body).hexdigest()[:32]}"')
