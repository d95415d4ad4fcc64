"""HTTP as no client of ours sends it, against a running `twistd imd`."""

import base64
import json
import math
import time
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from imd.interfaces import Instance
from imd.logic.balancer import Balancer
from imd.logic.region import Regions
from tests.faults.imd_process import ImdProcess, eventually, read_head
from tests.faults.plain_client import PlainClient

OK = b'{"code":0,"message":""}'
ALL = "/goim/push/all?operation=1000"
ROOM = {"to": {"room": "live://1"}, "op": 1000, "body": "x"}


class HttpCase(SynchronousTestCase):
    imd: ClassVar[ImdProcess]
    SETTINGS: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def setUpClass(cls) -> None:
        cls.imd = ImdProcess(Path(cls.__name__).absolute(), "logic.http_timeout_seconds=1", *cls.SETTINGS)

    @classmethod
    def tearDownClass(cls) -> None:
        log = cls.imd.stop()
        assert "Traceback" not in log and "FORGED" not in log and "\x1b" not in log, log

    def raw(self, *parts: bytes) -> bytes:
        """All that comes back."""
        return self.imd.http(b"".join(parts))

    def status(self, *parts: bytes) -> int:
        with self.imd.connect("http") as stream:
            stream.sendall(b"".join(parts))
            return int(read_head(stream).split(b" ")[1])

    def v1(self, push: Any, **headers: str) -> tuple[int, Any]:
        """Status and decoded body of ``/v1/push``; ``push`` as it is when it is bytes."""
        body = push if isinstance(push, bytes) else json.dumps(push).encode()
        status, answer = self.imd.post("/v1/push", body, headers)
        return status, json.loads(answer)

    def v1_fault(self, push: Any, **headers: str) -> tuple[int, str]:
        status, answer = self.v1(push, **headers)
        return status, answer["error"]["name"]


class GoimParameterTests(HttpCase):
    def assert_envelope(self, path: str, status: int, code: int) -> None:
        method = self.imd.post if path.startswith("/goim/push") else self.imd.get
        got, body = method(path)
        envelope = json.loads(body)
        self.assertEqual((got, envelope["code"]), (status, code), (path[:80], body))
        if code:
            self.assertTrue(envelope["message"])
            self.assertNotIn("data", envelope)

    def test_wrong_parameters(self) -> None:
        """400 with the -400 envelope, as goim's framework answers."""
        push, online = "/goim/push", "/goim/online"
        for path in (
            *(f"{push}/keys?keys=a&operation={value}" for value in ("x", "2147483648", "1.0", "0x1", "1_0", "9" * 99)),
            *(f"{push}/mids?mids={value}" for value in ("x", "1&mids=x", "9223372036854775808", "1,2", "1.0")),
            *(
                f"{push}/room",
                f"{push}/room?operation=1",
                f"{push}/room?operation=1&type=a",
                f"{push}/room?type=a&room=1",
            ),
            *(f"{push}/room?operation=0&type=a&room=1", f"{push}/room?operation=1&type=&room=1"),
            *(f"{push}/all", f"{push}/all?operation=0", f"{push}/all?operation=1&speed=x"),
            *(f"{online}/top", f"{online}/top?type=a", f"{online}/top?type=a&limit=0", f"{online}/top?limit=1"),
            *(
                f"{online}/top?type=a&limit=-1",
                f"{online}/top?type=a&limit=x",
                f"{online}/room",
                f"{online}/room?type=a",
            ),
            *(f"{online}/room?rooms=1", f"{push}/keys?keys=%ff", f"{push}/keys?keys=%zz", f"{online}/total?x=%"),
        ):
            self.assert_envelope(path, 400, -400)

    def test_goim_is_lenient(self) -> None:
        """What goim lets pass is passed: no keys are its own -400 with 200, unknown and odd ones are skipped."""
        self.assert_envelope("/goim/push/keys?operation=1", 200, -400)
        for path in (
            *("/goim/push/keys?keys=", "/goim/push/keys?keys=a,b&x=y", "/goim/push/keys?keys=%00", "/goim/push/mids"),
            *(
                "/goim/push/keys?operation=1&operation=x&keys=a",
                "/goim/push/mids?mids=-5&mids=&mids=%2B7",
                f"{ALL}&speed=-5",
            ),
            *("/goim/push/room?operation=-1&type=a&room=b/c%20%0a%1b", f"/goim/push/keys?keys={'x' * 129}"),
            *(
                "/goim/online/room?type=a&rooms=",
                "/goim/online/top?type=%2A&limit=2147483647",
                "/goim/nodes/weighted?platform=x",
            ),
        ):
            self.assert_envelope(path, 200, 0)

    def test_many_keys_in_a_query(self) -> None:
        """Three thousand keys arrive; a query beyond the limit is 414, not a lost connection."""
        client = PlainClient(self.imd.ports["tcp"])
        self.addCleanup(client.close)
        client.auth(key="last", accepts=[1000])
        keys = "&".join(f"keys={number:032}" for number in range(3000))
        self.assertEqual(self.imd.post(f"/goim/push/keys?operation=1000&{keys}&keys=last", b"hi"), (200, OK))
        self.assertEqual(client.read().body, b"hi")
        self.assertEqual(self.imd.post(f"/goim/push/keys?{keys}&{keys}", b"hi")[0], 414)

    def test_body_limit(self) -> None:
        """65,536 bytes are pushed, one more is 413, however they come."""
        chunked = f"POST {ALL} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        self.assertEqual(self.imd.post(ALL, b"x" * 65_536), (200, OK))
        self.assertEqual(self.imd.post(ALL, b"x" * 65_537)[0], 413)
        self.assertEqual(self.status(chunked, b"1\r\nx\r\n" * 65_536, b"0\r\n\r\n"), 200)
        self.assertEqual(self.status(chunked, b"10001\r\n", b"x" * 65_537, b"\r\n0\r\n\r\n"), 413)


class RequestTests(HttpCase):
    def post(self, headers: bytes, body: bytes = b"") -> bytes:
        return (
            b"POST "
            + ALL.encode()
            + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            + headers
            + b"\r\n"
            + body
        )

    def test_malformed(self) -> None:
        """What cannot be read is 400; what is never complete 408; nobody waits for more than was announced."""
        get = b"GET /goim/online/total HTTP/1.1\r\nHost: x\r\n"
        for status, request in (
            *(
                (400, b"GET /goim/online/total HTTP/" + version + b"\r\n\r\n")
                for version in (b"0.9", b"2.0", b"1.2", b"")
            ),
            (400, b"GET /goim/online/total\r\n\r\n"),
            (400, b"\0\1\2\r\n\r\n"),
            (400, get + b"a: \0\r\n\r\n"),
            (400, get + b"a: b\r\n" * 200 + b"\r\n"),
            *(
                (400, self.post(b"Content-Length: " + length + b"\r\n", b"abcd"))
                for length in (b"-1", b"+3", b"3x", b"", b"9" * 5000, b"3\r\nContent-Length: 4")
            ),
            (400, self.post(b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n")),
            (400, self.post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n")),
            (400, self.post(b"Transfer-Encoding : chunked\r\n", b"0\r\n\r\n")),
            *(
                (400, self.post(b"Transfer-Encoding: chunked\r\n", body))
                for body in (
                    b"2\r\nabc\r\n0\r\n\r\n",
                    b"-2\r\nabc\r\n",
                    b"0x3\r\nabc\r\n",
                    b"3;" + b"x" * 5000 + b"\r\nabc\r\n",
                )
            ),
            (413, self.post(b"Expect: 100-continue\r\nContent-Length: 99999999\r\n")),
            (408, self.post(b"Content-Length: 5\r\n", b"abc")),
            (408, get),
        ):
            self.assertEqual(self.status(request), status, request[:200])

    def test_methods(self) -> None:
        """HEAD is GET without a body, OPTIONS lists, anything else is 405; TRACE echoes nothing."""
        for method, status in (
            ("HEAD", 200),
            ("OPTIONS", 204),
            ("TRACE", 405),
            ("CONNECT", 405),
            ("get", 405),
            ("PUT", 405),
        ):
            request = (
                f"{method} /goim/online/total HTTP/1.1\r\nHost: x\r\nX-Secret: FORGED\r\nConnection: close\r\n\r\n"
            )
            answer = self.raw(request.encode())
            self.assertEqual((int(answer.split(b" ")[1]), b"FORGED" in answer), (status, False), method)
            if method in ("HEAD", "OPTIONS"):
                self.assertTrue(answer.endswith(b"\r\n\r\n"))
        self.assertEqual(self.imd.get(ALL)[0], 405)

    def test_pipelined(self) -> None:
        """Answers come in order, one each, and a push counts once."""
        before = self.imd.metric("imd_pushes_total", target="all", outcome="accepted")
        get = b"GET /page.json HTTP/1.1\r\nHost: x\r\n\r\n"
        push = b"POST " + ALL.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"
        answer = self.raw((get + push) * 50, self.post(b""))
        self.assertEqual(answer.count(b"HTTP/1.1 200 OK"), 101)
        self.assertEqual(answer.count(b'"websocket_port"'), 50)
        self.assertEqual(self.imd.metric("imd_pushes_total", target="all", outcome="accepted"), before + 51)

    def test_paths(self) -> None:
        """Nothing but the page's own files is served, nothing redirects, and the operator's figures are elsewhere."""
        for path in (
            *(
                "/metrics",
                "/web/",
                "/web/__init__.py",
                "/web/../http.py",
                "/web/..%2f..%2fetc/passwd",
                "/web//etc/passwd",
            ),
            *(
                "/web/%2e%2e/__init__.py",
                "/web/page.js%00",
                "//evil.example/",
                "/\\evil.example",
                "*",
                "/goim/online/total/",
            ),
        ):
            answer = self.raw(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            self.assertEqual(answer.split(b" ")[1], b"404", path)
            self.assertNotIn(b"\r\nLocation:", answer)
        self.assertEqual(self.imd.get("/%67oim/online/total")[0], 200)

    def test_pages_of_others(self) -> None:
        """A browser that writes for a foreign page, or for a foreign name that resolves to loopback, is refused."""
        for origin, host in (
            *(("http://evil.example", "localhost"), ("null", "localhost"), ("http://evil.example", "evil.example")),
            *(
                ("http://[", "localhost"),
                ("http://[", "["),
                ("file://", ""),
                ("http://localhost.evil.example", "localhost"),
            ),
            *(
                ("http://localhost:1", "localhost"),
                ("http://evil.example\\@localhost", "localhost"),
                ("https://", "localhost"),
            ),
        ):
            for path in (ALL, "/v1/push"):
                status, body = self.imd.post(path, json.dumps(ROOM).encode(), {"Origin": origin, "Host": host})
                self.assertEqual(status, 403, (origin, host, body))
        self.assertEqual(self.imd.post(ALL, b"x", {"Origin": "http://localhost", "Host": "localhost"}), (200, OK))


class V1Tests(HttpCase):
    def test_wrong_types(self) -> None:
        """Every field refuses every type that is not its own, by its name."""
        odd: list[Any] = [None, 1, "x", True, [], {}, [[]], 1.5, 2**64, [None], [1.0], [True], [{}]]
        fine = {
            "op": (1,),
            "body": ("x",),
            "idempotency_key": ("x",),
            "to.keys": (),
            "to.mids": (),
            "to.room": ("x",),
            "to.rooms": (),
            "to.all": (True,),
            "to": (),
        }
        for field, good in fine.items():
            for value in odd:
                if any(value is each or (value == each and type(value) is type(each)) for each in good):
                    continue
                push = {**ROOM, field: value} if "." not in field else {**ROOM, "to": {field[3:]: value}}
                status, answer = self.v1(push)
                self.assertEqual((status, answer["error"]["name"]), (400, "bad_request"), (field, value, answer))

    def test_not_json(self) -> None:
        """Garbage, depth, text that is no UTF-8, lone surrogates, numbers that are none."""
        for body in (
            *(b"", b"null", b"1", b"[null]", b"[[]]", b"\xff", b"\xef\xbb\xbf{}", b"[" * 100_000, b'{"to":' * 100_000),
            *(b'{"to":{"room":"\xff"},"op":1,"body":""}', b'{"to":{"room":"\\ud800"},"op":1,"body":""}'),
            *(b'{"to":{"room":"a"},"op":NaN,"body":""}', b'{"to":{"room":"a"},"op":1,"body":"\\udfff"}'),
        ):
            self.assertEqual(self.v1_fault(body), (400, "bad_request"), body[:40])

    def test_limits(self) -> None:
        """1,000 pushes, 10,000 targets, 64 KB a body after base64, 16 MB as stored: one more is refused whole."""
        self.assertEqual(len(self.v1([ROOM] * 1000)[1]), 1000)
        self.assertEqual(self.v1_fault([ROOM] * 1001), (400, "bad_request"))
        keys = [str(number) for number in range(10_001)]
        self.assertEqual(self.v1({**ROOM, "to": {"keys": keys[1:]}})[0], 200)
        self.assertEqual(self.v1_fault({**ROOM, "to": {"keys": keys}}), (400, "bad_request"))
        for size, status in ((65_536, 200), (65_537, 413)):
            body = base64.b64encode(bytes(size)).decode()
            self.assertEqual(self.v1({"to": {"room": "a"}, "op": 1, "body_base64": body})[0], status)
        rooms = {"rooms": keys[:300]}
        self.assertEqual(self.v1_fault({"to": rooms, "op": 1, "body": "x" * 60_000}), (413, "too_large"))
        for wrong in ("abc", "_-==", "YWJj\n", "é", "YQ"):
            self.assertEqual(self.v1_fault({"to": {"room": "a"}, "op": 1, "body_base64": wrong}), (400, "bad_request"))

    def test_array_is_all_or_nothing(self) -> None:
        """One wrong item refuses them all, and the answer names it."""
        before = self.imd.metric("imd_pushes_published_total")
        status, answer = self.v1([ROOM, {**ROOM, "to": {}}, ROOM])
        self.assertEqual((status, answer["error"]["message"][:4]), (400, "[1]:"))
        self.assertEqual(self.imd.metric("imd_pushes_published_total"), before)

    def test_duplicate_targets(self) -> None:
        """Who is named twice gets it once."""
        client = PlainClient(self.imd.ports["tcp"])
        self.addCleanup(client.close)
        client.auth(key="k", mid=5, room_id="live://twice", accepts=[1000])
        self.assertEqual(self.v1({**ROOM, "to": {"keys": ["k", "k"]}})[0], 200)
        self.assertEqual(self.v1({**ROOM, "to": {"mids": [5, "5", 5]}})[0], 200)
        self.assertEqual(self.v1({**ROOM, "to": {"room": "live://twice", "rooms": ["live://twice"] * 3}})[0], 200)
        self.assertEqual(self.v1({**ROOM, "op": 7777, "to": {"room": "live://twice"}})[0], 200)
        self.assertEqual([client.read().operation for _ in range(4)], [1000, 1000, 1000, 7777])

    def test_one_idempotency_key_at_once(self) -> None:
        """However many come at the same time, exactly one is stored, and all hear its id; another push with the key is 409."""
        for turn in range(5):
            push = {**ROOM, "idempotency_key": f"same-{turn}"}
            with ThreadPoolExecutor(12) as threads:
                answers = [answer for _, answer in threads.map(self.v1, [push] * 12)]
            self.assertEqual(sorted(answer["result"] for answer in answers), ["accepted"] + ["repeated"] * 11)
            self.assertEqual(len({answer["id"] for answer in answers}), 1)
            self.assertEqual(self.v1_fault({**push, "body": "other"}), (409, "idempotency_conflict"))


class KeyTests(HttpCase):
    KEYS: ClassVar[dict[str, str]] = {
        "imd_all": "push",
        "imd_live": "push:room:live",
        "imd_read": "read",
        "imd_rooms": "push:room",
    }

    @classmethod
    def setUpClass(cls) -> None:
        keys = "".join(
            f'[[push.keys]]\nname = "{key}"\nsha256 = "{sha256(key.encode()).hexdigest()}"\nscopes = ["{scope}"]\n'
            for key, scope in cls.KEYS.items()
        )
        file = Path("keys.toml").absolute()
        file.write_text(f'[push]\nrequire_key = "always"\n{keys}')
        cls.imd = ImdProcess(Path("keys").absolute(), config=file)

    def test_without_a_key(self) -> None:
        """401 that says how, before anything of the body is looked at; nobody can tell a wrong key from a malformed one."""
        for header in (
            *(
                "",
                "Bearer",
                "Bearer ",
                "Basic aW1kX2FsbDo=",
                "imd_all",
                "Bearer imd_al",
                "Bearer imd_alll",
                "Bearer \xff",
            ),
            *("Bearer " + "x" * 5000, "Bearer imd_all,imd_all", "Token imd_all", "Bearer imd_all imd_all"),
        ):
            for path, body in ((ALL, b"x"), ("/v1/push", b"not json"), ("/goim/push/keys", b"")):
                status, answer = self.imd.post(path, body, {"Authorization": header} if header else {})
                self.assertEqual(status, 401, (header[:20], path, answer))
                self.assertNotIn(b"imd_all", answer)
        self.assertEqual(self.imd.post(ALL, b"x", {"Authorization": "bearer  imd_all "}), (200, OK))

    def test_scopes(self) -> None:
        """A key may do what it names: a type's rooms and no other's, whatever the type looks like."""
        for key, room, status in (
            ("imd_live", "live://1", 200),
            ("imd_live", "live", 403),
            ("imd_live", "://live", 403),
            ("imd_live", "Live://1", 403),
            ("imd_live", "live:://1", 403),
            ("imd_live", " live://1", 403),
            ("imd_live", "chat://live://1", 403),
            ("imd_rooms", "chat://1", 200),
            ("imd_rooms", "any", 200),
            ("imd_read", "live://1", 403),
        ):
            push = {**ROOM, "to": {"room": room}}
            self.assertEqual(self.v1(push, Authorization=f"Bearer {key}")[0], status, (key, room))
        for to in ({"all": True}, {"keys": ["k"]}, {"mids": [1]}, {"rooms": ["live://1", "chat://1"]}):
            self.assertEqual(self.v1_fault({**ROOM, "to": to}, Authorization="Bearer imd_live"), (403, "forbidden"))
        goim = {"Authorization": "Bearer imd_live"}
        for query, status in (
            ("type=live&room=1", 200),
            ("type=live%3A%2F%2Fx&room=1", 403),
            ("type=chat&room=1", 403),
            ("type=live&type=chat&room=1", 200),
        ):
            self.assertEqual(self.imd.post(f"/goim/push/room?operation=1&{query}", b"x", goim)[0], status, query)

    def test_idempotency_keys_of_others(self) -> None:
        """Two pushers' keys never meet."""
        push = {**ROOM, "idempotency_key": "mine"}
        results = [
            self.v1(push, Authorization=f"Bearer {key}")[1]["result"] for key in ("imd_all", "imd_live", "imd_all")
        ]
        self.assertEqual(results, ["accepted", "accepted", "repeated"])


class DeliveryTests(HttpCase):
    """What a push means, seen from outside."""

    def client(self, framed: bool = False, **auth: Any) -> PlainClient:
        client = PlainClient(self.imd.ports["ws" if framed else "tcp"], framed=framed)
        self.addCleanup(client.close)
        client.auth(**auth)
        return client

    def test_accepts(self) -> None:
        """Filter keys, members and broadcasts; never rooms. An empty set is nothing, and the sets change with op 14 and 16."""
        some = self.client(key="some", mid=1, room_id="live://a", accepts=[1000])
        none = self.client(key="none", mid=2, room_id="live://a")

        def push(operation: int) -> None:
            for target in ("keys?keys=some&keys=none", "mids?mids=1&mids=2", "all?", "room?type=live&room=a"):
                body = target.partition("?")[0].encode()
                self.assertEqual(self.imd.post(f"/goim/push/{target}&operation={operation}", body), (200, OK))

        def got(client: PlainClient) -> list[bytes]:
            self.imd.post("/goim/push/room?type=live&room=a&operation=9999", b"end")
            return sorted(iter(lambda: client.read().body, b"end"))

        push(1000)
        eventually(lambda: self.imd.metric("imd_pushes_settled_total") == self.imd.metric("imd_pushes_published_total"))
        self.assertEqual(got(some), [b"all", b"keys", b"mids", b"room"])
        self.assertEqual(none.read().body, b"room")
        self.assertEqual(none.read().body, b"end")
        for client in (some, none):
            client.send(14, b"1001")
            self.assertEqual(client.read().operation, 15)
        some.send(16, b"1000")
        self.assertEqual(some.read().operation, 17)
        for operation in (1000, 1001):
            push(operation)
        eventually(lambda: self.imd.metric("imd_pushes_settled_total") == self.imd.metric("imd_pushes_published_total"))
        self.assertEqual(got(some), [b"all", b"keys", b"mids", b"room", b"room"])
        self.assertEqual(got(none), [b"all", b"keys", b"mids", b"room", b"room"])

    def test_merging(self) -> None:
        """Under load many packets share one op 9, in order, none lost, each message of a sane size; a lone push is not held."""
        client = self.client(framed=True, key="merge", room_id="live://merge")
        pushes = [
            {**ROOM, "to": {"room": "live://merge"}, "body": f"{number:05}" + "x" * 200} for number in range(1000)
        ]
        for start in range(0, 3000, 1000):
            self.assertEqual(self.v1(pushes)[0], 200, start)
        bodies: list[bytes] = []
        messages = []
        while len(bodies) < 3000:
            envelope = client.read()
            self.assertEqual((envelope.operation, envelope.sequence), (9, 0))
            messages.append(len(envelope.body))
            at = 0
            while at < len(envelope.body):
                length = int.from_bytes(envelope.body[at : at + 4])
                bodies.append(envelope.body[at + 16 : at + length])
                at += length
        self.assertEqual([int(body[:5]) for body in bodies], list(range(1000)) * 3)
        self.assertLess(len(messages), 1000)
        self.assertLessEqual(max(messages), 131_072)

    def test_speed(self) -> None:
        """A paced broadcast keeps its rate within a fifth."""
        clients = [self.client(key=f"pace-{number}", accepts=[1000]) for number in range(60)]
        sent = self.imd.metric("imd_deliveries_total", target="all", outcome="delivered")
        self.assertEqual(self.imd.post(f"{ALL}&speed=20", b"slow"), (200, OK))
        began = time.monotonic()
        for share in (20, 40, 58):
            eventually(
                lambda share=share: (
                    self.imd.metric("imd_deliveries_total", target="all", outcome="delivered") >= sent + share
                )
            )
            rate = share / (time.monotonic() - began)
            self.assertTrue(16 <= rate <= 24.5, (share, rate))
        self.assertEqual({client.read().body for client in clients}, {b"slow"})


class ChoiceTests(SynchronousTestCase):
    """Where clients are sent, computed again from what the wire's page says."""

    def test_weighted(self) -> None:
        """Over 2,000 clients the order is what the formula says, the winner's count raised each time."""
        random = Random(7)
        for _ in range(20):
            comets = {
                f"c{number}": Instance(
                    role="comet",
                    id=f"c{number}",
                    boot=1,
                    rpc="",
                    region=random.choice(("eu", "us", "")),
                    weight=random.choice((1, 10, 25)),
                    conn_count=random.choice((0, 5, 1000)),
                    offline=number == 3,
                )
                for number in range(6)
            }
            balancer = Balancer(region_weight=1.6)
            balancer.update(comets.values())
            counts = {id: comet.conn_count for id, comet in comets.items() if not comet.offline}
            for _ in range(100):
                region = random.choice(("eu", "us", ""))
                weights = {
                    id: Fraction(comets[id].weight) * (Fraction("1.6") if region and comets[id].region == region else 1)
                    for id in counts
                }
                total = sum(counts.values())
                scores = {}
                for id, weight in weights.items():
                    lacking = (weight / sum(weights.values())) * total - Fraction(counts[id], 2)
                    scores[id] = max(1, min(1 << 20, int(weight + math.ceil(lacking - Fraction(1, 2)))))
                chosen = [comet.id for comet in balancer.choose(region, 5)]
                self.assertEqual(chosen, sorted(counts, key=lambda id: (-scores[id], counts[id], id))[:5])
                counts[chosen[0]] += 1

    def test_regions(self) -> None:
        """The longest network wins; an IPv4 address is the same within IPv6; what is no address is nowhere."""
        regions = Regions(
            {"eu": ["192.0.2.0/24", "2001:db8::/32"], "us": ["192.0.2.128/25", "2001:db8:1::/48"], "all": ["0.0.0.0/0"]}
        )
        for address, region in (
            *(("192.0.2.1", "eu"), ("192.0.2.200", "us"), ("::ffff:192.0.2.200", "us"), ("::ffff:c000:201", "eu")),
            *(("2001:db8::1", "eu"), ("2001:db8:1::1", "us"), ("10.0.0.1", "all"), ("::1", ""), ("", ""), ("x", "")),
            *(("192.0.2.1\n", ""), ("192.0.2.1:80", ""), ("fe80::1%eth0", ""), ("0300.0.2.1", "")),
        ):
            self.assertEqual(regions.find(address), region, address)
