"""What a client demands of a server's certificate."""

from OpenSSL.crypto import X509
from OpenSSL.SSL import VERIFY_FAIL_IF_NO_PEER_CERT, VERIFY_PEER, Connection, Error
from service_identity import CertificateError, VerificationError
from service_identity.hazmat import DNS_ID, IPAddress_ID, ServiceID, verify_service_identity
from service_identity.pyopenssl import extract_patterns
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    TLSVersion,
    optionsForClientTLS,
    platformTrust,
    trustRootFromCertificates,
)
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from imd.errors import ConfigError


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
