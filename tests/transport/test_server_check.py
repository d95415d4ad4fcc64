"""Handshakes between a server and a client that checks it."""

import os
from pathlib import Path

from OpenSSL.SSL import Error
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import CertificateOptions
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from imd.transport.server_certificate import ServerCertificate
from imd.transport.server_check import ServerCheck, unverified
from tests.support.certificates import Certificates, make_certificates


class _Peer(Protocol):
    """Fires ``heard`` with the first bytes, or with the failure that ended the connection."""

    def __init__(self, greeting: bytes) -> None:
        self.greeting = greeting
        self.heard: Deferred[bytes] = Deferred()
        self.gone: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self.greeting)

    def dataReceived(self, data: bytes) -> None:
        if not self.heard.called:
            self.heard.callback(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.heard.called:
            self.heard.errback(reason)
        self.gone.callback(None)


class HandshakeTests(TestCase):
    """A client and a server, handshaking."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.files: Certificates = make_certificates(self.folder)

    async def greet(self, server: ServerCertificate, client: ServerCheck | CertificateOptions) -> bytes:
        """What the client hears of the server."""
        accepted: list[_Peer] = []

        class ServerSide(Factory):
            noisy = False

            def buildProtocol(self, addr: object) -> Protocol:
                accepted.append(_Peer(b"hello"))
                return accepted[-1]

        peer = _Peer(b"hi")

        class ClientSide(Factory):
            noisy = False

            def buildProtocol(self, addr: object) -> Protocol:
                return peer

            def startedConnecting(self, connector: object) -> None: ...
            def clientConnectionLost(self, connector: object, reason: object) -> None: ...

        port = reactor.listenSSL(0, ServerSide(), server, interface="127.0.0.1")  # type: ignore[attr-defined]
        try:
            reactor.connectSSL("127.0.0.1", port.getHost().port, ClientSide(), client)  # type: ignore[attr-defined]
            return await peer.heard
        finally:
            if peer.transport is not None:
                peer.transport.abortConnection()  # type: ignore[attr-defined]
            await peer.gone
            for side in accepted:
                side.heard.addErrback(lambda failure: None)
                await side.gone
            await port.stopListening()

    def server(self, cert: str, key: str) -> ServerCertificate:
        return ServerCertificate(cert_file=cert, key_file=key)

    def test_right_name(self) -> Deferred[None]:
        """A certificate for the name, or for the address, by the trusted authority is believed."""

        async def run() -> None:
            for name in ("localhost", "127.0.0.1"):
                check = ServerCheck(name, ca_file=self.files.ca)
                self.assertEqual(await self.greet(self.server(self.files.cert, self.files.key), check), b"hello")

        return Deferred.fromCoroutine(run())

    def test_wrong_names(self) -> Deferred[None]:
        """Another name, no subjectAltName at all, or an unknown authority: not a byte is exchanged."""
        files = self.files
        cases = (
            (files.other_cert, files.other_key, "localhost", files.ca),
            (files.nameless_cert, files.nameless_key, "localhost", files.ca),
            (files.nameless_cert, files.nameless_key, "127.0.0.1", files.ca),
            (files.cert, files.key, "example.com", files.ca),
            (files.cert, files.key, "localhost", None),
        )

        async def run() -> None:
            for cert, key, name, ca in cases:
                with self.assertRaises(Error):
                    await self.greet(self.server(cert, key), ServerCheck(name, ca_file=ca))

        return Deferred.fromCoroutine(run())

    def test_unverified(self) -> Deferred[None]:
        """A client that was told to believe anybody does."""

        async def run() -> None:
            server = self.server(self.files.nameless_cert, self.files.nameless_key)
            self.assertEqual(await self.greet(server, unverified()), b"hello")

        return Deferred.fromCoroutine(run())

    def test_renewal(self) -> Deferred[None]:
        """A renewed certificate is taken with the next connection; one that does not fit is not."""
        files = self.files
        cert, key = self.folder / "live.pem", self.folder / "live-key.pem"

        def install(new_cert: str, new_key: str, changed_at: int) -> None:
            for source, target in ((new_cert, cert), (new_key, key)):
                target.write_bytes(Path(source).read_bytes())
                os.utime(target, (changed_at, changed_at))

        async def run() -> None:
            install(files.other_cert, files.other_key, 1)
            server = self.server(str(cert), str(key))
            check = ServerCheck("localhost", ca_file=files.ca)
            with self.assertRaises(Error):
                await self.greet(server, check)
            install(files.cert, files.key, 2)
            self.assertEqual(await self.greet(server, check), b"hello")
            install(files.other_cert, files.key, 3)  # half of a renewal
            self.assertEqual(await self.greet(server, check), b"hello")
            install(files.other_cert, files.other_key, 4)
            with self.assertRaises(Error):
                await self.greet(server, check)

        return Deferred.fromCoroutine(run())
