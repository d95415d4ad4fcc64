"""docs/http.md is the API that logic serves."""

from twisted.trial.unittest import SynchronousTestCase

from imd.errors import ImdError, LineTooLong, MethodNotAllowed, NotFound, RequestTooSlow
from imd.logic.access import SCOPES
from imd.logic.push_limits import MAX_IDEMPOTENCY_KEY_BYTES, PushLimits
from imd.logic.push_request import PushRequest, Result, To
from imd.transport.http import MAX_CONNECTIONS
from tests.docs.page import Page, code
from tests.support.http_logic import HttpLogic

ANY_REQUEST = (NotFound, MethodNotAllowed, RequestTooSlow, LineTooLong, ImdError)  # what every route may answer


class HttpPageTests(SynchronousTestCase):
    """The page against the table of routes and the types that read and write."""

    def setUp(self) -> None:
        self.page = Page("docs/http.md")
        self.routes = [route for route in HttpLogic().routes if route.listed]

    def test_routes(self) -> None:
        """Every endpoint has its section; /metrics is the only one that is elsewhere."""
        ours = {f"{route.method} {route.path}" for route in self.routes}
        named = {heading for heading in self.page.headings() if heading.startswith(("GET ", "POST "))}
        self.assertEqual(named, ours | {"GET /metrics"})

    def test_parameters(self) -> None:
        """Each section names what its query takes."""
        for route in self.routes:
            for name in route.query.__struct_fields__ if route.query else ():
                self.assertIn(f"`{name}`", self.page.section(f"{route.method} {route.path}"), route.path)

    def test_errors(self) -> None:
        """Every error that can be answered has its row, under its status."""
        possible = {error for route in self.routes for error in route.errors} | set(ANY_REQUEST)
        ours = {(str(error.http_status), error.name) for error in possible}
        self.assertEqual({(row[0], code(row[1])) for row in self.page.rows("Errors")}, ours)

    def test_fields(self) -> None:
        """Every field of a push has its row, every result too."""
        fields = PushRequest.__struct_fields__ + To.__struct_fields__
        results = [result.value for result in Result]
        self.assertEqual([code(row[0]) for row in self.page.rows("POST /v1/push")], [*fields, *results])

    def test_scopes(self) -> None:
        """Every scope has its row."""
        named = {code(row[0]) for row in self.page.rows("Who may")}
        self.assertEqual(named, {*SCOPES, "push:room:<type>"})

    def test_limits(self) -> None:
        """The figures are the code's."""
        limits, section = PushLimits(), self.page.section("POST /v1/push")
        for figure in (limits.body_bytes, limits.targets, limits.pushes):
            self.assertIn(f"{figure:,}", section)
        self.assertIn(f"{limits.stored_bytes >> 20} MiB at most", section)
        self.assertIn(f"at most {MAX_IDEMPOTENCY_KEY_BYTES} bytes", section)
        self.assertIn(f"{MAX_CONNECTIONS:,} HTTP connections", self.page.section("Errors"))
