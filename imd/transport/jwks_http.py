"""Fetches a JWKS by HTTP: the keys that sign clients' tokens, as their issuer publishes them."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from OpenSSL.SSL import Error as TlsError
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.error import ConnectError, ConnectionClosed, DNSLookupError
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool, ResponseDone, ResponseFailed
from twisted.web.error import Error as WebError
from twisted.web.http import OK, PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IPolicyForHTTPS, IResponse
from zope.interface import implementer

from imd import __version__
from imd.errors import ConfigError, DeadlineExceeded, PeerUnavailable
from imd.transport.network_fault import words_of
from imd.transport.server_check import ServerCheck

MAX_JWKS_BYTES = 1_048_576  # announced or not; a hundred RSA keys with their certificates are well below

_FAULTS = (ConnectError, ConnectionClosed, DNSLookupError, ResponseFailed, WebError, TlsError, OSError)


class JwksUrl:
    """A JWKS at a URL: call it to fetch the document. Redirects are not followed."""

    __slots__ = ("_agent", "_clock", "_timeout_seconds", "_url")

    def __init__(
        self, *, url: str, reactor: IReactorTime, ca_file: str | None = None, timeout_seconds: float = 3.0
    ) -> None:
        """``url``: https, or http to a loopback address. ``ca_file``: PEM authorities; None = the platform's.

        Raises :class:`imd.errors.ConfigError`.
        """
        _check(url)
        self._url = url
        self._clock = reactor
        self._timeout_seconds = timeout_seconds  # for everything: look-up, connection, answer
        # One connection a fetch: they are minutes apart, and nothing is left open at the end.
        pool = HTTPConnectionPool(reactor, persistent=False)
        self._agent = Agent(reactor, contextFactory=_Checked(ca_file), pool=pool)

    async def __call__(self) -> bytes:
        """The document. Raises :class:`imd.errors.PeerUnavailable` or :class:`imd.errors.DeadlineExceeded`, whose words
        name the fault and not the URL, which may hold a secret."""
        try:
            return await Deferred.fromCoroutine(self._get()).addTimeout(self._timeout_seconds, self._clock)
        except TimeoutError:
            raise DeadlineExceeded(f"the JWKS did not come within {self._timeout_seconds:g} s") from None
        except _FAULTS as error:
            raise PeerUnavailable(f"the JWKS cannot be fetched: {words_of(error)}") from None

    async def _get(self) -> bytes:
        headers = Headers({"Accept": ["application/json"], "User-Agent": [f"imd/{__version__}"]})
        try:
            response: IResponse = await self._agent.request(b"GET", self._url.encode("ascii"), headers)
        except ResponseFailed as error:
            if any(reason.check(CancelledError) for reason in error.reasons):
                raise CancelledError from None  # Twisted wraps even this
            raise
        announced = response.length
        body = _Body(None if announced is UNKNOWN_LENGTH else int(announced))
        response.deliverBody(body)
        data = await body.done
        if response.code != OK:
            raise PeerUnavailable(f"the JWKS URL answered {response.code}")
        return data


class _Body(Protocol):
    """Collects a response's body, up to the limit."""

    def __init__(self, announced: int | None) -> None:
        self.done: Deferred[bytes] = Deferred(lambda _: self._end())
        self._announced = announced  # bytes; None when the server did not say
        self._parts: list[bytes] = []
        self._size = 0

    def connectionMade(self) -> None:
        """The answer's head is there."""
        if self._announced is not None and self._announced > MAX_JWKS_BYTES:
            self._refuse()

    def dataReceived(self, data: bytes) -> None:
        """A piece of it."""
        self._size += len(data)
        if self._size > MAX_JWKS_BYTES:
            self._refuse()
        else:
            self._parts.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It is all there, or the server is gone."""
        if self.done.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.done.callback(b"".join(self._parts))
        else:
            self.done.errback(reason)

    def _refuse(self) -> None:
        self._parts.clear()
        if not self.done.called:
            self.done.errback(PeerUnavailable(f"the JWKS is larger than {MAX_JWKS_BYTES} bytes"))
        self._end()

    def _end(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()


@implementer(IPolicyForHTTPS)
class _Checked:
    """Who a server must be: the name in the URL, by a trusted authority."""

    def __init__(self, ca_file: str | None) -> None:
        self._ca_file = ca_file

    def creatorForNetloc(self, hostname: bytes, port: int) -> IOpenSSLClientConnectionCreator:
        """Twisted asks for each connection."""
        return ServerCheck(hostname.decode("ascii"), ca_file=self._ca_file)


def _check(url: str) -> None:
    parts = urlsplit(url)
    if not parts.hostname or not url.isascii():
        raise ConfigError("auth.jwks: no URL; write https://host/path")
    if parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname)):
        return
    raise ConfigError("auth.jwks: keys that come over the network need https://")


def _is_loopback(hostname: str) -> bool:
    try:
        return ip_address(hostname).is_loopback
    except ValueError:
        return hostname == "localhost"
