"""Timelines: their names, and messages as products store them."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imd.protocol.timeline import (
    Message,
    client_name,
    dump,
    inbox_timeline,
    load,
    room_timeline,
    target_of,
    timeline_named,
)

INT64 = st.integers(-(2**63), 2**63 - 1)


class NameTests(SynchronousTestCase):
    """The same timeline, inside and to clients."""

    @given(st.text(min_size=1), INT64)
    def test_names(self, room: str, mid: int) -> None:
        """Rooms and inboxes never have one name, and both find back."""
        self.assertNotEqual(room_timeline(room), inbox_timeline(mid))
        self.assertEqual(client_name(room_timeline(room)), room)
        self.assertEqual(client_name(inbox_timeline(mid)), "")
        self.assertEqual(timeline_named(room, mid), room_timeline(room))
        self.assertEqual(timeline_named("", mid), inbox_timeline(mid))
        self.assertEqual((target_of(room_timeline(room)), target_of(inbox_timeline(mid))), (room, str(mid)))


class MessageTests(SynchronousTestCase):
    """As products have it."""

    @given(INT64, INT64, st.integers(-(2**31), 2**31 - 1), st.binary(max_size=50), st.integers(1, 2**63 - 1))
    def test_round_trip(self, id: int, at_ms: int, operation: int, body: bytes, seq: int) -> None:
        """What is stored comes back, with the place where it was found."""
        self.assertEqual(load(seq, dump(id, at_ms, operation, body)), Message(seq, id, at_ms, operation, body))

    def test_positions(self) -> None:
        """Stored messages are arrays whose order never changes."""
        self.assertEqual(msgspec.msgpack.decode(dump(1, 2, 3, b"4")), [1, 2, 3, b"4"])

    @given(st.binary(max_size=30))
    def test_garbage(self, data: bytes) -> None:
        """Any bytes are a message or a DecodeError."""
        try:
            load(1, data)
        except msgspec.DecodeError:
            return
