"""Op 48."""

import json

from hypothesis import given

from imd.errors import NotAllowed, Overloaded, TimelineUnavailable
from imd.protocol.error_body import ErrorBody
from tests.protocol.body_case import BodyTestCase, garbage


class ErrorBodyTests(BodyTestCase):
    """A request that was not done."""

    def test_error(self) -> None:
        """It says what, and when to try again where that helps."""
        self.assertEqual(
            json.loads(ErrorBody.of(NotAllowed("not yours"), 32).encode()),
            {"code": 39, "name": "not_allowed", "message": "not yours", "op": 32},
        )
        self.assertEqual(ErrorBody.of(Overloaded("full", 2), 38).retry_after_ms, 2000)
        self.assertEqual(ErrorBody.of(TimelineUnavailable("away"), 38).retry_after_ms, 1000)

    @given(garbage(*ErrorBody.__struct_fields__))
    def test_garbage(self, body: bytes) -> None:
        """Any body is an error or a ProtocolError."""
        self.assert_value_or_error(ErrorBody.decode, body)
