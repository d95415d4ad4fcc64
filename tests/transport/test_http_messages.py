"""``GET /v1/messages/{id}``."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from imd.logic.fate import Fate
from imd.protocol.trace import Hop, Step
from tests.support.http_logic import HttpLogic, run
from tests.support.http_wire import Answer, HttpWire

BIG = 2**62 + 1


class MessagesCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.logic = HttpLogic()

    def ask(self, id: Any, method: str = "GET", **headers: str) -> Answer:
        return HttpWire(self.logic.site).ask(method, f"/v1/messages/{id}", b"", **headers)


class MessageTests(MessagesCase):
    def test_a_traced_push(self) -> None:
        """Devices and hops; what is not known is left out, and ids are text."""
        hops = [
            Hop(Step.WRITTEN, 1005, "comet/c1", "", 0, BIG, "phone"),
            Hop(Step.ACCEPTED, 1000, "logic/l1", traceparent="00-a-b-01"),
        ]
        run(self.logic.traces.note([(BIG, hop) for hop in hops]))
        answer = self.ask(BIG)
        self.assertEqual(answer.status, 200)
        self.assertEqual(
            answer.json(),
            {
                "id": str(BIG),
                "accepted_at": 1000,
                "traceparent": "00-a-b-01",
                "devices": [{"state": "written", "mid": str(BIG), "device": "phone", "at": 1005}],
                "hops": [
                    {"step": "accepted", "at": 1000, "process": "logic/l1"},
                    {"step": "written", "at": 1005, "process": "comet/c1", "mid": str(BIG), "device": "phone"},
                ],
            },
        )

    def test_not_traced(self) -> None:
        """404, with what to do about it."""
        answer = self.ask(1)
        self.assertEqual((answer.status, answer.json()["error"]["name"]), (404, "not_found"))
        self.assertIn("trace.share", answer.json()["error"]["message"])

    def test_no_id(self) -> None:
        """400 for whatever is no push's id; what has another segment is no message at all."""
        for id in ("", "x", "-1", "1.0", str(2**63), "9" * 30, "%C3%BC", "1%0A"):
            answer = self.ask(id)
            self.assertEqual((answer.status, answer.json()["error"]["name"]), (400, "bad_request"), id)
        self.assertEqual(self.ask("1/2").status, 404)

    def test_methods(self) -> None:
        """It is read only, whatever the id."""
        answer = self.ask(1, "POST")
        self.assertEqual((answer.status, answer.headers["allow"]), (405, "GET, HEAD, OPTIONS"))

    def test_counted_by_its_route(self) -> None:
        """Not by the id: metrics stay few."""
        self.ask(1)
        self.ask(2)
        routes = {route for route, _ in self.logic.metrics.http_seconds.values}
        self.assertEqual(routes, {"/v1/messages/{id}"})

    def test_the_document(self) -> None:
        """The path's parameter, the answer's type and the scope are in the OpenAPI document."""
        operation = self.logic.openapi.document["paths"]["/v1/messages/{id}"]["get"]
        self.assertEqual(operation["operationId"], "get_v1_messages_id")
        (parameter,) = operation["parameters"]
        self.assertEqual((parameter["name"], parameter["in"], parameter["required"]), ("id", "path", True))
        self.assertIn(Fate.__name__, str(operation["responses"]["200"]))
        self.assertEqual(operation["x-scopes"], "read")


class KeyTests(MessagesCase):
    def setUp(self) -> None:
        self.logic = HttpLogic({"k-push": ("push",), "k-read": ("read",)})

    def test_scope(self) -> None:
        """Who may push may not look; nothing is said of the push before the key is good."""
        self.assertEqual(self.ask("x").status, 401)
        self.assertEqual(self.ask("x", Authorization="Bearer k-push").status, 403)
        self.assertEqual(self.ask("1", Authorization="Bearer k-read").status, 404)
