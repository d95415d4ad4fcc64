"""TLS: a server's certificate from files, and what a client checks of one."""

import os

from OpenSSL.crypto import X509
from OpenSSL.SSL import VERIFY_FAIL_IF_NO_PEER_CERT, VERIFY_PEER, Connection, Context, Error
from service_identity import CertificateError, VerificationError
from service_identity.hazmat import DNS_ID, IPAddress_ID, ServiceID, verify_service_identity
from service_identity.pyopenssl import extract_patterns
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    TLSVersion,
    optionsForClientTLS,
    platformTrust,
    trustRootFromCertificates,
)
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from imd.errors import ConfigError

_log = Logger()


@implementer(IOpenSSLServerConnectionCreator)
class ServerCertificate:
    """A certificate (with its chain behind it) and its key, PEM, for listeners: TLS 1.2 and up.

    Hand it to a listener as its context factory. A renewed certificate is taken from the same paths with the next
    connection; one that cannot be used is said once, and the old one stays. Raises :class:`ConfigError`.
    """

    __slots__ = ("_cert_file", "_context", "_key_file", "_stamp")

    def __init__(self, *, cert_file: str, key_file: str) -> None:
        self._cert_file = cert_file
        self._key_file = key_file
        self._stamp = self._look()  # of the files that were read last
        self._context = self._load()

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> Connection:
        """Twisted asks for each connection."""
        self._refresh()
        return Connection(self._context, None)

    def _refresh(self) -> None:
        stamp = self._look()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._context = self._load()
        except ConfigError as error:
            _log.error("The renewed certificate cannot be used, the old one stays: {error}", error=str(error))
        else:
            _log.info("Took the renewed certificate {path}", path=self._cert_file)

    def _look(self) -> tuple[float, float]:
        """When the files were changed; 0 for one that is not there (a renewal may be under way)."""
        return _changed_at(self._cert_file), _changed_at(self._key_file)

    def _load(self) -> Context:
        for name, path in (("certificate", self._cert_file), ("key", self._key_file)):
            if not os.access(path, os.R_OK):
                raise ConfigError(f"the TLS {name} {path} is missing or cannot be read")
        options = CertificateOptions(raiseMinimumTo=TLSVersion.TLSv1_2)
        context: Context = options.getContext()
        try:
            context.use_certificate_chain_file(self._cert_file)
        except Error:
            raise ConfigError(f"the TLS certificate {self._cert_file} is no PEM certificate") from None
        try:
            context.use_privatekey_file(self._key_file)
            context.check_privatekey()
        except Error:
            raise ConfigError(
                f"the TLS key {self._key_file} is no PEM key, or not the one of the certificate {self._cert_file}"
            ) from None
        return context


@implementer(IOpenSSLClientConnectionCreator)
class ServerCheck:
    """What a client demands of a server: a certificate that a trusted authority signed, for this very name.

    Twisted 26.4 and 26.10 let a trusted certificate without subjectAltName pass for every name (its callback swallows
    service_identity's ``CertificateError``), so the name is checked here.
    """

    __slots__ = ("_name", "_options")

    def __init__(self, hostname: str, *, ca_file: str | None = None) -> None:
        """``ca_file``: PEM certificates of the authorities to trust; None = the platform's. Raises :class:`ConfigError`."""
        trust = platformTrust() if ca_file is None else trustRootFromCertificates(_certificates(ca_file))
        self._options = optionsForClientTLS(hostname, trustRoot=trust)
        is_address = isIPAddress(hostname) or isIPv6Address(hostname)
        self._name: ServiceID = IPAddress_ID(hostname) if is_address else DNS_ID(hostname)

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> Connection:
        """Twisted asks for each connection."""
        connection = self._options.clientConnectionForTLS(tlsProtocol)
        connection.set_verify(VERIFY_PEER | VERIFY_FAIL_IF_NO_PEER_CERT, self._verify)
        return connection

    def _verify(self, connection: Connection, certificate: X509, error: int, depth: int, ok: int) -> bool:
        """OpenSSL asks for each certificate of the chain; the server's own is at depth 0."""
        if not ok or depth:
            return bool(ok)
        try:
            verify_service_identity(extract_patterns(certificate), [self._name], [])
        except (VerificationError, CertificateError):
            return False
        return True


def unverified() -> CertificateOptions:
    """For a client that was told to believe any server: encrypted, but with whom nobody knows."""
    return CertificateOptions(verify=False, raiseMinimumTo=TLSVersion.TLSv1_2)


def _certificates(path: str) -> list[Certificate]:
    """Every PEM certificate in the file."""
    try:
        with open(path, "rb") as file:
            text = file.read()
        begin = b"-----BEGIN CERTIFICATE-----"
        found = [Certificate.loadPEM(begin + part) for part in text.split(begin)[1:]]
    except (OSError, Error, ValueError) as error:
        raise ConfigError(f"the TLS authority {path} cannot be used: {error}") from None
    if not found:
        raise ConfigError(f"the TLS authority {path} holds no PEM certificate")
    return found


def _changed_at(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0
