"""Ops 44 and 45."""

from hypothesis import given

from imd.protocol.refresh import Refresh, RefreshReply
from tests.protocol.body_case import BodyTestCase, garbage


class RefreshTests(BodyTestCase):
    """A new token."""

    def test_refresh(self) -> None:
        """Both ways; a token that never expires has no date."""
        self.assertEqual(Refresh.decode(Refresh("jwt").encode()), Refresh("jwt"))
        self.assertEqual(RefreshReply().encode(), b"{}")
        self.assertEqual(RefreshReply.decode(b'{"expires_at_ms": 5}'), RefreshReply(5))
        self.assert_all_bad(Refresh.decode, (({}, "token"), ({"token": 5}, "token")))

    @given(garbage("token", "expires_at_ms"))
    def test_garbage(self, body: bytes) -> None:
        """Any body is a value or a ProtocolError."""
        self.assert_value_or_error(Refresh.decode, body)
        self.assert_value_or_error(RefreshReply.decode, body)
