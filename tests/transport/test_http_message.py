"""Requests and responses as handlers see them."""

from twisted.trial.unittest import SynchronousTestCase

from imd.transport.http_message import JSON, Request, json_response


class MessageTests(SynchronousTestCase):
    def test_header(self) -> None:
        """A header is found by its lower-case name, an absent one is empty."""
        request = Request("1", "GET", "/", headers={"host": "x"})
        self.assertEqual((request.header("host"), request.header("origin")), ("x", ""))

    def test_json(self) -> None:
        """JSON answers are not cached and may have headers of their own."""
        response = json_response({"a": 1}, 201, (("X", "y"),))
        self.assertEqual((response.status, response.body, response.content_type), (201, b'{"a":1}', JSON))
        self.assertEqual(response.headers, (("Cache-Control", "no-store"), ("X", "y")))
