"""Op 6, as a client reads it."""

from hypothesis import given

from imd.errors import CloseReason
from imd.protocol.body import encode_goodbye
from imd.protocol.goodbye import Goodbye
from tests.protocol.body_case import BodyTestCase, garbage


class GoodbyeTests(BodyTestCase):
    """Why, and whether and when and where to come back."""

    def test_round_trip(self) -> None:
        """What the server writes, the client reads."""
        for reason in CloseReason:
            self.assertEqual(
                Goodbye.decode(encode_goodbye(reason, 250, ("tcp://a:3101",))),
                Goodbye(reason.label, reason.code, reason.redial, 250, ("tcp://a:3101",)),
            )
        self.assertEqual(Goodbye.decode(encode_goodbye(CloseReason.REPLACED)), Goodbye("replaced", 4030, False))

    @given(garbage(*Goodbye.__struct_fields__))
    def test_garbage(self, body: bytes) -> None:
        """Any body is a goodbye or a ProtocolError."""
        self.assert_value_or_error(Goodbye.decode, body)
