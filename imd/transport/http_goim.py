"""goim's nine HTTP endpoints: the same paths, parameters and envelope, so that its back ends and clients work unchanged.

Differences are fixes, each named where it is made. The one for all of them: goim answers 200 when it could not do what was
asked, which proxies and retrying clients take for success; here that is 401, 403, 413, 429, 503 or 504, in the same envelope.
"""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from imd.errors import (
    AuthRefused,
    BadRequest,
    BodyTooLarge,
    BrokerUnavailable,
    CrossOrigin,
    DeadlineExceeded,
    ImdError,
    Overloaded,
    PresenceUnavailable,
    RegistryUnavailable,
    ScopeMissing,
)
from imd.logic.access import PushKeys
from imd.logic.nodes import Listed, Nodes, Weighted
from imd.logic.online import Online, Top, Total
from imd.logic.push import Pusher
from imd.protocol.body import INT32, INT64
from imd.protocol.room_id import room_id
from imd.transport.http_message import Request, Response, json_response
from imd.transport.http_query import reading
from imd.transport.http_route import Route

OK, REQUEST_ERROR, SERVER_ERROR = 0, -400, -500
ID_HEADER = "X-Push-Id"
PUSH_ERRORS = (
    *(BadRequest, AuthRefused, ScopeMissing, CrossOrigin, BodyTooLarge, Overloaded),
    *(BrokerUnavailable, RegistryUnavailable, DeadlineExceeded),
)
PRESENCE_ERRORS = (PresenceUnavailable, DeadlineExceeded)

Int32 = Annotated[int, Meta(ge=INT32.start, le=INT32.stop - 1)]
Int64 = Annotated[int, Meta(ge=INT64.start, le=INT64.stop - 1)]
Text = Annotated[str, Meta(min_length=1)]
# goim's framework takes 0 for absent.
NotZero = Annotated[int, Meta(ge=INT32.start, le=INT32.stop - 1, extra_json_schema={"not": {"const": 0}})]
Limit = Annotated[int, Meta(ge=1, le=INT32.stop - 1)]  # goim crashes on a negative one


D = TypeVar("D")
T = TypeVar("T", bound=msgspec.Struct)
Call = Callable[[Request, T], Response | Coroutine[Any, Any, Response]]


class Envelope(msgspec.Struct, Generic[D], frozen=True):
    """The body of every answer."""

    code: int  # 0 ok, -400 the request is wrong, -500 the server could not
    message: str = ""
    data: D | UnsetType = UNSET  # left out when there is none


class ToKeys(msgspec.Struct, frozen=True):
    """``/goim/push/keys``"""

    operation: Int32 = 0
    keys: tuple[str, ...] = ()


class ToMembers(msgspec.Struct, frozen=True):
    """``/goim/push/mids``"""

    operation: Int32 = 0
    mids: tuple[Int64, ...] = ()


class ToRoom(msgspec.Struct, frozen=True):
    """``/goim/push/room``: to the room ``<type>://<room>``"""

    operation: NotZero
    type: Text
    room: Text

    def __post_init__(self) -> None:
        _require_operation(self.operation)


class ToAll(msgspec.Struct, frozen=True):
    """``/goim/push/all``"""

    operation: NotZero
    speed: Int32 = 0  # connections a second over the whole cluster; 0, or less, = at once

    def __post_init__(self) -> None:
        _require_operation(self.operation)


class OfType(msgspec.Struct, frozen=True):
    """``/goim/online/top``"""

    type: Text
    limit: Limit


class OfRooms(msgspec.Struct, frozen=True):
    """``/goim/online/room``"""

    type: Text
    rooms: Annotated[tuple[str, ...], Meta(min_length=1)]


class Client(msgspec.Struct, frozen=True):
    """``/goim/nodes/weighted``"""

    platform: str = ""  # "web" gets host names, others get addresses


class Nothing(msgspec.Struct, frozen=True):
    """Endpoints that take no parameter."""


def _require_operation(operation: int) -> None:
    if operation == 0:
        raise ValueError("operation: required, and not 0")


def fault(error: ImdError, request_id: str) -> Envelope[None]:
    """An error as goim's clients read it. 429 counts as the server's: the same request may succeed later."""
    theirs = error.http_status < 500 and not isinstance(error, Overloaded)
    words = f"{error} ({request_id})" if request_id else str(error)
    return Envelope(REQUEST_ERROR if theirs else SERVER_ERROR, words)


class GoimApi:
    """The nine endpoints. Pushes need a key when ``keys`` says so; who is online, and where to connect, anybody may ask."""

    __slots__ = ("_keys", "_nodes", "_online", "_pusher")

    def __init__(self, *, pusher: Pusher, keys: PushKeys, online: Online, nodes: Nodes) -> None:
        self._pusher = pusher
        self._keys = keys  # who may push
        self._online = online
        self._nodes = nodes

    def routes(self) -> list[Route]:
        return [
            _push("keys", ToKeys, self.push_keys, "To connections", "push:keys"),
            _push("mids", ToMembers, self.push_mids, "To every connection of members", "push:members"),
            _push("room", ToRoom, self.push_room, "To a room", "push:room:<type>"),
            _push("all", ToAll, self.push_all, "To everybody", "push:all"),
            _read("online/top", OfType, self.online_top, "The largest rooms of a type", list[Top], PRESENCE_ERRORS),
            _read("online/room", OfRooms, self.online_room, "Members of some rooms", dict[str, int], PRESENCE_ERRORS),
            _read("online/total", Nothing, self.online_total, "Connections and addresses", Total),
            _read("nodes/weighted", Client, self.nodes_weighted, "Where a client should connect", Weighted),
            _read("nodes/instances", Nothing, self.nodes_instances, "The comets that take clients", list[Listed]),
        ]

    async def push_keys(self, request: Request, query: ToKeys) -> Response:
        self._authorize(request, "push:keys")
        if not query.keys:
            return json_response(Envelope(REQUEST_ERROR, "keys: at least one"))  # with 200, as in goim
        return _pushed(await self._pusher.push_keys(query.operation, request.body, query.keys, _traceparent(request)))

    async def push_mids(self, request: Request, query: ToMembers) -> Response:
        self._authorize(request, "push:members")
        return _pushed(
            await self._pusher.push_members(query.operation, request.body, query.mids, _traceparent(request))
        )

    async def push_room(self, request: Request, query: ToRoom) -> Response:
        self._authorize(request, f"push:room:{query.type}")
        room = room_id(query.type, query.room)
        return _pushed(await self._pusher.push_room(query.operation, request.body, room, _traceparent(request)))

    async def push_all(self, request: Request, query: ToAll) -> Response:
        self._authorize(request, "push:all")
        speed = max(0, query.speed)
        return _pushed(await self._pusher.push_all(query.operation, request.body, speed, _traceparent(request)))

    async def online_top(self, request: Request, query: OfType) -> Response:
        return _answer(await self._online.top(query.type, query.limit))

    async def online_room(self, request: Request, query: OfRooms) -> Response:
        return _answer(await self._online.rooms(query.type, query.rooms))

    def online_total(self, request: Request, query: Nothing) -> Response:
        return _answer(self._online.total())

    def nodes_weighted(self, request: Request, query: Client) -> Response:
        return _answer(self._nodes.weighted(query.platform, request.address))

    def nodes_instances(self, request: Request, query: Nothing) -> Response:
        return _answer(self._nodes.instances())

    def _authorize(self, request: Request, scope: str) -> None:
        self._keys.authorize(request.header("authorization"), [scope])


def _traceparent(request: Request) -> str:
    return request.header("traceparent")


def _answer(data: Any) -> Response:
    return json_response(Envelope(OK, "", data))


def _pushed(id: int) -> Response:
    """goim's answer is the envelope alone: the id travels beside it."""
    return json_response(Envelope[None](OK), headers=((ID_HEADER, str(id)),))


def _push(name: str, query: type[T], call: Call[T], summary: str, scope: str) -> Route:
    return Route(
        "POST",
        f"/goim/push/{name}",
        reading(query, call),
        summary,
        "goim push",
        f"The body is the message, whatever its content type. The answer's header {ID_HEADER} is the push's id.",
        query=query,
        body=bytes,
        answer=Envelope[None],
        errors=PUSH_ERRORS,
        fault=fault,
        fault_type=Envelope[None],
        scopes=scope,
    )


def _read(
    name: str, query: type[T], call: Call[T], summary: str, data: Any, errors: tuple[type[ImdError], ...] = ()
) -> Route:
    return Route(
        "GET",
        f"/goim/{name}",
        reading(query, call),
        summary,
        f"goim {name.partition('/')[0]}",
        query=query,
        answer=Envelope[data],
        errors=(BadRequest, *errors),
        fault=fault,
        fault_type=Envelope[None],
    )
