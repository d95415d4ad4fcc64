"""The push API over real sockets: what is sent, what is made of each answer, and of none."""

import json
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from imd.ctl.push_api import PushApi
from imd.errors import AuthRefused, BadRequest, ImdError, NotFound, PeerUnavailable, ScopeMissing, Unavailable
from imd.logic.fate import DeviceFate, Fate, HopTold, State
from imd.logic.push_request import PushRequest, PushResult, Result, To
from imd.protocol.trace import Step
from imd.transport.server_certificate import ServerCertificate
from tests.support.certificates import make_certificates
from tests.support.reactor import reactor

PUSH = PushRequest(to=To(room="live://1"), op=1000, body="hi")
ACCEPTED = b'{"id": "7", "result": "accepted"}'


class Logic(Resource):
    """Answers every request alike, and keeps what it was asked."""

    isLeaf = True

    def __init__(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        super().__init__()
        self.status, self.body, self.headers = status, body, headers
        self.asked: list[tuple[bytes, bytes, str | None, Any]] = []  # method, path, Authorization, JSON

    def render(self, request: Request) -> bytes | int:
        assert request.content is not None
        authorization = request.getHeader("authorization")
        body = request.content.read()
        self.asked.append((request.method, request.uri, authorization, json.loads(body) if body else None))
        request.setResponseCode(self.status)
        for name, value in self.headers.items():
            request.setHeader(name, value)
        return self.body if self.status else NOT_DONE_YET


class HangUp(Protocol):
    """Reads, then closes without an answer."""

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.loseConnection()


class PushApiTests(TestCase):
    """A client against a small logic."""

    def listen(self, factory: Any, context: ServerCertificate | None = None) -> int:
        """A free port on which ``factory`` serves until the test ends."""
        if context:
            port = reactor.listenSSL(0, factory, context, interface="127.0.0.1")
        else:
            port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return int(port.getHost().port)

    def serve(self, status: int = 200, body: bytes = ACCEPTED, **headers: str) -> str:
        """A logic's URL; with status 0 it never answers."""
        self.logic = Logic(status, body, headers)
        return f"http://127.0.0.1:{self.listen(Site(self.logic))}"

    async def push(self, url: str, **options: Any) -> PushResult:
        """Push through it."""
        return await PushApi(reactor=reactor, url=url, **options).push(PUSH)

    async def assert_fails(self, url: str, kind: type[ImdError], *words: str, **options: Any) -> None:
        """Pushing must fail with ``kind`` and these words."""
        with self.assertRaises(kind) as caught:
            await self.push(url, **options)
        for word in words:
            self.assertIn(word, str(caught.exception))

    async def test_accepted(self) -> None:
        """One POST with the push in JSON; the answer is the result."""
        self.assertEqual(await self.push(self.serve() + "/"), PushResult("7", Result.ACCEPTED))
        ((method, path, authorization, asked),) = self.logic.asked
        self.assertEqual((method, path, authorization), (b"POST", b"/v1/push", None))
        self.assertEqual((asked["to"]["room"], asked["op"], asked["body"]), ("live://1", 1000, "hi"))

    async def test_key_goes_into_the_header(self) -> None:
        """As a bearer."""
        await self.push(self.serve(), key="imd_x")
        self.assertEqual(self.logic.asked[0][2], "Bearer imd_x")

    async def test_refusals_are_told_apart(self) -> None:
        """Each status becomes its error, with logic's own words."""
        body = b'{"error": {"name": "n", "message": "what is wrong"}}'
        for status, kind in ((400, BadRequest), (401, AuthRefused), (403, ScopeMissing), (413, BadRequest)):
            await self.assert_fails(self.serve(status, body), kind, "n: what is wrong")
        for status in (429, 503):
            await self.assert_fails(self.serve(status, body), Unavailable, "n: what is wrong")

    async def test_a_fate(self) -> None:
        """One GET with the push's id; what is not traced is not found."""
        fate = Fate("7", 5, [DeviceFate(State.WRITTEN, mid="17", at=9)], [HopTold(Step.ACCEPTED, 5, "logic/l1")])
        api = PushApi(reactor=reactor, url=self.serve(200, msgspec.json.encode(fate)), key="imd_x")
        self.assertEqual(await api.fate(7), fate)
        self.assertEqual(self.logic.asked, [(b"GET", b"/v1/messages/7", "Bearer imd_x", None)])
        missing = self.serve(404, b'{"error": {"name": "not_found", "message": "push 7 is not traced"}}')
        with self.assertRaisesRegex(NotFound, "push 7 is not traced"):
            await PushApi(reactor=reactor, url=missing).fate(7)

    async def test_a_missing_key_says_where_to_give_it(self) -> None:
        """Both ways, neither of which is the command line."""
        body = b'{"error": {"name": "unauthorized", "message": "no push key"}}'
        await self.assert_fails(self.serve(401, body), AuthRefused, "--key-file", "IMDCTL_PUSH_KEY")

    async def test_another_server_is_no_logic(self) -> None:
        """A page, a redirect (which would take the key along), an endless body: said, not believed."""
        await self.assert_fails(self.serve(200, b"<html>"), PeerUnavailable, "is that logic's URL?")
        await self.assert_fails(self.serve(404, b"<html>"), PeerUnavailable, "HTTP status 404")
        redirect = self.serve(307, b"", location="http://127.0.0.1:1/v1/push")
        await self.assert_fails(redirect, PeerUnavailable, "HTTP status 307", key="imd_x")
        await self.assert_fails(self.serve(200, b" " * 2_100_000), PeerUnavailable, "more than 2097152 bytes")

    async def test_nobody_there(self) -> None:
        """The system's words, and what to look at."""
        port = reactor.listenTCP(0, Factory(), interface="127.0.0.1")
        free = port.getHost().port
        await port.stopListening()
        url = f"http://127.0.0.1:{free}"
        await self.assert_fails(url, PeerUnavailable, f"{url}: cannot connect", "refused", "is imd running there?")

    async def test_no_answer_in_time(self) -> None:
        """The wait ends, and nothing is left behind."""
        await self.assert_fails(self.serve(0), PeerUnavailable, "no answer within 0.1 s", timeout_seconds=0.1)

    async def test_connection_broken(self) -> None:
        """Closed instead of answered."""
        port = self.listen(Factory.forProtocol(HangUp))
        await self.assert_fails(f"http://127.0.0.1:{port}", PeerUnavailable, "the connection broke")

    async def test_https_proves_its_name(self) -> None:
        """The right certificate serves; one for elsewhere, one without names and one of a stranger do not."""
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        made = make_certificates(folder)
        self.logic = Logic(200, ACCEPTED, {})

        def serve(cert: str, key: str) -> str:
            port = self.listen(Site(self.logic), ServerCertificate(cert_file=cert, key_file=key))
            return f"https://localhost:{port}"

        good = serve(made.cert, made.key)
        self.assertEqual((await self.push(good, ca_file=made.ca)).id, "7")
        for cert, key in ((made.other_cert, made.other_key), (made.nameless_cert, made.nameless_key)):
            await self.assert_fails(serve(cert, key), PeerUnavailable, "certificate verify failed", ca_file=made.ca)
        await self.assert_fails(good, PeerUnavailable, "certificate verify failed")
        self.assertEqual(len(self.logic.asked), 1)
