"""goim's nine endpoints, as goim's back ends and clients call them."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from imd.errors import BrokerUnavailable, Overloaded
from imd.interfaces import Instance
from imd.logic.keep import KeepRules
from imd.protocol.push import Push, Target
from imd.protocol.room_type import Keep, RoomType, RoomTypes
from tests.support.http_logic import HttpLogic
from tests.support.http_wire import Answer, HttpWire

KEEP = Keep(10, 60_000)
DONE = b'{"code":0,"message":""}'


class GoimCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.logic = HttpLogic(max_body_bytes=1000)

    def ask(self, method: str, target: str, body: bytes | None = None, **headers: str) -> Answer:
        return self.logic.wire.ask(method, target, body, **headers)

    def post(self, name: str, body: bytes = b"hi") -> list[Push]:
        """What the broker took of a push that was accepted."""
        before = len(self.logic.broker.taken)
        answer = self.ask("POST", f"/goim/push/{name}", body)
        self.assertEqual((answer.status, answer.body, answer.headers["content-type"]), (200, DONE, "application/json"))
        taken = self.logic.broker.taken[before:]
        self.assertLessEqual({str(push.id) for push in taken}, {answer.headers["x-push-id"]})
        return taken

    def get(self, name: str) -> Any:
        answer = self.ask("GET", f"/goim/{name}")
        envelope = answer.json()
        self.assertEqual((answer.status, envelope["code"], envelope["message"]), (200, 0, ""))
        return envelope["data"]

    def refused(self, method: str, target: str, words: str) -> None:
        """A wrong parameter: 400, the envelope with -400, words that name it, and nothing in the broker."""
        answer = self.ask(method, target, b"hi" if method == "POST" else None)
        envelope = answer.json()
        self.assertEqual((answer.status, envelope["code"]), (400, -400), target)
        self.assertIn(words, envelope["message"], target)
        self.assertNotIn("data", envelope)
        self.assertEqual(self.logic.broker.taken, [])


class PushTests(GoimCase):
    def test_keys(self) -> None:
        """To keys: repeated parameters, commas do not split, empty ones are skipped, no operation is 0."""
        taken = self.post("keys?operation=1000&keys=a&keys=b,c&keys=&keys=a")
        self.assertEqual({key for push in taken for key in push.keys}, {"a", "b,c"})
        self.assertEqual({(push.target, push.operation, push.body) for push in taken}, {(Target.KEYS, 1000, b"hi")})
        self.assertEqual([push.operation for push in self.post("keys?keys=a")], [0])

    def test_no_keys(self) -> None:
        """Without keys the code is -400; as in goim the status is 200, for the parameter is not a required one."""
        answer = self.ask("POST", "/goim/push/keys?operation=1000", b"hi")
        self.assertEqual((answer.status, answer.json()["code"]), (200, -400))

    def test_mids(self) -> None:
        """To members: int64s; 0 and none at all are nobody."""
        taken = self.post("mids?operation=1000&mids=1&mids=9007199254740993&mids=0&mids=-5&mids=")
        self.assertEqual({mid for push in taken for mid in push.mids}, {1, 9007199254740993, -5})
        self.assertEqual(self.post("mids?operation=1000"), [])

    def test_room(self) -> None:
        """To a room: type and name make its id; names may hold slashes and anything else."""
        [push] = self.post("room?operation=1000&type=live&room=a%2Fb%2F%E4%BD%A0+%26")
        self.assertEqual((push.target, push.room), (Target.ROOM, "live://a/b/你 &"))

    def test_all(self) -> None:
        """To all: at once, or so many connections a second; less than none is at once."""
        for query, speed in (("", 0), ("&speed=", 0), ("&speed=500", 500), ("&speed=-1", 0)):
            [push] = self.post(f"all?operation=1000{query}")
            self.assertEqual((push.target, push.speed), (Target.ALL, speed))

    def test_body_is_raw(self) -> None:
        """The body is the message whatever it claims to be: forms and broken JSON are not looked into."""
        for content_type in (
            "application/x-www-form-urlencoded",
            "application/json",
            "multipart/form-data; boundary=x",
        ):
            body = b"operation=5&type=x&room=y\x00\xff"
            answer = self.ask("POST", "/goim/push/room?operation=-7&type=live&room=1", body, Content_Type=content_type)
            self.assertEqual(answer.body, DONE)
            self.assertEqual((self.logic.broker.taken[-1].body, self.logic.broker.taken[-1].operation), (body, -7))

    def test_no_body(self) -> None:
        """A message may be empty."""
        self.assertEqual(self.post("room?operation=1000&type=live&room=1", b"")[0].body, b"")

    def test_wrong_parameters(self) -> None:
        """Each parameter that is missing, empty, no integer or out of range is 400 and named."""
        for query, words in (
            ("keys?operation=x&keys=a", "operation: not a decimal integer"),
            ("keys?operation=2147483648&keys=a", "operation: "),
            ("keys?operation=1.0&keys=a", "operation: "),
            ("mids?operation=1&mids=x", "mids: not a decimal integer"),
            ("mids?operation=1&mids=1,2", "mids: "),
            ("mids?operation=1&mids=1&mids=9223372036854775808", "mids[1]: "),
            ("room?type=live&room=1", "operation: required"),
            ("room?operation=0&type=live&room=1", "operation: required, and not 0"),
            ("room?operation=&type=live&room=1", "operation: required, and not 0"),
            ("room?operation=1&room=1", "type: required"),
            ("room?operation=1&type=&room=1", "type: "),
            ("room?operation=1&type=live", "room: required"),
            ("room?operation=1&type=live&room=", "room: "),
            ("room?operation=1&type=live&room=%", "query: "),
            (f"room?operation=1&type=live&room={'x' * 256}", "room"),
            ("all", "operation: required"),
            ("all?operation=0", "operation: required, and not 0"),
            ("all?operation=1&speed=x", "speed: "),
            ("all?operation=1&speed=9999999999", "speed: "),
        ):
            self.refused("POST", f"/goim/push/{query}", words)

    def test_body_too_large(self) -> None:
        """A body over the limit is 413 in the envelope, announced or in chunks."""
        answer = self.ask("POST", "/goim/push/room?operation=1&type=live&room=1", b"x" * 1001)
        self.assertEqual((answer.status, answer.json()["code"]), (413, -400))
        wire = HttpWire(self.logic.site)
        wire.send(b"POST /goim/push/room?operation=1&type=live&room=1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        wire.send(b"3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n")
        [answer] = wire.answers()
        self.assertEqual((answer.status, answer.json()["code"]), (413, -400))
        self.assertEqual(self.logic.broker.taken, [])

    def test_broker_away(self) -> None:
        """When the broker is away or behind, the code is -500, the status tells proxies, and when to come back is said."""
        for error, status in ((BrokerUnavailable("redis is away"), 503), (Overloaded("backlog", 3), 429)):
            self.logic.broker.failing = error
            answer = self.ask("POST", "/goim/push/room?operation=1&type=live&room=1", b"hi")
            self.assertEqual((answer.status, answer.json()), (status, {"code": -500, "message": str(error)}))
            self.assertIn("retry-after", answer.headers)

    def test_bug(self) -> None:
        """A fault of ours is 500 in the envelope, without details but for the request id."""
        self.logic.broker.failing = ZeroDivisionError("zero")
        answer = self.ask("POST", "/goim/push/room?operation=1&type=live&room=1", b"hi")
        self.assertEqual((answer.status, answer.json()["code"]), (500, -500))
        self.assertNotIn("zero", answer.json()["message"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_method(self) -> None:
        """A push is a POST."""
        answer = self.ask("GET", "/goim/push/all?operation=1")
        self.assertEqual((answer.status, answer.headers["allow"]), (405, "OPTIONS, POST"))


class KeyTests(SynchronousTestCase):
    """Where push keys are on, goim's endpoints want them, too."""

    def setUp(self) -> None:
        self.logic = HttpLogic({"k-room": ("push:room:live",), "k-all": ("push",)})

    def push(self, query: str, key: str = "") -> tuple[int, int]:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        answer = self.logic.wire.ask("POST", f"/goim/push/{query}", b"hi", **headers)
        self.assertEqual("www-authenticate" in answer.headers, answer.status == 401)
        return answer.status, answer.json()["code"]

    def test_scopes(self) -> None:
        """No key and an unknown one are 401, a key without the scope is 403, both with -400; the right one pushes."""
        room = "room?operation=1&type=live&room=1"
        self.assertEqual(self.push(room), (401, -400))
        self.assertEqual(self.push(room, "wrong"), (401, -400))
        self.assertEqual(self.push("room?operation=1&type=chat&room=1", "k-room"), (403, -400))
        for query in ("keys?keys=a", "mids?mids=1", "all?operation=1"):
            self.assertEqual(self.push(query, "k-room"), (403, -400))
        self.assertEqual(self.logic.broker.taken, [])
        self.assertEqual(self.push(room, "k-room"), (200, 0))
        for query in (room, "keys?keys=a", "mids?mids=1", "all?operation=1"):
            self.assertEqual(self.push(query, "k-all"), (200, 0))

    def test_reading(self) -> None:
        """Reading needs no key."""
        for target in (
            "online/total",
            "online/top?type=live&limit=1",
            "online/room?type=live&rooms=1",
            "nodes/weighted",
        ):
            self.assertEqual(self.logic.wire.ask("GET", f"/goim/{target}").json()["code"], 0)


class OnlineTests(GoimCase):
    def test_top(self) -> None:
        """The largest rooms of exactly this type, names whole, largest first."""
        self.logic.rooms_report({"live://a/b": 2, "live://c": 5, "live://empty": 0, "lively://d": 9, "live://e": 1})
        self.assertEqual(
            self.get("online/top?type=live&limit=2"), [{"room_id": "c", "count": 5}, {"room_id": "a/b", "count": 2}]
        )

    def test_no_rooms(self) -> None:
        """Without any, the list is empty, not absent."""
        self.assertEqual(self.get("online/top?type=live&limit=2"), [])

    def test_dead_comet(self) -> None:
        """What a dead comet had counted is gone."""
        self.logic.members(a=3)
        self.logic.clock.advance(31)
        self.assertEqual(self.get("online/top?type=live&limit=2"), [])
        self.assertEqual(self.get("online/room?type=live&rooms=a"), {"a": 0})

    def test_rooms(self) -> None:
        """Counts by name; 0 for unknown ones; names may be odd."""
        self.logic.rooms_report({"live://a": 3, "live://x/y,z": 1})
        self.assertEqual(
            self.get("online/room?type=live&rooms=a&rooms=x%2Fy,z&rooms=none&rooms="),
            {"a": 3, "x/y,z": 1, "none": 0, "": 0},
        )

    def test_total(self) -> None:
        """Sums over the comets."""
        self.assertEqual(self.get("online/total"), {"ip_count": 0, "conn_count": 0})
        self.logic.comets(
            Instance("comet", "c1", 1, "", conn_count=5, ip_count=2),
            Instance("comet", "c2", 1, "", conn_count=7, ip_count=3),
        )
        self.assertEqual(self.get("online/total"), {"ip_count": 5, "conn_count": 12})

    def test_wrong_parameters(self) -> None:
        """Each parameter that is missing, empty or no integer is 400 and named; a negative limit is no crash."""
        for query, words in (
            ("top", "type: required"),
            ("top?limit=1", "type: required"),
            ("top?type=&limit=1", "type: "),
            ("top?type=live", "limit: required"),
            ("top?type=live&limit=0", "limit: "),
            ("top?type=live&limit=", "limit: "),
            ("top?type=live&limit=-1", "limit: "),
            ("top?type=live&limit=x", "limit: not a decimal integer"),
            ("room", "type: required"),
            ("room?type=live", "rooms: required"),
            ("room?rooms=1", "type: required"),
        ):
            self.refused("GET", f"/goim/online/{query}", words)


class NodesTests(GoimCase):
    def setUp(self) -> None:
        super().setUp()
        self.logic.comets(
            Instance(
                "comet", "c1", 1, "tcp://10.0.0.1:1", hostname="h1", region="us", addrs=("198.51.100.1",), weight=10
            ),
            Instance(
                "comet", "c2", 1, "tcp://10.0.0.2:1", hostname="h2", region="eu", addrs=("198.51.100.2",), weight=10
            ),
            Instance("comet", "c3", 1, "", hostname="h3", addrs=("198.51.100.3",), weight=10, offline=True),
        )

    def test_weighted(self) -> None:
        """All that a client needs, by the names that it knows; addresses, draining comets left out."""
        data = self.get("nodes/weighted")
        self.assertEqual(set(data.pop("nodes")), {"198.51.100.1", "198.51.100.2"})
        self.assertEqual(
            data,
            {
                "domain": "imd.example",
                "tcp_port": 3101,
                "ws_port": 3102,
                "wss_port": 3103,
                "heartbeat": 240,
                "heartbeat_max": 2,
                "backoff": {"max_delay": 300, "base_delay": 3, "factor": 1.8, "jitter": 0.3},
            },
        )

    def test_web(self) -> None:
        """A browser gets host names."""
        self.assertEqual(set(self.get("nodes/weighted?platform=web")["nodes"]), {"h1", "h2"})

    def test_region(self) -> None:
        """A client's own region comes first; it is looked up from its address."""
        wire = HttpWire(self.logic.site, peer="192.0.2.77")
        nodes = wire.ask("GET", "/goim/nodes/weighted").json()["data"]["nodes"]
        self.assertEqual(nodes, ["198.51.100.2", "198.51.100.1"])

    def test_none(self) -> None:
        """Without a comet, the default domain."""
        self.logic.comets()
        self.assertEqual(self.get("nodes/weighted")["nodes"], ["imd.example"])
        self.assertEqual(self.get("nodes/instances"), [])

    def test_instances(self) -> None:
        """The comets as goim's registry shows them, metadata all strings."""
        [first, _] = self.get("nodes/instances")
        self.assertEqual(
            set(first),
            {"region", "zone", "env", "appid", "hostname", "addrs", "version", "latest_timestamp", "metadata"},
        )
        self.assertEqual(first["appid"], "goim.comet")
        self.assertEqual(set(first["metadata"]), {"addrs", "conn_count", "ip_count", "offline", "weight"})
        self.assertTrue(all(isinstance(value, str) for value in first["metadata"].values()))


class KeptTests(GoimCase):
    """goim's back ends get the defaults, and the same answers."""

    def setUp(self) -> None:
        rules = KeepRules(inboxes=KEEP, room_types=RoomTypes({"chat": RoomType(keep=KEEP)}))
        self.logic = HttpLogic(max_body_bytes=1000, rules=rules)

    def test_kept(self) -> None:
        """Members' inboxes and rooms whose type keeps; never keys, or all."""
        for name, timelines in (
            ("mids?operation=1000&mids=5", [("m:5",)]),
            ("room?operation=1000&type=chat&room=1", [("r:chat://1",)]),
            ("room?operation=1000&type=live&room=1", [()]),
            ("keys?operation=1000&keys=a", [()]),
            ("all?operation=1000", [()]),
        ):
            self.assertEqual([push.timelines for push in self.post(name)], timelines, name)

    def test_traced(self) -> None:
        """A sampled traceparent traces each kind of push."""
        parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        for name in ("mids?mids=5", "room?operation=1000&type=chat&room=1", "keys?keys=a", "all?operation=1000"):
            answer = self.ask("POST", f"/goim/push/{name}", b"hi", traceparent=parent)
            self.assertEqual((answer.status, answer.body), (200, DONE))
            self.assertEqual(self.logic.broker.taken[-1].trace[:36], parent[:36])
