"""Ops 4 and 5 of version 2."""

import json

from hypothesis import given
from hypothesis import strategies as st

from imd.protocol.send import SendMessage, SendReply
from tests.protocol.body_case import BodyTestCase, dump, garbage

INT64 = st.integers(-(2**63), 2**63 - 1)


class SendMessageTests(BodyTestCase):
    """A message from a client."""

    def test_to_a_room(self) -> None:
        """Text is text."""
        message = SendMessage(op=1000, body="é".encode(), room="a://1", client_id="c")
        said = {"to": {"room": "a://1"}, "op": 1000, "body": "é", "client_id": "c"}
        self.assertEqual(json.loads(message.encode()), said)
        self.assertEqual(SendMessage.decode(message.encode()), message)

    def test_to_a_member(self) -> None:
        """A member's id is a string or a number; what is no text goes as base64."""
        message = SendMessage(op=1001, body=b"\xff", mid=2**60)
        self.assertEqual(json.loads(message.encode()), {"to": {"mid": str(2**60)}, "op": 1001, "body_base64": "/w=="})
        self.assertEqual(SendMessage.decode(message.encode()), message)
        self.assertEqual(SendMessage.decode(b'{"to": {"mid": 5}, "op": 1000, "body": ""}').mid, 5)

    def test_refusals(self) -> None:
        """What is wrong is named: nobody or two to send to, no body or two, and operations that are the wire's own."""
        good = {"to": {"mid": 5}, "op": 1000, "body": "x"}
        self.assert_all_bad(
            SendMessage.decode,
            (
                *((good | {"to": to}, "to") for to in (None, {}, {"room": "a", "mid": 1}, {"room": ""}, {"room": 1})),
                *((good | {"to": {"mid": mid}}, "mid") for mid in (0, "0", "x", 2**63, 1.5, True)),
                *((good | {"to": {"room": "x" * 256}}, "room") for _ in range(1)),
                *((good | {"op": op}, "op") for op in (None, 999, 9, 0, -1, 2**31, "1000")),
                (good | {"body": None}, "body"),
                (good | {"body_base64": "eA=="}, "body"),
                (good | {"body": None, "body_base64": "x"}, "base64"),
                (good | {"body": None, "body_base64": "é"}, "base64"),
                (good | {"client_id": "x" * 129}, "client_id"),
            ),
        )
        self.assertEqual(SendMessage.decode(dump(good)).body, b"x")

    @given(st.integers(1000, 2**31 - 1), st.binary(max_size=50), INT64.filter(bool), st.text(max_size=20))
    def test_round_trip(self, op: int, body: bytes, mid: int, client_id: str) -> None:
        """Any message comes back."""
        message = SendMessage(op=op, body=body, mid=mid, client_id=client_id)
        self.assertEqual(SendMessage.decode(message.encode()), message)

    @given(garbage("to", "room", "mid", "op", "body", "body_base64", "client_id", "id", "seq", "at"))
    def test_garbage(self, body: bytes) -> None:
        """Any body is a value or a ProtocolError."""
        self.assert_value_or_error(SendMessage.decode, body)
        self.assert_value_or_error(SendReply.decode, body)


class SendReplyTests(BodyTestCase):
    """It was accepted."""

    def test_reply(self) -> None:
        """The id is a string: JavaScript's numbers are too short for it."""
        reply = SendReply(id=2**60, seq=4, at=1_700_000_000_000)
        self.assertEqual(json.loads(reply.encode()), {"id": str(2**60), "seq": 4, "at": 1_700_000_000_000})
        self.assertEqual(SendReply.decode(reply.encode()), reply)
