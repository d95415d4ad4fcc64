"""Room ids."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imd.protocol.room_id import room_id, split_room_id


class RoomIdTests(SynchronousTestCase):
    """``type://name``."""

    def test_golden(self) -> None:
        """goim's example, both ways."""
        self.assertEqual(room_id("live", "1000"), "live://1000")
        self.assertEqual(split_room_id("live://1000"), ("live", "1000"))

    def test_names_are_the_users_own(self) -> None:
        """A name may hold slashes, even the separator; an id without one has no type."""
        self.assertEqual(split_room_id("chat://a/b://c"), ("chat", "a/b://c"))
        self.assertEqual(split_room_id("1000"), ("", "1000"))
        self.assertEqual(split_room_id(""), ("", ""))
        self.assertEqual(split_room_id("://x"), ("", "x"))

    @given(st.text(st.characters(exclude_characters=":/")), st.text())
    def test_round_trip(self, room_type: str, name: str) -> None:
        """What was put together comes apart the same."""
        self.assertEqual(split_room_id(room_id(room_type, name)), (room_type, name))
