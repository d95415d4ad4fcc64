"""Rows of the table."""

from twisted.trial.unittest import SynchronousTestCase

from imd.transport.http_fault import fault_body
from imd.transport.http_message import JSON, Request, Response
from imd.transport.http_route import Route


def nothing(request: Request) -> Response:
    return Response()


class RouteTests(SynchronousTestCase):
    def test_defaults(self) -> None:
        """A row that says nothing more answers JSON, takes nothing, is open to all and is in the OpenAPI document."""
        route = Route("GET", "/", nothing, summary="s", tag="t")
        self.assertEqual((route.content_type, route.body, route.query, route.scopes), (JSON, None, None, ""))
        self.assertIs(route.fault, fault_body)
        self.assertTrue(route.listed)
