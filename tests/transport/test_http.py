"""The site: routing, errors, origins, deadlines, stopping."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.errors import AuthRefused, BadRequest, BrokerUnavailable, CrossOrigin, Overloaded, ScopeMissing
from imd.metrics import Metrics
from imd.transport.http import HttpSite, refuse_foreign_origin
from imd.transport.http_channel import LINGER_SECONDS, STOP_SECONDS
from imd.transport.http_message import TEXT, Request, Response, json_response
from imd.transport.http_route import Handler, Route
from tests.support.http_wire import HttpWire, site_of, wait


def hello(request: Request) -> Response:
    return Response(200, b"hello", TEXT)


async def echo(request: Request) -> Response:
    return json_response({"query": request.query, "size": len(request.body), "address": request.address})


def row(method: str, path: str, handler: Handler) -> Route:
    return Route(method, path, handler, summary="", tag="")


def raising(error: Exception) -> Handler:
    async def handler(request: Request) -> Response:
        raise error

    return handler


class RoutingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.metrics = Metrics()
        self.wire = HttpWire(site_of(row("GET", "/a", hello), row("POST", "/b", echo), metrics=self.metrics))

    def test_plain_handler(self) -> None:
        """A handler that does not leave the process answers at once, with a length, a type and no server banner."""
        answer = self.wire.ask("GET", "/a")
        self.assertEqual((answer.status, answer.body), (200, b"hello"))
        self.assertEqual(answer.headers["content-type"], TEXT)
        self.assertEqual(answer.headers["x-content-type-options"], "nosniff")
        self.assertNotIn("server", answer.headers)

    def test_coroutine_handler(self) -> None:
        """A coroutine handler sees the raw query, the body and who asks."""
        answer = self.wire.ask("POST", "/b?x=1&x=2", b"12345", Content_Type="application/x-www-form-urlencoded")
        self.assertEqual(answer.json(), {"query": "x=1&x=2", "size": 5, "address": "127.0.0.1"})

    def test_unknown_path(self) -> None:
        """An unknown path is 404 with the usual body, trailing slashes included."""
        for path in ("/c", "/a/", "//a", "/%FF", "/a%2F"):
            answer = self.wire.ask("GET", path)
            self.assertEqual((answer.status, answer.json()["error"]["name"]), (404, "not_found"), path)

    def test_wrong_method(self) -> None:
        """A wrong method is 405 and says which are right."""
        answer = self.wire.ask("DELETE", "/a")
        self.assertEqual((answer.status, answer.headers["allow"]), (405, "GET, HEAD, OPTIONS"))
        answer = self.wire.ask("GET", "/b")
        self.assertEqual((answer.status, answer.headers["allow"]), (405, "OPTIONS, POST"))

    def test_head(self) -> None:
        """HEAD is GET without the body, its length included."""
        answer = self.wire.ask("HEAD", "/a")
        self.assertEqual((answer.status, answer.headers["content-length"], answer.body), (200, "5", b""))

    def test_options(self) -> None:
        """OPTIONS says what is allowed and offers no CORS."""
        answer = self.wire.ask("OPTIONS", "/b", Origin="https://elsewhere.example")
        self.assertEqual((answer.status, answer.headers["allow"]), (204, "OPTIONS, POST"))
        self.assertFalse([name for name in answer.headers if name.startswith("access-control")])

    def test_absolute_form(self) -> None:
        """A request line with a whole URL is understood (RFC 9112 section 3.2.2)."""
        self.assertEqual(self.wire.ask("GET", "http://localhost:3111/a?x=1").status, 200)

    def test_pipelined(self) -> None:
        """Requests that come together are answered in order."""
        self.wire.send(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /c HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual([answer.status for answer in self.wire.answers()], [200, 404])

    def test_old_client(self) -> None:
        """HTTP/1.0 is answered, and the connection ends."""
        self.wire.send(b"GET /a HTTP/1.0\r\n\r\n")
        self.assertEqual(self.wire.answers()[0].body, b"hello")
        self.assertTrue(self.wire.ended)

    def test_counted(self) -> None:
        """Requests are counted by route and status; unknown paths are one, or a scanner would fill the memory."""
        self.wire.ask("GET", "/a")
        self.wire.ask("GET", "/nowhere")
        self.wire.ask("GET", "/elsewhere")
        self.assertEqual(
            {labels: sum(counts[:-1]) for labels, counts in self.metrics.http_seconds.values.items()},
            {("/a", "200"): 1, ("unknown", "404"): 2},
        )

    def test_two_handlers(self) -> None:
        """Two routes at one method and path are a mistake of ours."""
        self.assertRaises(AssertionError, site_of, row("GET", "/a", hello), row("GET", "/a", hello))


class ErrorTests(SynchronousTestCase):
    def ask(self, error: Exception) -> tuple[int, dict[str, str], dict[str, str]]:
        answer = HttpWire(site_of(row("GET", "/", raising(error)))).ask("GET", "/")
        return answer.status, answer.json()["error"], answer.headers

    def test_peer_is_wrong(self) -> None:
        """An error of ours becomes its status, name and message."""
        status, fault, _ = self.ask(BadRequest("room: missing"))
        self.assertEqual((status, fault), (400, {"name": "bad_request", "message": "room: missing"}))

    def test_come_back_later(self) -> None:
        """What may pass by itself says when to try again."""
        for error, status, seconds in ((Overloaded("full", 7), 429, "7"), (BrokerUnavailable("away"), 503, "1")):
            answered, _, headers = self.ask(error)
            self.assertEqual((answered, headers["retry-after"]), (status, seconds))

    def test_authentication(self) -> None:
        """A bad key is 401 with a challenge, a missing scope 403 without."""
        status, _, headers = self.ask(AuthRefused("unknown push key"))
        self.assertEqual((status, headers["www-authenticate"]), (401, 'Bearer realm="imd"'))
        status, _, headers = self.ask(ScopeMissing("needs push:all"))
        self.assertEqual((status, "www-authenticate" in headers), (403, False))

    def test_bug(self) -> None:
        """A bug is 500 without details, and logged under the request id that the answer names."""
        status, fault, _ = self.ask(ZeroDivisionError("secret"))
        self.assertEqual((status, fault["name"]), (500, "internal"))
        self.assertNotIn("secret", str(fault))
        self.assertTrue(fault["request_id"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class DeadlineTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.pending: Deferred[Response] = Deferred()

        async def slow(request: Request) -> Response:
            return await self.pending

        self.site = site_of(row("POST", "/slow", slow), row("GET", "/a", hello), clock=self.clock, answer_seconds=5)
        self.wire = HttpWire(self.site)
        self.request = b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"

    def test_late_handler(self) -> None:
        """A handler that hangs is cancelled, and its peer told."""
        self.wire.send(self.request)
        self.clock.advance(5)
        [answer] = self.wire.answers()
        self.assertEqual((answer.status, answer.json()["error"]["name"]), (504, "deadline_exceeded"))

    def test_late_handler_of_a_client_gone(self) -> None:
        """One that hangs for nobody is cancelled as well."""
        self.wire.send(self.request)
        self.clock.advance(3)
        self.wire.lose()
        self.clock.advance(5)
        self.assertTrue(self.pending.called)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_in_time(self) -> None:
        """Each request has its whole time, and the connection goes on."""
        for _ in range(3):
            self.wire.send(self.request)
            self.clock.advance(4)
            pending, self.pending = self.pending, Deferred()
            pending.callback(Response())
        self.assertEqual([answer.status for answer in self.wire.answers()], [200, 200, 200])
        self.assertFalse(self.wire.ended)

    def test_client_gone(self) -> None:
        """A client that leaves before the answer changes nothing for the handler, and nothing is logged."""
        self.wire.send(self.request)
        self.wire.lose()
        self.pending.callback(Response())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop(self) -> None:
        """Stopping ends idle connections at once, the others after their answer, and takes no new ones."""
        idle = HttpWire(self.site)
        self.wire.send(self.request)
        stopped = wait(self.site.stop())
        self.assertTrue(idle.ended)
        self.assertFalse(self.wire.ended)
        self.assertIsNone(self.site.buildProtocol(None))
        idle.lose()
        self.pending.callback(Response(200, b"done", TEXT))
        [answer] = self.wire.answers()
        self.assertEqual((answer.body, answer.headers["connection"]), (b"done", "close"))
        self.assertTrue(self.wire.ended)
        self.assertNoResult(stopped)
        self.wire.lose()
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_while_receiving(self) -> None:
        """A request that does not become whole keeps a stopping site a few seconds, not for as long as it may drip."""
        self.wire.send(self.request[:-1])
        wait(self.site.stop())
        self.clock.advance(STOP_SECONDS)
        [answer] = self.wire.answers()
        self.assertEqual((answer.status, answer.headers["connection"]), (503, "close"))
        self.clock.advance(LINGER_SECONDS)
        self.assertTrue(self.wire.ended)

    def test_stop_with_peers_that_do_not_read(self) -> None:
        """A peer that leaves its last answer unread keeps a stopping site a few seconds, not for its idle time."""
        idle, answered = HttpWire(self.site), HttpWire(self.site)
        answered.send(b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        self.wire.send(self.request)
        wait(self.site.stop())
        for wire in (idle, answered):
            self.assertTrue(wire.ended)
            self.assertFalse(wire.transport.disconnected)
        self.clock.advance(STOP_SECONDS)
        for wire in (idle, answered):
            self.assertTrue(wire.transport.disconnected)
        self.pending.callback(Response())
        self.assertTrue(self.wire.ended)
        self.clock.advance(STOP_SECONDS)
        self.assertTrue(self.wire.transport.disconnected)

    def test_stop_when_idle(self) -> None:
        """Stopping a site without connections is done at once, and may be asked for twice."""
        site = site_of()
        self.successResultOf(wait(site.stop()))
        self.successResultOf(wait(site.stop()))


class ConnectionLimitTests(SynchronousTestCase):
    def test_limit(self) -> None:
        """Connections beyond the limit are refused until one ends."""
        site: HttpSite = site_of(max_connections=1)
        first = HttpWire(site)
        self.assertIsNone(site.buildProtocol(None))
        first.lose()
        HttpWire(site)


class OriginTests(SynchronousTestCase):
    def ask(self, host: str, origin: str, local_address: str = "127.0.0.1", **headers: str) -> int:
        wire = HttpWire(site_of(row("POST", "/b", echo)), host=local_address)
        return wire.ask("POST", "/b", b"", Host=host, Origin=origin, **headers).status

    def test_own_page(self) -> None:
        """Our own page may write, by each name of this machine."""
        for host in ("localhost:3111", "127.0.0.1:3111", "[::1]:3111", "imd.localhost"):
            self.assertEqual(self.ask(host, f"http://{host}"), 200, host)

    def test_foreign_page(self) -> None:
        """A page of another host or port may not, nor one whose origin is hidden."""
        for origin in ("https://elsewhere.example", "http://localhost:8080", "null", "garbage"):
            self.assertEqual(self.ask("localhost:3111", origin), 403, origin)

    def test_rebound_name(self) -> None:
        """A foreign name that resolves to loopback is refused although host and origin agree."""
        self.assertEqual(self.ask("evil.example:3111", "http://evil.example:3111"), 403)

    def test_public_name(self) -> None:
        """On a public address the site's own name is as good as any."""
        self.assertEqual(self.ask("push.example", "https://push.example", local_address="192.0.2.1"), 200)

    def test_with_key(self) -> None:
        """A request with a key proves itself by it: whether it is good, the route says."""
        self.assertEqual(self.ask("evil.example", "http://elsewhere.example", Authorization="Bearer x"), 200)

    def test_reading(self) -> None:
        """Reading is never refused for its origin: without CORS a page elsewhere does not see the answer."""
        refuse_foreign_origin(Request("1", "GET", "/", headers={"origin": "https://elsewhere.example"}))

    def test_no_origin_at_all(self) -> None:
        """What is no URL is nobody's page: refused like any foreign one, not a failure of ours."""
        for origin, host in (("http://[", "localhost"), ("http://[", "["), ("http://[::1", "[::1")):
            headers = {"origin": origin, "host": host}
            with self.assertRaises(CrossOrigin):
                refuse_foreign_origin(Request("1", "POST", "/", headers=headers, local_address="127.0.0.1"))

    def test_back_end(self) -> None:
        """Back ends send no origin."""
        refuse_foreign_origin(Request("1", "POST", "/"))
