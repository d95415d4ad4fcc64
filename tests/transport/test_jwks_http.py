"""A JWKS comes over HTTP, or a clear fault does, in time."""

from pathlib import Path
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from imd.errors import ConfigError, DeadlineExceeded, PeerUnavailable
from imd.transport.jwks_http import MAX_JWKS_BYTES, JwksUrl
from imd.transport.server_certificate import ServerCertificate
from tests.support.certificates import make_certificates

reactor: Any = installed_reactor
DOCUMENT = b'{"keys":[]}'


def answer(body: bytes, status: bytes = b"200 OK", *headers: bytes) -> bytes:
    return b"\r\n".join([b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *headers, b"", body])


class Server(Protocol):
    """Answers a request with its bytes, then hangs up if told so."""

    def __init__(self, reply: bytes, hang_up: bool) -> None:
        self.reply = reply
        self.hang_up = hang_up
        self.asked = b""
        self.gone: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.asked += data
        self.transport.write(self.reply)
        if self.hang_up:
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.gone.callback(None)


class Servers(Factory):
    """All of one test's connections."""

    noisy = False

    def __init__(self, reply: bytes, hang_up: bool) -> None:
        self.reply = reply
        self.hang_up = hang_up
        self.accepted: list[Server] = []

    def buildProtocol(self, addr: object) -> Protocol:
        self.accepted.append(Server(self.reply, self.hang_up))
        return self.accepted[-1]


class JwksUrlTests(TestCase):
    """Against a real server on loopback."""

    async def fetch(self, reply: bytes, *, hang_up: bool = False, timeout_seconds: float = 5.0) -> bytes:
        """What comes back for these bytes; every connection is gone afterwards."""
        servers = self.servers = Servers(reply, hang_up)
        port = reactor.listenTCP(0, servers, interface="127.0.0.1")
        url = f"http://127.0.0.1:{port.getHost().port}/keys?secret"
        try:
            return await JwksUrl(url=url, reactor=reactor, timeout_seconds=timeout_seconds)()
        finally:
            await port.stopListening()
            for server in servers.accepted:
                await server.gone

    async def refusal(self, error: type[Exception], reply: bytes, **how: Any) -> str:
        with self.assertRaises(error) as caught:
            await self.fetch(reply, **how)
        self.assertNotIn("secret", str(caught.exception))
        return str(caught.exception)

    async def test_document(self) -> None:
        """The body of a 200, whether its length was announced or not."""
        self.assertEqual(await self.fetch(answer(DOCUMENT)), DOCUMENT)
        self.assertIn(b"GET /keys?secret HTTP/1.1\r\n", self.servers.accepted[0].asked)
        unannounced = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + DOCUMENT
        self.assertEqual(await self.fetch(unannounced, hang_up=True), DOCUMENT)

    async def test_other_statuses(self) -> None:
        """Anything but 200 is no document; a redirect is not followed."""
        for status in (b"404 Not Found", b"500 Oops", b"302 Found"):
            words = await self.refusal(PeerUnavailable, answer(DOCUMENT, status, b"Location: http://127.0.0.1:1/"))
            self.assertEqual(words, f"the JWKS URL answered {status[:3].decode()}")

    async def test_too_large(self) -> None:
        """An endless answer is cut, announced or not."""
        for reply in (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (MAX_JWKS_BYTES + 1),
        ):
            self.assertIn("larger than", await self.refusal(PeerUnavailable, reply))

    async def test_broken_answers(self) -> None:
        """No HTTP, half a head, half a body, nothing."""
        for reply in (b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 200", answer(DOCUMENT)[:-3], b""):
            words = await self.refusal(PeerUnavailable, reply, hang_up=True)
            self.assertTrue(words.startswith("the JWKS cannot be fetched: "), words)

    async def test_silence(self) -> None:
        """A server that says nothing, or stops in the middle, is given up at the deadline."""
        for reply in (b"", answer(DOCUMENT)[:-3]):
            words = await self.refusal(DeadlineExceeded, reply, timeout_seconds=0.05)
            self.assertEqual(words, "the JWKS did not come within 0.05 s")

    async def test_nobody_there(self) -> None:
        """A refused connection is said as one."""
        port = reactor.listenTCP(0, Servers(b"", False), interface="127.0.0.1")
        url = f"http://127.0.0.1:{port.getHost().port}/"
        await port.stopListening()
        with self.assertRaisesRegex(PeerUnavailable, "refused"):
            await JwksUrl(url=url, reactor=reactor)()

    async def test_cancelled(self) -> None:
        """Whoever stops waiting stops the fetch, in every phase."""
        for reply in (b"", answer(DOCUMENT)[:-3]):
            fetching = Deferred.fromCoroutine(self.fetch(reply))
            reactor.callLater(0.05, fetching.cancel)
            with self.assertRaises(CancelledError):
                await fetching


class TlsTests(TestCase):
    """Whom it believes."""

    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        self.files = make_certificates(folder)

    async def fetch(self, cert: str, key: str, ca_file: str | None) -> bytes:
        servers = Servers(answer(DOCUMENT), False)
        port = reactor.listenSSL(0, servers, ServerCertificate(cert_file=cert, key_file=key), interface="127.0.0.1")
        url = f"https://127.0.0.1:{port.getHost().port}/keys"
        try:
            return await JwksUrl(url=url, reactor=reactor, ca_file=ca_file)()
        finally:
            await port.stopListening()
            for server in servers.accepted:
                await server.gone

    async def test_right_certificate(self) -> None:
        """For this very address, by a trusted authority."""
        self.assertEqual(await self.fetch(self.files.cert, self.files.key, self.files.ca), DOCUMENT)

    async def test_wrong_certificates(self) -> None:
        """For elsewhere, for nobody, or by an unknown authority: no keys come from there."""
        files = self.files
        for cert, key, ca in (
            (files.other_cert, files.other_key, files.ca),
            (files.nameless_cert, files.nameless_key, files.ca),
            (files.cert, files.key, None),
        ):
            with self.assertRaisesRegex(PeerUnavailable, "TLS"):
                await self.fetch(cert, key, ca)


class UrlTests(SynchronousTestCase):
    """URLs that are refused at start."""

    def test_bad_urls(self) -> None:
        """No URL, and keys that anybody on the way could replace."""
        for url in ("", "keys.json", "https://", "http://example.com/keys", "ftp://127.0.0.1/", "https://é.example/"):
            with self.assertRaisesRegex(ConfigError, "^auth.jwks: "):
                JwksUrl(url=url, reactor=reactor)

    def test_good_urls(self) -> None:
        """https anywhere, http on this machine."""
        for url in ("https://example.com/keys", "http://localhost:1/", "http://[::1]:1/", "http://127.0.0.1:1/"):
            JwksUrl(url=url, reactor=reactor)
