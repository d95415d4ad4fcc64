"""What a connection may send, and how slowly."""

import socket
from http.client import HTTPConnection
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase, TestCase

from imd.metrics import Metrics
from imd.transport.direct import send_directly
from imd.transport.http import HttpSite
from imd.transport.http_channel import LINGER_SECONDS, STOP_SECONDS
from imd.transport.http_message import TEXT, Request, Response
from imd.transport.http_route import Route
from tests.support.http_wire import HttpWire, site_of
from tests.support.reactor import reactor

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"


class ChannelCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.metrics = Metrics()
        self.bodies: list[bytes] = []
        self.site: HttpSite = site_of(
            Route("POST", "/", self.take, summary="", tag=""),
            clock=self.clock,
            metrics=self.metrics,
            max_body_bytes=1000,
            max_held_bytes=1500,
            receive_seconds=10,
            idle_seconds=20,
        )
        self.wire = HttpWire(self.site)

    def take(self, request: Request) -> Response:
        self.bodies.append(request.body)
        return Response(200, b"%d" % len(request.body), TEXT)

    def assert_refused(self, status: int, name: str, route: str = "/") -> None:
        """One answer, one count, whatever else is sent is dropped, and the connection ends after a while."""
        [answer] = self.wire.answers()
        self.assertEqual((answer.status, answer.json()["error"]["name"]), (status, name))
        self.assertEqual(answer.headers["connection"], "close")
        self.assertEqual(list(self.metrics.http_seconds.values), [(route, str(status))])
        self.wire.send(b"x" * 5000 + b"\r\n\r\nPOST / HTTP/1.1\r\n\r\n")
        self.assertEqual((self.wire.answers(), self.bodies), ([], []))
        self.assertFalse(self.wire.ended)
        self.clock.advance(LINGER_SECONDS)
        self.assertTrue(self.wire.ended)
        self.wire.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.site._held_bytes, 0)


class BodyLimitTests(ChannelCase):
    def test_at_the_limit(self) -> None:
        """A body of exactly the limit is taken, with a length and in chunks."""
        self.wire.send(HEAD + b"Content-Length: 1000\r\n\r\n" + b"x" * 1000)
        self.wire.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n3e8\r\n" + b"x" * 1000 + b"\r\n0\r\n\r\n")
        self.assertEqual([answer.body for answer in self.wire.answers()], [b"1000", b"1000"])
        self.assertEqual(self.site._held_bytes, 0)

    def test_announced_too_large(self) -> None:
        """A body over the limit is refused from its announcement, before a byte of it is read."""
        self.wire.send(HEAD + b"Content-Length: 1001\r\n\r\n")
        self.assert_refused(413, "too_large")

    def test_no_continue(self) -> None:
        """A peer that asks before it sends is told no, not to continue."""
        self.wire.send(HEAD + b"Expect: 100-continue\r\nContent-Length: 1001\r\n\r\n")
        self.assert_refused(413, "too_large")

    def test_continue(self) -> None:
        """A peer that asks before it sends something we take is told to continue."""
        self.wire.send(HEAD + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        self.assertEqual(self.wire.transport.value(), b"HTTP/1.1 100 Continue\r\n\r\n")

    def test_chunked_too_large(self) -> None:
        """A chunked body is cut off where it passes the limit, in one read or in many."""
        self.wire.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(4):
            self.wire.send(b"fa\r\n" + b"x" * 250 + b"\r\n")
        self.assertEqual(self.wire.answers(), [])
        self.wire.send(b"1\r\nx\r\n0\r\n\r\n")
        self.assert_refused(413, "too_large")

    def test_chunked_too_large_at_once(self) -> None:
        """So is one that comes whole."""
        self.wire.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n")
        self.assert_refused(413, "too_large")

    def test_all_bodies(self) -> None:
        """The bodies of all connections together are limited, too; a lost connection gives back what it held."""
        other = HttpWire(self.site)
        other.send(HEAD + b"Content-Length: 1000\r\n\r\n" + b"x" * 900)
        self.wire.send(HEAD + b"Content-Length: 1000\r\n\r\n" + b"x" * 900)
        [answer] = self.wire.answers()
        self.assertEqual((answer.status, answer.headers["retry-after"]), (429, "1"))
        other.lose()
        self.wire.lose()
        self.assertEqual(self.site._held_bytes, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_line_too_long(self) -> None:
        """A query over the limit is told so, whether it comes whole or never ends; one below it is taken."""
        for data in (b"POST /?" + b"k=1&" * 40_000 + b" HTTP/1.1\r\n\r\n", b"POST /?" + b"k" * 140_000):
            wire = HttpWire(self.site)
            wire.send(data)
            [answer] = wire.answers()
            self.assertEqual((answer.status, answer.json()["error"]["name"]), (414, "line_too_long"))
            wire.lose()
        self.wire.send(b"POST /?" + b"keys=0123456789abcdef0123456789abcdef&" * 3000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual([answer.status for answer in self.wire.answers()], [200])

    def test_malformed(self) -> None:
        """What is no HTTP is 400, and the connection ends."""
        for data in (
            b"\x16\x03\x01\x02\x00\r\n\r\n",
            HEAD + b"Content-Length: -1\r\n\r\n",
            HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
            HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            HEAD + b"Transfer-Encoding: gzip\r\n\r\n",
            HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
            HEAD + b"".join(b"a%d: b\r\n" % n for n in range(101)) + b"\r\n",
            HEAD + b"a: " + b"b" * 131_000 + b"\r\n" + b"c: " + b"d" * 32_000 + b"\r\ne: " + b"f" * 1000 + b"\r\n\r\n",
        ):
            wire = HttpWire(self.site)
            wire.send(data)
            self.assertEqual([answer.status for answer in wire.answers()], [400], data[:60])
            self.assertTrue(wire.ended, data[:60])


class AnswerTests(ChannelCase):
    def test_in_one_piece(self) -> None:
        """Head and body leave in one write, so that a transport which sends at once makes one packet of them."""
        written: list[bytes] = []
        self.wire.transport.write = written.append  # type: ignore[method-assign]  # to see each
        self.wire.send(HEAD + b"Content-Length: 2\r\n\r\nxx")
        self.assertEqual(
            written,
            [
                b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 1\r\n"
                b"X-Content-Type-Options: nosniff\r\n\r\n2"
            ],
        )

    def test_the_last_one_says_so(self) -> None:
        """A peer that wants the end, or speaks HTTP/1.0, is told that this was the last answer."""
        for head in (HEAD + b"Connection: close\r\n", HEAD.replace(b"1.1", b"1.0")):
            wire = HttpWire(self.site)
            wire.send(head + b"Content-Length: 0\r\n\r\n")
            [answer] = wire.answers()
            self.assertEqual((answer.status, answer.headers["connection"]), (200, "close"))
            self.assertTrue(wire.ended)


class SlowPeerTests(ChannelCase):
    def test_dripping_head(self) -> None:
        """A byte now and then does not keep a request alive beyond its deadline."""
        for byte in b"POST / HTT":
            self.wire.send(bytes([byte]))
            self.clock.advance(1)
        self.assert_refused(408, "too_slow", "unknown")

    def test_dripping_body(self) -> None:
        """Nor does it in the body."""
        self.wire.send(HEAD + b"Content-Length: 100\r\n\r\n")
        for _ in range(10):
            self.wire.send(b"x")
            self.clock.advance(1)
        self.assert_refused(408, "too_slow")

    def test_idle(self) -> None:
        """A connection without a request ends after the idle time, before the first request and after it."""
        self.clock.advance(19)
        self.wire.send(HEAD + b"Content-Length: 0\r\n\r\n")
        self.assertEqual(len(self.wire.answers()), 1)
        self.clock.advance(19)
        self.assertFalse(self.wire.ended)
        with capturedLogs() as logged:
            self.clock.advance(1)
            self.assertTrue(self.wire.ended)
            self.assertFalse(self.wire.transport.disconnected)
            self.clock.advance(LINGER_SECONDS)  # its peer does not read
        self.assertTrue(self.wire.transport.disconnected)
        self.assertEqual(logged, [])

    def test_late_start(self) -> None:
        """A request has its whole time however long the connection had been idle before."""
        self.clock.advance(19)
        self.wire.send(HEAD)
        self.clock.advance(9)
        self.wire.send(b"Content-Length: 0\r\n\r\n")
        self.assertEqual(self.wire.answers()[0].status, 200)

    def test_answer_not_read_yet(self) -> None:
        """While an answer waits to leave, the next request does; who does not read at all is cut off."""
        self.wire.channel.pauseProducing()  # as a transport does that is full
        for _ in range(2):
            self.wire.send(HEAD + b"Content-Length: 0\r\n\r\n")
        self.assertEqual(len(self.wire.answers()), 1)
        self.clock.advance(19)
        self.wire.channel.resumeProducing()
        self.assertEqual(len(self.wire.answers()), 1)
        self.wire.channel.pauseProducing()
        self.wire.send(HEAD + b"Content-Length: 0\r\n\r\n")
        self.clock.advance(20)
        self.assertTrue(self.wire.transport.disconnected)
        self.wire.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_with_an_answer_not_read_yet(self) -> None:
        """A site that stops gives it a few seconds, not the idle time."""
        self.wire.channel.pauseProducing()
        self.wire.send(HEAD + b"Content-Length: 0\r\n\r\n")
        Deferred.fromCoroutine(self.site.stop())
        self.clock.advance(STOP_SECONDS)
        self.assertTrue(self.wire.transport.disconnected)

    def test_one_timer(self) -> None:
        """A connection has one timer, however many requests it has had; it is early, and goes on."""
        for _ in range(5):
            self.wire.send(HEAD + b"Content-Length: 0\r\n\r\n")
            self.clock.advance(9)
            self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.assertEqual(len(self.wire.answers()), 5)
        self.clock.advance(10.5)
        self.assertFalse(self.wire.ended)
        self.clock.advance(0.5)
        self.assertTrue(self.wire.ended)

    def test_answer_not_read(self) -> None:
        """A peer that asked for the end and does not read its last answer is cut off."""
        self.wire.send(HEAD + b"Connection: close\r\nContent-Length: 0\r\n\r\n")
        self.assertTrue(self.wire.transport.disconnecting)
        self.clock.advance(20)
        self.assertTrue(self.wire.transport.disconnected)


class SocketTests(TestCase):
    """On real sockets, with the standard library's client."""

    timeout = 30

    def setUp(self) -> None:
        site = HttpSite(
            [Route("POST", "/", lambda request: Response(200, b"%d" % len(request.body), TEXT), summary="", tag="")],
            clock=reactor,
            metrics=Metrics(),
            max_body_bytes=100_000,
        )
        listener = reactor.listenTCP(0, site, interface="127.0.0.1")
        send_directly(listener)  # as logic's
        self.port = listener.getHost().port
        self.addCleanup(lambda: Deferred.fromCoroutine(site.stop()))
        self.addCleanup(listener.stopListening)

    def post(self, body: Any, headers: dict[str, str]) -> Deferred[tuple[int, bytes]]:
        """(status, body) of one POST, made on another thread."""

        def blocking() -> tuple[int, bytes]:
            connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
            try:
                connection.request("POST", "/", body, headers, encode_chunked=not isinstance(body, bytes))
                response = connection.getresponse()
                return response.status, response.read()
            finally:
                connection.close()

        return deferToThread(blocking)

    def test_large(self) -> Deferred[None]:
        """A body up to the limit goes to memory and arrives whole."""
        return self.post(b"x" * 100_000, {}).addCallback(self.assertEqual, (200, b"100000"))

    def test_answers_that_nobody_reads(self) -> Deferred[None]:
        """Who pipelines and does not read is not read from either, and gets every answer once it reads."""
        request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n" + b"x" * 4
        answer = (
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 1\r\n"
            b"X-Content-Type-Options: nosniff\r\n\r\n4"
        )
        many = request * 1000

        def blocking() -> tuple[int, bytes]:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as peer:
                sent = 0
                try:
                    while sent < 2**27:
                        sent += peer.send(many[sent % len(request) :])
                except TimeoutError:
                    pass
                peer.settimeout(20)
                whole = sent // len(request)
                got = bytearray()
                while len(got) < whole * len(answer):
                    got += peer.recv(2**20)
                return sent, bytes(got)

        def check(result: tuple[int, bytes]) -> None:
            sent, got = result
            self.assertLess(sent, 2**26)  # what the kernel holds on either side, and little more
            self.assertEqual(got, answer * (sent // len(request)))

        return deferToThread(blocking).addCallback(check)

    def test_refused_while_sending(self) -> Deferred[None]:
        """A peer that sends all of a body that was refused still reads why: the connection is not reset under it."""

        def check(answer: tuple[int, bytes]) -> None:
            self.assertEqual((answer[0], b"too_large" in answer[1]), (413, True))

        return self.post(b"x" * 8_000_000, {}).addCallback(check)

    def test_refused_while_sending_chunks(self) -> Deferred[None]:
        """So does one that did not announce its length."""

        def check(answer: tuple[int, bytes]) -> None:
            self.assertEqual((answer[0], b"too_large" in answer[1]), (413, True))

        return self.post((b"x" * 50_000 for _ in range(100)), {"Transfer-Encoding": "chunked"}).addCallback(check)
