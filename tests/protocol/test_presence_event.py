"""Op 46."""

import json

from hypothesis import given

from imd.protocol.presence_event import PresenceEvent
from tests.protocol.body_case import BodyTestCase, garbage


class PresenceEventTests(BodyTestCase):
    """Who came, who left."""

    def test_event(self) -> None:
        """A member's id is a string."""
        event = PresenceEvent(room="a://1", mid=2**60, joined=False)
        self.assertEqual(json.loads(event.encode()), {"room": "a://1", "mid": str(2**60), "joined": False})
        self.assertEqual(PresenceEvent.decode(event.encode()), event)

    @given(garbage("room", "mid", "joined"))
    def test_garbage(self, body: bytes) -> None:
        """Any body is an event or a ProtocolError."""
        self.assert_value_or_error(PresenceEvent.decode, body)
