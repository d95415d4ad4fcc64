"""Every way a connection ends and every error a peer can see, each with its codes. Codes are never reused."""

from enum import Enum, unique
from typing import ClassVar


@unique
class CloseReason(Enum):
    """Why a connection ended: chosen once, counted once, logged once.

    The value is (code, redial). ``code`` goes into a version-2 goodbye and into a WebSocket close frame (4000 to 4999 are
    free for applications, RFC 6455 §7.4.2). ``redial`` tells the client whether coming back unchanged can succeed.
    """

    PEER_CLOSED = (4000, True)  # the client hung up
    PEER_LOST = (4001, True)  # the network or TLS failed under it
    HANDSHAKE_TIMEOUT = (4002, True)  # no valid op 7 in time, the WebSocket upgrade included
    HEARTBEAT_TIMEOUT = (4003, True)  # no op 2 within heartbeat * heartbeat_max

    BAD_PACKET_LENGTH = (4010, False)  # package length negative, or shorter than the header
    BAD_HEADER_LENGTH = (4011, False)  # header length is not 16
    PACKET_TOO_LARGE = (4012, False)  # the announced body is over the limit
    MESSAGE_LENGTH_MISMATCH = (4013, False)  # a WebSocket message that is not exactly one packet
    BAD_BODY = (4014, False)  # not JSON, a wrong type, or over a named limit
    BAD_WEBSOCKET = (4015, False)  # a frame or an upgrade against RFC 6455

    AUTH_REFUSED = (4020, False)  # the token is not good
    AUTH_UNAVAILABLE = (4021, True)  # nobody could say whether it is
    TOKEN_EXPIRED = (4022, False)  # a version-2 client's token ran out, and it had shown no new one
    ROOM_REFUSED = (4023, False)  # it asked for a room that it may not join, or its new token says so

    REPLACED = (4030, False)  # a newer connection came with the same key
    DEVICE_LIMIT = (4031, False)  # the member connected more devices of this platform than it may: the oldest goes

    SLOW_CONSUMER = (4040, True)  # its outbox was full
    RATE_LIMITED = (4041, True)  # more packets a second than allowed
    SERVER_FULL = (4042, True)  # the connection limit of this comet
    ADDRESS_LIMIT = (4043, True)  # the connection limit of the client's address

    RESUME_LIMITED = (4044, True)  # too many clients resume at once: come back after retry_after_ms

    SERVER_STOPPING = (4050, True)
    TIMELINE_RESET = (4051, True)  # the store lost messages: what the client knows of a timeline's numbering is void
    INTERNAL_ERROR = (4060, True)  # a bug of ours; the traceback is in our log

    @property
    def code(self) -> int:
        """4000 to 4999, unique."""
        return self.value[0]

    @property
    def redial(self) -> bool:
        """Whether the same client, unchanged, may succeed on another try."""
        return self.value[1]

    @property
    def label(self) -> str:
        """The name as metrics, logs and goodbyes spell it: ``slow_consumer``."""
        return self.name.lower()


class ImdError(Exception):
    """What went wrong, in words a peer may read.

    ``code`` travels in RPC replies, ``http_status`` in HTTP ones, ``name`` in JSON. The message never holds a secret.
    """

    code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500
    name: ClassVar[str] = "internal"


class ProtocolError(ImdError):
    """The peer broke the client wire; its connection ends with ``reason``."""

    code = 2
    http_status = 400
    name = "protocol"

    def __init__(self, reason: CloseReason, detail: str = "") -> None:
        super().__init__(f"{reason.label}: {detail}" if detail else reason.label)
        self.reason = reason


class ConfigError(ImdError):
    """The configuration cannot be used: file, key path, and what would be right."""

    code = 3
    name = "config"


class BadRequest(ImdError):
    """A request whose shape or values are wrong; nothing was done."""

    code = 10
    http_status = 400
    name = "bad_request"


class AuthRefused(ImdError):
    """The credentials are not good. Says which check failed, never the credentials."""

    code = 11
    http_status = 401
    name = "unauthorized"


class ScopeMissing(ImdError):
    """The credentials are good, but not for this."""

    code = 12
    http_status = 403
    name = "forbidden"


class BodyTooLarge(ImdError):
    """The request's body is over the limit."""

    code = 13
    http_status = 413
    name = "too_large"


class IdempotencyConflict(ImdError):
    """The idempotency key was used before, for a different push."""

    code = 14
    http_status = 409
    name = "idempotency_conflict"


class ServerIdTaken(ImdError):
    """Another live process is registered under this id."""

    code = 15
    http_status = 409
    name = "server_id_taken"


class NotFound(ImdError):
    """There is nothing at this address."""

    code = 16
    http_status = 404
    name = "not_found"


class MethodNotAllowed(ImdError):
    """There is something at this address, but not for this method."""

    code = 17
    http_status = 405
    name = "method_not_allowed"


class CrossOrigin(ImdError):
    """A browser sent this for a page of another origin."""

    code = 18
    http_status = 403
    name = "cross_origin"


class RequestTooSlow(ImdError):
    """The request was not complete in time."""

    code = 19
    http_status = 408
    name = "too_slow"


class LineTooLong(ImdError):
    """A line of the request's head is over the limit: its query, nearly always."""

    code = 21
    http_status = 414
    name = "line_too_long"


class Overloaded(ImdError):
    """A queue is at its limit. Nothing was accepted; try again after ``retry_after_seconds``."""

    code = 20
    http_status = 429
    name = "overloaded"

    def __init__(self, message: str, retry_after_seconds: int = 1) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Unavailable(ImdError):
    """A product or a peer is away. Whether the request was done is unknown unless a subclass says more."""

    code = 30
    http_status = 503
    name = "unavailable"
    retry_after_seconds: ClassVar[int] = 1


class BrokerUnavailable(Unavailable):
    """The broker did not confirm: the push may or may not be in it."""

    code = 31
    name = "broker_unavailable"


class PresenceUnavailable(Unavailable):
    """Who is connected where cannot be read or written now."""

    code = 32
    name = "presence_unavailable"


class RegistryUnavailable(Unavailable):
    """The registry cannot be asked now; the last known servers stay."""

    code = 33
    name = "registry_unavailable"


class PeerUnavailable(Unavailable):
    """An RPC peer is away, or vanished before it answered."""

    code = 34
    name = "peer_unavailable"


class PeerDown(PeerUnavailable):
    """An RPC peer is not there now: nothing was sent, so any request may be tried again."""

    code = 36
    name = "peer_down"


class DeadlineExceeded(Unavailable):
    """No answer in time. It may still have been done."""

    code = 35
    http_status = 504
    name = "deadline_exceeded"


class TimelineUnavailable(Unavailable):
    """Kept messages cannot be read now."""

    code = 37
    name = "timeline_unavailable"


class Fenced(ImdError):
    """Somebody else owns this by now; nothing was done."""

    code = 38
    http_status = 409
    name = "fenced"


class NotAllowed(ImdError):
    """Who asks is known, and may not do this."""

    code = 39
    http_status = 403
    name = "not_allowed"


class TooMany(ImdError):
    """It has as many of these as it may."""

    code = 40
    http_status = 403
    name = "too_many"


def by_code(code: int) -> type[ImdError]:
    """The exception class that travels as ``code``; :class:`ImdError` for one that is unknown (a newer peer's)."""
    return _BY_CODE.get(code, ImdError)


def _tree(root: type[ImdError]) -> list[type[ImdError]]:
    return [root, *(kind for child in root.__subclasses__() for kind in _tree(child))]


_BY_CODE = {kind.code: kind for kind in _tree(ImdError) if kind is not ProtocolError}
