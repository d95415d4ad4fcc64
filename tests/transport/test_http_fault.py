"""Errors as HTTP tells them."""

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from imd import errors
from imd.transport.http_fault import bad_value, fault_response


class Sample(msgspec.Struct):
    to: dict[str, list[int]]


class FaultTests(SynchronousTestCase):
    def test_every_error(self) -> None:
        """Each error of the house has a status of its kind, a JSON body with its name, and is never cached."""
        for kind in {errors.by_code(code) for code in range(1, 100)} - {errors.ImdError}:
            response = fault_response(kind("words"))
            body = msgspec.json.decode(response.body)
            self.assertEqual(body, {"error": {"name": kind.name, "message": "words"}})
            self.assertEqual(response.status, kind.http_status)
            self.assertIn(("Cache-Control", "no-store"), response.headers)
            retried = any(name == "Retry-After" for name, _ in response.headers)
            self.assertEqual(retried, response.status in (429, 503, 504), kind)

    def test_own_shape(self) -> None:
        """A route may have a shape of its own."""
        response = fault_response(errors.BadRequest("words"), lambda error, request_id: [str(error), request_id], "r1")
        self.assertEqual(response.body, b'["words","r1"]')


class BadValueTests(SynchronousTestCase):
    def words(self, data: bytes) -> str:
        try:
            msgspec.json.decode(data, type=Sample)
        except msgspec.ValidationError as error:
            return str(bad_value(error))
        return ""

    def test_field_first(self) -> None:
        """The field comes first, as the peer spelled its path."""
        self.assertEqual(self.words(b'{"to": {"a": [1, "x"]}}'), "to[...][1]: expected int, got str")

    def test_whole_body(self) -> None:
        """What is wrong with the whole body names no field."""
        self.assertEqual(self.words(b"[]"), "expected object, got array")
        self.assertEqual(self.words(b"{}"), "object missing required field to")
