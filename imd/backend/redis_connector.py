"""Makes connections to a Redis that are ready for calls: found, encrypted, looked at, authenticated."""

from collections import deque
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from OpenSSL.crypto import Error as PEMError
from OpenSSL.SSL import VERIFY_FAIL_IF_NO_PEER_CERT, VERIFY_PEER
from OpenSSL.SSL import Connection as TLSConnection
from service_identity import CertificateError, VerificationError
from service_identity.pyopenssl import verify_hostname, verify_ip_address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as WaitedTooLong
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError, ConnectionRefusedError, DNSLookupError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.interfaces import IAddress, IOpenSSLClientConnectionCreator, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.ssl import Certificate, PrivateCertificate, optionsForClientTLS
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from imd.backend.redis_connection import RedisConnection, Send, buffered
from imd.backend.redis_settings import RedisSettings
from imd.errors import Unavailable


class RedisConnector:
    """Every failure is an :class:`imd.errors.Unavailable` that says which step failed, without any password.

    With Sentinels, each connection begins with asking one of them who the master is, and ends unless that server agrees.
    """

    __slots__ = ("_reactor", "_send", "_sentinels", "_settings")

    def __init__(self, *, settings: RedisSettings, reactor: Any, send: Send = buffered) -> None:
        self._settings = settings
        self._send = send
        self._reactor = reactor  # IReactorTCP, IReactorUNIX, IReactorTime, IReactorPluggableNameResolver
        self._sentinels = deque(settings.sentinels)  # whoever answered last comes first

    async def connect(self) -> RedisConnection:
        """A connection that is ready. Each of its steps has the settings' ``timeout_seconds``."""
        settings = self._settings
        if settings.sentinels:
            host, port = await self._find_master()
            connection = await self._open(settings.label, host, port)
        else:
            connection = await self._open(settings.label, settings.host, settings.port, settings.path)
        try:
            await self._prepare(connection)
        except BaseException as error:  # a cancelled wait too: nobody else knows of this connection
            connection.abort(str(error))
            raise
        return connection

    async def _prepare(self, connection: RedisConnection) -> None:
        settings, seconds = self._settings, self._settings.timeout_seconds
        await self._authenticate(connection, settings.username, settings.password)
        if settings.db:
            await connection.call("SELECT", settings.db, seconds=seconds)
        if settings.sentinels:
            role = await connection.call("ROLE", seconds=seconds)
            if role[0] != b"master":
                raise Unavailable(f"{settings.label}: the server that the Sentinels name is not a master yet")
        # Only with an answer is it known that it has its data, and that it wants no password.
        connection.run_id = _run_id(await connection.call("INFO", "server", seconds=seconds))

    async def _authenticate(self, connection: RedisConnection, username: str, password: str) -> None:
        if password:
            words = (username, password) if username else (password,)
            await connection.call("AUTH", *words, seconds=self._settings.timeout_seconds)

    async def _find_master(self) -> tuple[str, int]:
        """Ask the Sentinels one after the other."""
        reasons: list[str] = []
        for host, port in list(self._sentinels):
            try:
                answer = await self._ask_sentinel(host, port)
            except Unavailable as error:
                reasons.append(str(error))
                self._sentinels.rotate(-1)
                continue
            if answer is not None:
                return answer[0].decode(), int(answer[1])
            reasons.append(f"sentinel at {host}:{port}: it knows no master {self._settings.sentinel_master}")
            self._sentinels.rotate(-1)
        raise Unavailable(f"{self._settings.label}: {'; '.join(reasons)}")

    async def _ask_sentinel(self, host: str, port: int) -> list[bytes] | None:
        settings = self._settings
        connection = await self._open(f"sentinel at {host}:{port}", host, port)
        try:
            await self._authenticate(connection, "", settings.sentinel_password)
            answer: list[bytes] | None = await connection.call(
                "SENTINEL", "get-master-addr-by-name", settings.sentinel_master, seconds=settings.timeout_seconds
            )
            return answer
        finally:
            connection.abort("asked")

    async def _open(self, label: str, host: str, port: int, path: str = "") -> RedisConnection:
        """Connected, and with TLS its peer verified; nothing said yet."""
        seconds = self._settings.timeout_seconds
        try:
            factory = self._factory(label, host)
            endpoint = self._endpoint(host, port, path)
        except OSError as error:
            raise Unavailable(f"{label}: {error.strerror}: {error.filename}") from None
        except (PEMError, ValueError):
            raise Unavailable(f"{label}: a certificate file holds no PEM certificate, or no key") from None
        try:
            # An endpoint's own timeout does not cover the look-up of a name.
            connection = await _cancellable(endpoint.connect(factory)).addTimeout(seconds, self._reactor)
        except (ConnectError, DNSLookupError, WaitedTooLong, OSError) as error:  # OSError: too many open files
            raise Unavailable(f"{label}: {_words(error)}") from None
        assert isinstance(connection, RedisConnection)
        try:
            await Deferred.fromCoroutine(connection.opened()).addTimeout(seconds, self._reactor)
        except WaitedTooLong:
            connection.abort("no TLS handshake in time")
            raise Unavailable(f"{label}: no TLS handshake within {seconds:g} s") from None
        except BaseException as error:  # a cancelled wait too: nobody else knows of this connection
            connection.abort(str(error))
            raise
        return connection

    def _factory(self, label: str, host: str) -> "_ConnectionFactory":
        verify = _Verifier(host) if self._settings.tls else None
        return _ConnectionFactory(
            lambda: RedisConnection(label=label, clock=self._reactor, verify=verify, send=self._send)
        )

    def _endpoint(self, host: str, port: int, path: str) -> IStreamClientEndpoint:
        settings = self._settings
        if path:
            return UNIXClientEndpoint(self._reactor, path, timeout=settings.timeout_seconds)
        endpoint = HostnameEndpoint(self._reactor, host, port, timeout=settings.timeout_seconds)
        if not settings.tls:
            return endpoint
        trust = Certificate.loadPEM(_read(settings.ca_file)) if settings.ca_file else None
        ours = None
        if settings.cert_file:
            ours = PrivateCertificate.loadPEM(_read(settings.cert_file) + b"\n" + _read(settings.key_file))
        return wrapClientTLS(_ChainOnly(optionsForClientTLS(host, trustRoot=trust, clientCertificate=ours)), endpoint)


class _ConnectionFactory(Factory[RedisConnection]):
    noisy = False

    def __init__(self, make: Callable[[], RedisConnection]) -> None:
        self._make = make

    def buildProtocol(self, addr: IAddress | None) -> RedisConnection:
        return self._make()


@implementer(IOpenSSLClientConnectionCreator)
class _ChainOnly:
    """Who signed the certificate is OpenSSL's to check; for whom, is :class:`_Verifier`'s.

    Twisted's own check of the name lets a trusted certificate without subjectAltName pass for any host, with a traceback
    in the log.
    """

    __slots__ = ("_options",)

    def __init__(self, options: IOpenSSLClientConnectionCreator) -> None:
        self._options = options

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> TLSConnection:
        connection = self._options.clientConnectionForTLS(tlsProtocol)
        connection.set_verify(VERIFY_PEER | VERIFY_FAIL_IF_NO_PEER_CERT, lambda *arguments: bool(arguments[-1]))
        return connection


class _Verifier:
    """After the handshake, before anything is said: is the certificate for the host that was meant?"""

    __slots__ = ("_host",)

    def __init__(self, host: str) -> None:
        self._host = host

    def __call__(self, connection: TLSConnection) -> None:
        try:
            if _is_address(self._host):
                verify_ip_address(connection, self._host)
            else:
                verify_hostname(connection, self._host)
        except (VerificationError, CertificateError):
            raise Unavailable(f"its certificate is not for {self._host}") from None


def _run_id(info: bytes) -> str:
    for line in info.decode("utf-8", "replace").splitlines():
        name, _, value = line.partition(":")
        if name == "run_id":
            return value.strip()
    return ""  # one that does not say is taken for the same one always


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _cancellable(attempt: Deferred[Any]) -> Deferred[Any]:
    """The same result, but CancelledError when it is cancelled. An endpoint fails then with a word of its own: while a name
    is looked up, that there is no such name. Whoever waits would take that for an absence, and try again though told to end."""

    def cancel(result: Deferred[Any]) -> None:
        result.errback(CancelledError())
        attempt.cancel()

    result: Deferred[Any] = Deferred(cancel)
    attempt.addBoth(lambda outcome: None if result.called else result.callback(outcome))
    return result


def _words(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "the connection was refused"
    if isinstance(error, DNSLookupError):
        return "its name cannot be resolved"
    if isinstance(error, ConnectTimeout | WaitedTooLong):
        return "no connection in time"
    return str(error)
