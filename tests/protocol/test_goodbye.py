"""Op 6, written and read."""

import json

from hypothesis import given

from imd.errors import CloseReason
from imd.protocol.goodbye import Goodbye
from tests.protocol.body_case import BodyTestCase, garbage


class GoodbyeTests(BodyTestCase):
    """Why, and whether, when and where to come back."""

    def test_round_trip(self) -> None:
        """What the server writes, the client reads."""
        for reason in CloseReason:
            self.assertEqual(
                Goodbye.decode(Goodbye.of(reason, 250, ("tcp://a:3101",)).encode()),
                Goodbye(reason.label, reason.code, reason.redial, 250, ("tcp://a:3101",)),
            )

    def test_json(self) -> None:
        """What is not told is not there."""
        written = json.loads(Goodbye.of(CloseReason.SERVER_STOPPING, 250).encode())
        self.assertEqual(written, {"reason": "server_stopping", "code": 4050, "reconnect": True, "retry_after_ms": 250})
        written = json.loads(Goodbye.of(CloseReason.REPLACED).encode())
        self.assertEqual(written, {"reason": "replaced", "code": 4030, "reconnect": False})

    @given(garbage(*Goodbye.__struct_fields__))
    def test_garbage(self, body: bytes) -> None:
        """Any body is a goodbye or a ProtocolError."""
        self.assert_value_or_error(Goodbye.decode, body)
