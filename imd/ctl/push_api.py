"""The push API as a back end sees it: one push over HTTP, what logic says to it, and what became of it."""

from typing import Any, Never, TypeVar

import msgspec
from treq.client import HTTPClient
from twisted.internet import defer
from twisted.internet.error import ConnectError, ConnectionClosed, DNSLookupError
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.web.client import Agent, RequestTransmissionFailed, ResponseFailed, ResponseNeverReceived
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from imd.errors import AuthRefused, BadRequest, ImdError, NotFound, PeerUnavailable, ScopeMissing, Unavailable
from imd.logic.fate import Fate
from imd.logic.push_request import PushRequest, PushResult
from imd.transport.network_fault import words_of
from imd.transport.server_check import ServerCheck

MAX_ANSWER_BYTES = 2 * 2**20  # of logic; the fate of a push on 1,000 devices is some 300,000

Answer = TypeVar("Answer")


class Refusal(msgspec.Struct, frozen=True):
    """What stands in ``error`` of an answer that is no success."""

    name: str
    message: str


class RefusalBody(msgspec.Struct, frozen=True):
    """The body of such an answer."""

    error: Refusal


@implementer(IPolicyForHTTPS)
class VerifiedServers:
    """Every https server must prove its name."""

    __slots__ = ("_ca_file",)

    def __init__(self, ca_file: str | None) -> None:
        self._ca_file = ca_file  # PEM; None = the platform's authorities

    def creatorForNetloc(self, hostname: bytes, port: int) -> IOpenSSLClientConnectionCreator:
        """Twisted asks for each connection."""
        return ServerCheck(hostname.decode("ascii"), ca_file=self._ca_file)


class PushApi:
    """Pushes through one logic."""

    __slots__ = ("_agent", "_clock", "_key", "_timeout_seconds", "_url")

    def __init__(
        self, *, reactor: Any, url: str, key: str = "", timeout_seconds: float = 10.0, ca_file: str | None = None
    ) -> None:
        self._agent = HTTPClient(Agent(reactor, VerifiedServers(ca_file), connectTimeout=timeout_seconds))
        self._clock = reactor
        self._url = url.rstrip("/")  # of logic, without a path
        self._key = key  # bearer; empty = none
        self._timeout_seconds = timeout_seconds  # for the whole of it

    async def push(self, request: PushRequest) -> PushResult:
        """Ask for one push.

        Raises what logic said, as :class:`ImdError` (:class:`AuthRefused` and the like), or :class:`PeerUnavailable` when
        nobody answered; whether it was done is unknown then.
        """
        return await self._call("POST", "/v1/push", PushResult, msgspec.json.encode(request))

    async def fate(self, id: int) -> Fate:
        """What became of a push that is traced. Raises as :meth:`push` does, :class:`NotFound` for others."""
        return await self._call("GET", f"/v1/messages/{id}", Fate)

    async def _call(self, method: str, path: str, answer: type[Answer], body: bytes | None = None) -> Answer:
        try:
            status, said = await defer.Deferred.fromCoroutine(self._ask(method, path, body)).addTimeout(
                self._timeout_seconds, self._clock, onTimeoutCancel=self._late
            )
        except (ConnectError, DNSLookupError) as error:
            raise PeerUnavailable(f"{self._url}: cannot connect: {words_of(error)}; is imd running there?") from None
        except (ConnectionClosed, ResponseFailed, ResponseNeverReceived, RequestTransmissionFailed) as error:
            raise PeerUnavailable(f"{self._url}: the connection broke: {words_of(error)}") from None
        if status != 200:
            raise _refused(status, said)
        try:
            return msgspec.json.decode(said, type=answer)
        except msgspec.DecodeError:
            raise PeerUnavailable(f"{self._url}: answered something else than imd does; is that logic's URL?") from None

    def _late(self, _: object, timeout: float) -> Never:
        """Whatever the cancelled request failed with, this is why."""
        raise PeerUnavailable(f"{self._url}: no answer within {timeout:g} s")

    async def _ask(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        headers: dict[bytes | str, bytes | str] = {"Content-Type": "application/json"} if body is not None else {}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        # no redirects: the key would go along
        answer = await self._agent.request(
            method, f"{self._url}{path}", data=body, headers=headers, allow_redirects=False
        )
        parts: list[bytes] = []
        await answer.collect(lambda part: _keep(parts, part))
        return answer.code, b"".join(parts)


def _keep(parts: list[bytes], part: bytes) -> None:
    if sum(map(len, parts)) + len(part) > MAX_ANSWER_BYTES:
        raise PeerUnavailable(f"an answer of more than {MAX_ANSWER_BYTES} bytes: is that logic's URL?")
    parts.append(part)


def _refused(status: int, body: bytes) -> ImdError:
    """logic's words as an error of ours."""
    try:
        error = msgspec.json.decode(body, type=RefusalBody).error
        words = f"{error.name}: {error.message}"
    except msgspec.DecodeError:
        return PeerUnavailable(f"HTTP status {status}: is that logic's URL?")
    if status == 401:
        return AuthRefused(f"{words} (give the push key with --key-file or IMDCTL_PUSH_KEY)")
    if status == 403:
        return ScopeMissing(words)
    if status == 404:
        return NotFound(words)
    return Unavailable(words) if status >= 429 else BadRequest(words)
