"""``POST /v1/push``."""

from base64 import b64encode
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imd.errors import BrokerUnavailable, Overloaded
from imd.logic.keep import KeepRules
from imd.protocol.push import Target
from imd.protocol.room_type import Keep, RoomType, RoomTypes
from imd.protocol.trace import Step, is_traceparent
from tests.support.http_logic import HttpLogic, run
from tests.support.http_wire import Answer, HttpWire

ROOM = {"to": {"room": "live://1"}, "op": 1000, "body": "hi"}


class PushCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.logic = HttpLogic(max_body_bytes=100_000)

    def post(self, body: Any, **headers: str) -> Answer:
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        return HttpWire(self.logic.site).ask("POST", "/v1/push", data, **headers)

    def fault(self, body: Any, status: int, **headers: str) -> dict[str, str]:
        """The error of a refused push; the broker has nothing of it."""
        answer = self.post(body, **headers)
        self.assertEqual(answer.status, status, answer.body)
        self.assertEqual(self.logic.broker.taken, [])
        error: dict[str, str] = answer.json()["error"]
        return error


class OneTests(PushCase):
    def test_room(self) -> None:
        """One push is answered by its id, as a string, and its result."""
        answer = self.post(ROOM)
        [push] = self.logic.broker.taken
        self.assertEqual((answer.status, answer.json()), (200, {"id": str(push.id), "result": "accepted"}))
        self.assertEqual((push.target, push.room, push.operation, push.body), (Target.ROOM, "live://1", 1000, b"hi"))

    def test_targets(self) -> None:
        """Keys, members (as numbers or strings), rooms and all, also together."""
        to = {"keys": ["a", "b"], "mids": [1, "9007199254740993"], "rooms": ["live://1", "live://2"], "all": True}
        self.post({"to": to, "op": -5, "body": "x", "speed": 100})
        taken = self.logic.broker.taken
        self.assertEqual({key for push in taken for key in push.keys}, {"a", "b"})
        self.assertEqual({mid for push in taken for mid in push.mids}, {1, 9007199254740993})
        self.assertEqual({push.room for push in taken if push.room}, {"live://1", "live://2"})
        self.assertEqual([push.speed for push in taken if push.target is Target.ALL], [100])
        self.assertEqual(len({push.id for push in taken}), 1)

    def test_bytes(self) -> None:
        """A body that is no text comes in base64."""
        body = bytes(range(256))
        self.post({"to": {"keys": ["a"]}, "op": 1, "body_base64": b64encode(body).decode()})
        self.assertEqual(self.logic.broker.taken[0].body, body)

    def test_idempotency(self) -> None:
        """The same push again is not stored again and has the first one's id; another one under its key is 409."""
        first = self.post({**ROOM, "idempotency_key": "k"}).json()
        self.assertEqual(self.post({**ROOM, "idempotency_key": "k"}).json(), {"id": first["id"], "result": "repeated"})
        answer = self.post({**ROOM, "body": "other", "idempotency_key": "k"})
        self.assertEqual((answer.status, answer.json()["error"]["name"]), (409, "idempotency_conflict"))
        self.assertIn(first["id"], answer.json()["error"]["message"])
        self.assertEqual(len(self.logic.broker.taken), 1)

    def test_wrong_values(self) -> None:
        """What is wrong is 400 and names the field."""
        for change, words in (
            ({"op": None}, "op: expected int"),
            ({"op": 2**31}, "op: "),
            ({"op": "1000"}, "op: expected int, got str"),
            ({"to": None}, "to: "),
            ({"to": {}}, "to: names nobody"),
            ({"to": {"keys": [1]}}, "to.keys[0]: expected str, got int"),
            ({"to": {"keys": [""]}}, "to.keys: "),
            ({"to": {"mids": ["x"]}}, "to.mids[0]: "),
            ({"to": {"mids": [0]}}, "to.mids: "),
            ({"to": {"room": ""}}, "to.room: "),
            ({"to": {"rooms": [""]}}, "to.rooms: "),
            ({"to": {"romm": "live://1"}}, "romm"),
            ({"bodi": "x"}, "bodi"),
            ({"body": None}, "body: "),
            ({"body_base64": "aGk="}, "body: give exactly one"),
            ({"speed": 5}, "speed: "),
            ({"keep": 1}, "keep: expected bool"),
            ({"keep": True}, "keep: nothing is kept of live://1: set rooms.live.keep = true"),
            ({"keep": True, "to": {"all": True}}, "keep: pushes to keys and to all are always live"),
            ({"keep": True, "to": {"mids": [1]}}, "keep: inboxes keep nothing here"),
            ({"trace": "yes"}, "trace: expected bool"),
            ({"idempotency_key": "x" * 129}, "idempotency_key: "),
        ):
            self.assertIn(words, self.fault({**ROOM, **change}, 400)["message"], change)

    def test_bad_base64(self) -> None:
        """Base64 that is none is named."""
        self.assertIn("body_base64", self.fault({"to": {"all": True}, "op": 1, "body_base64": "%"}, 400)["message"])

    def test_no_json(self) -> None:
        """What is no JSON, or another shape, is 400."""
        for body in (b"", b"{", b"\xff", b"1", b'"x"', b"null", b"[" * 50_000, b'{"to":' * 10_000):
            self.assertEqual(self.fault(body, 400)["name"], "bad_request")

    def test_too_large(self) -> None:
        """A body over the push's limit is 413, and so is a request over the site's."""
        self.assertEqual(self.fault({**ROOM, "body": "x" * 65_537}, 413)["name"], "too_large")
        self.assertEqual(self.fault({**ROOM, "body": "x" * 100_000}, 413)["name"], "too_large")

    def test_broker_away(self) -> None:
        """503 and 429 say when to come back."""
        for error, status in ((BrokerUnavailable("redis is away"), 503), (Overloaded("backlog", 3), 429)):
            self.logic.broker.failing = error
            answer = self.post(ROOM)
            self.assertEqual((answer.status, answer.json()["error"]["message"]), (status, str(error)))
            self.assertEqual(answer.headers["retry-after"], str(error.retry_after_seconds))

    def test_method(self) -> None:
        """A push is a POST."""
        self.assertEqual(HttpWire(self.logic.site).ask("GET", "/v1/push").status, 405)

    @settings(max_examples=200, deadline=None)
    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
            lambda inner: (
                st.lists(inner, max_size=4)
                | st.dictionaries(
                    st.sampled_from(
                        [
                            *("to", "op", "body", "body_base64", "speed", "idempotency_key", "keep", "trace"),
                            *("keys", "mids", "room", "all"),
                        ]
                    )
                    | st.text(max_size=4),
                    inner,
                    max_size=6,
                )
            ),
            max_leaves=12,
        )
    )
    def test_any_json(self, value: Any) -> None:
        """Any JSON at all is accepted or refused with its status; nothing is a fault of ours."""
        answer = self.post(value)
        self.assertIn(answer.status, (200, 400))
        self.assertEqual(answer.status == 200, "error" not in answer.json())


class KeptTests(PushCase):
    """What timelines keep, and what of it the back end hears."""

    def setUp(self) -> None:
        keep = Keep(10, 60_000)
        rules = KeepRules(inboxes=keep, room_types=RoomTypes({"chat": RoomType(keep=keep)}))
        self.logic = HttpLogic(rules=rules, max_body_bytes=100_000)

    def kept(self, **push: Any) -> list[tuple[str, ...]]:
        """The timelines of each share of a push."""
        before = len(self.logic.broker.taken)
        self.assertEqual(self.post({**ROOM, **push}).status, 200)
        return [push.timelines for push in self.logic.broker.taken[before:]]

    def test_defaults(self) -> None:
        """Members and rooms as configured, keys and all never; null says nothing, false makes it live."""
        for keep in ({}, {"keep": None}):
            self.assertEqual(self.kept(to={"mids": [1]}, **keep), [("m:1",)])
            self.assertEqual(self.kept(to={"room": "chat://1"}, **keep), [("r:chat://1",)])
            self.assertEqual(self.kept(to={"keys": ["a"], "all": True}, **keep), [(), ()])
            self.assertEqual(self.kept(to={"room": "live://1"}, **keep), [()])
        self.assertEqual(self.kept(to={"mids": [1], "room": "chat://1"}, keep=False), [(), ()])
        self.assertEqual(self.kept(to={"mids": [1], "room": "chat://1"}, keep=True), [("m:1",), ("r:chat://1",)])

    def test_place(self) -> None:
        """Of one timeline the back end hears the place, and the same again when it repeats; of several, or none, nothing."""
        push = {**ROOM, "to": {"mids": [1]}, "idempotency_key": "k"}
        first, second = self.post(push).json(), self.post({**ROOM, "to": {"mids": [1]}}).json()
        self.assertEqual((first["seq"], second["seq"], first["epoch"]), (1, 2, second["epoch"]))
        self.assertEqual(self.post(push).json(), {**first, "result": "repeated"})
        for to in ({"mids": [1, 2]}, {"mids": [1], "room": "chat://1"}, {"all": True}):
            self.assertEqual(set(self.post({**ROOM, "to": to}).json()), {"id", "result"})
        with_live = self.post({**ROOM, "to": {"mids": [1], "keys": ["a"]}}).json()
        self.assertEqual(with_live["seq"], 5)

    def test_array_refused_whole(self) -> None:
        """One push that cannot be kept refuses the array, and is named."""
        fault = self.fault([ROOM, {**ROOM, "keep": True}], 400)
        self.assertIn("[1]: keep: nothing is kept of live://1", fault["message"])

    def test_bytes_of_inboxes(self) -> None:
        """A body is stored in the broker and in every inbox: all of them count."""
        body = "x" * 65_000
        self.assertEqual(self.post({"to": {"mids": list(range(1, 255))}, "op": 1, "body": body}).status, 200)
        self.logic.broker.taken.clear()
        fault = self.fault({"to": {"mids": list(range(1, 260))}, "op": 1, "body": body}, 413)
        self.assertIn("push to fewer at once", fault["message"])
        live = {"to": {"mids": list(range(1, 260))}, "op": 1, "body": body, "keep": False}
        self.assertEqual(self.post(live).status, 200)


class TracedTests(PushCase):
    """Who is traced, and under which trace id."""

    PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    def trace(self, body: Any, **headers: str) -> str:
        self.assertEqual(self.post(body, **headers).status, 200)
        return self.logic.broker.taken[-1].trace

    def test_asked(self) -> None:
        """The push says so; its hops are there by the time of the answer."""
        self.assertEqual(self.trace(ROOM), "")
        self.assertTrue(is_traceparent(self.trace({**ROOM, "trace": True})))
        hops = run(self.logic.traces.read(self.logic.broker.taken[-1].id))
        self.assertEqual([hop.step for hop in hops], [Step.ACCEPTED, Step.STORED])

    def test_header(self) -> None:
        """A sampled traceparent is carried on, for each push of an array; another one, or nonsense, does nothing."""
        carried = self.trace([ROOM, ROOM], traceparent=self.PARENT)
        self.assertEqual(carried[:36], self.PARENT[:36])
        self.assertEqual({push.trace[:36] for push in self.logic.broker.taken}, {self.PARENT[:36]})
        for header in (self.PARENT[:-1] + "0", "ff" + self.PARENT[2:], self.PARENT.upper(), "", "x" * 5000):
            self.assertEqual(self.trace(ROOM, traceparent=header), "", header)


class ArrayTests(PushCase):
    def test_order(self) -> None:
        """An array is answered by an array in its order, and accepted in its order."""
        answer = self.post([ROOM, {**ROOM, "body": "2"}, {**ROOM, "to": {"all": True}}])
        ids = [item["id"] for item in answer.json()]
        self.assertEqual(ids, sorted(ids, key=int))
        self.assertEqual([push.body for push in self.logic.broker.taken if push.room], [b"hi", b"2"])

    def test_empty(self) -> None:
        """Nothing to push is answered by nothing."""
        self.assertEqual(self.post([]).json(), [])

    def test_whole_or_not(self) -> None:
        """One item that is wrong refuses all of them, and is named."""
        for item, words in (
            ({**ROOM, "op": "x"}, "[1].op: "),
            ({**ROOM, "to": {}}, "[1]: to: names nobody"),
            ({**ROOM, "body_base64": "x"}, "[1]: body: give exactly one"),
        ):
            self.assertIn(words, self.fault([ROOM, item], 400)["message"])

    def test_too_many(self) -> None:
        """More than the limit in one array is 400."""
        self.assertIn("more than 1000", self.fault([ROOM] * 1001, 400)["message"])

    def test_conflict(self) -> None:
        """In an array a conflict is a result of its item: the others were accepted."""
        answer = self.post([{**ROOM, "idempotency_key": "k"}, {**ROOM, "body": "other", "idempotency_key": "k"}, ROOM])
        self.assertEqual([item["result"] for item in answer.json()], ["accepted", "conflict", "accepted"])


class KeyTests(PushCase):
    def setUp(self) -> None:
        self.logic = HttpLogic({"k-room": ("push:room:live", "push:keys"), "k-all": ("push",), "k-2": ("push",)})

    def test_without(self) -> None:
        """Without a good key nothing of the body is judged: 401 with a challenge."""
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic k-all"}):
            answer = self.post(b"nonsense", **headers)
            self.assertEqual((answer.status, answer.headers["www-authenticate"]), (401, 'Bearer realm="imd"'))

    def test_scope(self) -> None:
        """A key that does not cover every target is 403, naming the scope that lacks."""
        for to, scope in (
            ({"room": "chat://1"}, "push:room:chat"),
            ({"rooms": ["live://1", "chat://1"]}, "push:room:chat"),
            ({"mids": [1]}, "push:members"),
            ({"all": True}, "push:all"),
        ):
            for body in ({**ROOM, "to": to}, [ROOM, {**ROOM, "to": to}]):
                fault = self.fault(body, 403, Authorization="Bearer k-room")
                self.assertIn(scope, fault["message"])
        self.assertEqual(self.post(ROOM, Authorization="Bearer k-room").status, 200)
        self.assertEqual(self.post({**ROOM, "to": {"all": True}}, Authorization="bearer k-all").status, 200)

    def test_idempotency_is_the_pushers(self) -> None:
        """Idempotency keys of two pushers do not meet."""
        push = {**ROOM, "idempotency_key": "k"}
        self.assertEqual(self.post(push, Authorization="Bearer k-all").json()["result"], "accepted")
        self.assertEqual(self.post(push, Authorization="Bearer k-2").json()["result"], "accepted")
        self.assertEqual(self.post(push, Authorization="Bearer k-all").json()["result"], "repeated")
