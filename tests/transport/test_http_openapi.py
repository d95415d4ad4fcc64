"""The OpenAPI document says what the site does."""

from collections.abc import Iterator
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from imd.errors import ImdError
from tests.support.http_logic import HttpLogic


def references(value: Any) -> Iterator[str]:
    """Every ``$ref`` in a document."""
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


class DocumentTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.logic = HttpLogic({"k": ("push",)})
        self.document = self.logic.wire.ask("GET", "/openapi.json").json()
        self.operations = {
            (method.upper(), path): operation
            for path, methods in self.document["paths"].items()
            for method, operation in methods.items()
        }

    def test_complete(self) -> None:
        """Every route of the table is in it, but for the files of the page, and nothing else is."""
        listed = {(route.method, route.path) for route in self.logic.routes if route.listed}
        self.assertEqual(set(self.operations), listed)
        self.assertEqual(len([path for _, path in listed if path.startswith("/goim/")]), 9)
        self.assertIn(("POST", "/v1/push"), listed)
        self.assertIn(("GET", "/openapi.json"), listed)

    def test_form(self) -> None:
        """It has what OpenAPI 3.1 requires: version, info, unique operation ids, a description for each response."""
        self.assertEqual(self.document["openapi"], "3.1.0")
        self.assertEqual(set(self.document["info"]) & {"title", "version"}, {"title", "version"})
        ids = [operation["operationId"] for operation in self.operations.values()]
        self.assertEqual(len(set(ids)), len(ids))
        for (_, path), operation in self.operations.items():
            for status, response in operation["responses"].items():
                self.assertTrue(response["description"], (operation["operationId"], status))
            for parameter in operation.get("parameters", ()):
                where = "path" if f"{{{parameter['name']}}}" in path else "query"
                self.assertEqual((parameter["in"], set(parameter) >= {"name", "schema"}), (where, True))
            for scheme in operation.get("security", ()):
                self.assertLessEqual(set(scheme), set(self.document["components"]["securitySchemes"]))

    def test_references(self) -> None:
        """Every reference in it leads somewhere, and every schema is referred to."""
        schemas = {f"#/components/schemas/{name}" for name in self.document["components"]["schemas"]}
        self.assertEqual(set(references(self.document)), schemas)

    def test_errors(self) -> None:
        """Each error that a route may raise is there under its status, with Retry-After where it is sent."""
        for route in self.logic.routes:
            if not route.listed:
                continue
            responses = self.operations[route.method, route.path]["responses"]
            for error in route.errors:
                self.assertTrue(issubclass(error, ImdError))
                self.assertIn(str(error.http_status), responses)
            for status in {"429", "503", "504"} & set(responses):
                self.assertEqual("Retry-After" in responses[status].get("headers", {}), route.unready is None)

    def test_types(self) -> None:
        """Limits in it are those that are enforced, for they are the same types."""
        parameters = {p["name"]: p for p in self.operations["POST", "/goim/push/room"]["parameters"]}
        self.assertEqual([parameters[name]["required"] for name in ("operation", "type", "room")], [True] * 3)
        self.assertEqual(parameters["operation"]["schema"]["maximum"], 2**31 - 1)
        self.assertEqual(parameters["operation"]["schema"]["not"], {"const": 0})
        [keys] = [p for p in self.operations["POST", "/goim/push/keys"]["parameters"] if p["name"] == "keys"]
        self.assertEqual((keys["schema"]["type"], keys["explode"]), ("array", True))
        push = self.document["components"]["schemas"]["PushRequest"]
        self.assertEqual(set(push["required"]), {"to", "op"})
        self.assertFalse(push["additionalProperties"])

    def test_security(self) -> None:
        """Pushes want a key where keys are on, and may have one where they are not."""
        self.assertEqual(self.operations["POST", "/v1/push"]["security"], [{"pushKey": []}])
        self.assertNotIn("security", self.operations["GET", "/goim/online/total"])
        trusting = HttpLogic().openapi.document["paths"]["/v1/push"]["post"]
        self.assertEqual(trusting["security"], [{}, {"pushKey": []}])
