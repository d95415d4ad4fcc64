"""Ops 32 to 35."""

import json

from hypothesis import given

from imd.protocol.body import MAX_EPOCH_BYTES, MAX_ROOM_BYTES
from imd.protocol.membership import Join, JoinReply, Leave, LeaveReply
from imd.protocol.timeline import Place
from tests.protocol.body_case import BodyTestCase, garbage


class JoinTests(BodyTestCase):
    """Into a room."""

    def test_join(self) -> None:
        """With or without a place to go on from."""
        self.assertEqual(json.loads(Join("a://1").encode()), {"room": "a://1"})
        self.assertIsNone(Join.decode(b'{"room": "a://1"}').place)
        self.assertEqual(Join.decode(b'{"room": "a://1", "after": 0}').place, Place(0))
        self.assertEqual(Join.decode(b'{"room": "a://1", "after": 5, "epoch": "e"}').place, Place(5, "e"))

    def test_refusals(self) -> None:
        """What is wrong is named."""
        self.assert_all_bad(
            Join.decode,
            (
                ({}, "room"),
                ({"room": ""}, "room"),
                ({"room": 1}, "room"),
                ({"room": "x" * (MAX_ROOM_BYTES + 1)}, "room"),
                ({"room": "a", "after": -1}, "after"),
                ({"room": "a", "after": 2**63}, "after"),
                ({"room": "a", "after": "1"}, "after"),
                ({"room": "a", "epoch": "x" * (MAX_EPOCH_BYTES + 1)}, "epoch"),
            ),
        )

    def test_reply(self) -> None:
        """Everything is said, even what is nothing."""
        reply = JoinReply(room="a://1", seq=0, epoch="", recovered=True, online=0)
        self.assertEqual(
            json.loads(reply.encode()), {"room": "a://1", "seq": 0, "epoch": "", "recovered": True, "online": 0}
        )
        self.assertEqual(JoinReply.decode(reply.encode()), reply)

    @given(garbage("room", "after", "epoch", "seq", "recovered", "online"))
    def test_garbage(self, body: bytes) -> None:
        """Any body is a value, which survives the way there and back, or a ProtocolError."""
        join = self.assert_value_or_error(Join.decode, body)
        if join is not None:
            self.assertEqual(Join.decode(join.encode()), join)
        self.assert_value_or_error(JoinReply.decode, body)


class LeaveTests(BodyTestCase):
    """Out of a room."""

    def test_leave(self) -> None:
        """A room, both ways."""
        self.assertEqual(Leave.decode(b'{"room": "a://1"}'), Leave("a://1"))
        self.assertEqual(json.loads(LeaveReply("a://1").encode()), {"room": "a://1"})

    def test_refusals(self) -> None:
        """No room, or none that could be one."""
        self.assert_all_bad(Leave.decode, (({}, "room"), ({"room": ""}, "room"), ({"room": "x" * 256}, "room")))

    @given(garbage("room"))
    def test_garbage(self, body: bytes) -> None:
        """Any body is a value or a ProtocolError."""
        self.assert_value_or_error(Leave.decode, body)
        self.assert_value_or_error(LeaveReply.decode, body)
