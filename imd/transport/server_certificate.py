"""A server's certificate, from files, for TLS listeners."""

import os

from OpenSSL.SSL import Connection, Context, Error
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.ssl import (
    CertificateOptions,
    TLSVersion,
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


def _changed_at(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0
