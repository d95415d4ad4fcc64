"""The HTTP site: one table of routes, and what holds for all of them."""

from collections import defaultdict
from collections.abc import Sequence
from ipaddress import ip_address
from secrets import token_hex
from urllib.parse import SplitResult, urlsplit

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import ServerFactory
from twisted.logger import Logger

from imd.errors import CrossOrigin, DeadlineExceeded, ImdError, MethodNotAllowed, NotFound
from imd.interfaces import Clock
from imd.metrics import Metrics
from imd.transport.http_channel import Channel, split_target
from imd.transport.http_fault import HIDDEN, fault_body, fault_response
from imd.transport.http_message import Request, Response
from imd.transport.http_route import Route

MAX_BODY_BYTES = 4 * 2**20
MAX_HELD_BYTES = 64 * 2**20  # of all bodies that are being received or answered
MAX_CONNECTIONS = 2000  # back ends and pages; clients are comet's
SECONDS = 30.0
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_NOWHERE = "unknown"  # the route's name in metrics when there is none, or it was never read


class HttpSite(ServerFactory):
    """Serves a table of routes on any number of listeners (it is their factory).

    - An unknown path is 404, a wrong method 405 with Allow; HEAD is served from GET; OPTIONS says what is allowed.
    - Errors become statuses here (:mod:`imd.transport.http_fault`); a bug is 500 without details, logged under a request id.
    - Bodies, connections, and the time to receive and to answer a request are limited.
    - A browser that writes without a key for a page of another origin is refused, so that no page elsewhere can push
      through a developer's loopback address. CORS is not offered.
    """

    noisy = False
    _log = Logger()

    def __init__(
        self,
        routes: Sequence[Route],
        *,
        clock: Clock,
        metrics: Metrics,
        max_body_bytes: int = MAX_BODY_BYTES,
        max_held_bytes: int = MAX_HELD_BYTES,
        max_connections: int = MAX_CONNECTIONS,
        receive_seconds: float = SECONDS,
        idle_seconds: float = SECONDS,
        answer_seconds: float = SECONDS,
    ) -> None:
        self.max_body_bytes = max_body_bytes
        self.receive_seconds = receive_seconds  # from a request's first byte to its last
        self.idle_seconds = idle_seconds  # without a byte of the next request
        self.answer_seconds = answer_seconds  # a last fence: what a handler waits for has deadlines of its own
        self._max_held_bytes = max_held_bytes
        self._max_connections = max_connections
        self._clock = clock
        self._metrics = metrics
        self._channels: set[Channel] = set()  # every open connection
        self._held_bytes = 0  # bodies of requests that are received or answered now
        self._requests = 0  # how many there were
        self._name = token_hex(4)  # tells the request ids of this start from those of others
        self._idle: Deferred[None] | None = None  # fires when the last connection has gone; None unless stopping
        self._table: defaultdict[str, dict[str, Route]] = defaultdict(dict)  # path -> method -> route
        self._varying: dict[str, str] = {}  # what stands before a last segment that varies -> its path in the table
        for route in routes:
            if route.parameter:
                self._varying[route.path.rpartition("/")[0]] = route.path
            assert route.method not in self._table[route.path], (route.method, route.path)
            self._table[route.path][route.method] = route

    def buildProtocol(self, addr: IAddress | None) -> Channel | None:
        if len(self._channels) >= self._max_connections or self.stopping():
            return None
        channel = Channel(self, self._clock)
        channel.factory = self
        return channel

    async def stop(self) -> None:
        """Answer what has come in, and end every connection. The listeners are closed by whoever opened them.

        Returns when the last connection has gone: after ``answer_seconds`` at the latest, plus the few seconds that a peer gets
        to finish its request and to read.
        """
        if self._idle is None:
            self._idle = Deferred()
        for channel in tuple(self._channels):
            channel.stop()
        if self._channels:
            await self._idle

    def log(self, request: object) -> None:
        """Twisted's access log: no line per request, metrics count them."""

    # --- what a channel asks of its site ---

    def opened(self, channel: Channel) -> None:
        self._channels.add(channel)

    def closed(self, channel: Channel) -> None:
        self._channels.discard(channel)
        if self._idle is not None and not self._idle.called and not self._channels:
            self._idle.callback(None)

    def stopping(self) -> bool:
        return self._idle is not None

    def hold(self, size: int) -> bool:
        if size > 0 and self._held_bytes + size > self._max_held_bytes:
            return False
        self._held_bytes += size
        return True

    def next_request_id(self) -> str:
        self._requests += 1
        return f"{self._name}-{self._requests}"

    def refusal(self, error: ImdError, target: str) -> Response:
        path = self._find(split_target(target)[0])
        methods = self._table.get(path, {})
        response = fault_response(error, next((route.fault for route in methods.values()), fault_body))
        self._count(path, response, 0)
        return response

    async def respond(self, request: Request) -> Response:
        """The answer to one request; see the class for what holds."""
        began = self._clock.seconds()
        path = self._find(request.path)
        methods = self._table.get(path, {})
        route = methods.get("GET" if request.method == "HEAD" else request.method)
        if request.method == "OPTIONS" and methods:
            response = Response(204, headers=_allow(methods))
        elif route is None:
            response = _nothing(request, methods)
        else:
            response = await self._answer(route, request)
        self._count(path, response, self._clock.seconds() - began)
        return response

    def _find(self, path: str) -> str:
        """The path of the table that a request's is: itself, or one whose last segment varies."""
        if path in self._table:
            return path
        return self._varying.get(path.rpartition("/")[0], path)

    def _count(self, path: str, response: Response, seconds: float) -> None:
        route = path if path in self._table else _NOWHERE
        self._metrics.http_seconds.observe(seconds, route, str(response.status))

    async def _answer(self, route: Route, request: Request) -> Response:
        try:
            refuse_foreign_origin(request)
            answer = route.handler(request)
            return answer if isinstance(answer, Response) else await answer
        except CancelledError:  # by the channel, and by nobody else
            return fault_response(DeadlineExceeded(f"no answer within {self.answer_seconds:g} s"), route.fault)
        except ImdError as error:
            return fault_response(error, route.fault)
        except Exception:  # the last rung: whatever it is, the peer gets an answer and we get the traceback
            self._log.failure(
                "{method} {path} failed, request {id}", method=route.method, path=route.path, id=request.id
            )
            return fault_response(ImdError(HIDDEN), route.fault, request.id)


def _allow(methods: dict[str, Route]) -> tuple[tuple[str, str], ...]:
    names = {*methods, "OPTIONS", *(("HEAD",) if "GET" in methods else ())}
    return (("Allow", ", ".join(sorted(names))),)


def _nothing(request: Request, methods: dict[str, Route]) -> Response:
    if not methods:
        return fault_response(NotFound("there is nothing here; /openapi.json lists what there is"))
    allowed = _allow(methods)
    fault = fault_response(MethodNotAllowed(f"this is for {allowed[0][1]}"), fault_body)
    return Response(fault.status, fault.body, fault.content_type, (*fault.headers, *allowed))


def refuse_foreign_origin(request: Request) -> None:
    """Raises :class:`CrossOrigin` for a write without a key that a browser sends for a page of another host.

    A key is proof enough: a page elsewhere has none, and could not send it without CORS. Host must be this machine's own name
    when the connection is local, else a foreign name that resolves to loopback (DNS rebinding) would be its own origin.
    """
    origin = request.header("origin")
    if request.method in _SAFE or not origin or request.header("authorization"):
        return
    host = request.header("host")
    if _split(origin).netloc.lower() != host.lower():
        raise CrossOrigin(f"pages of {origin} may not write here")
    if _is_loopback(request.local_address) and not _is_local_name(_split(f"//{host}").hostname or ""):
        raise CrossOrigin(f"{host} is no name of this machine: pages may write here through localhost")


def _split(url: str) -> SplitResult:
    """Raises :class:`CrossOrigin` for what is no URL, such as ``http://[``."""
    try:
        return urlsplit(url)
    except ValueError:
        raise CrossOrigin(f"{url} is no origin") from None


def _is_local_name(name: str) -> bool:
    return name == "localhost" or name.endswith(".localhost") or _is_loopback(name)


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
