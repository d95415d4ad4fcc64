"""Op 8 to version-2 clients."""

import json

from hypothesis import given

from imd.protocol.auth_reply import Allowance, AuthReply, Standing
from tests.protocol.body_case import BodyTestCase, garbage

REPLY = AuthReply(
    key="k",
    mid=17,
    server="c1",
    heartbeat_seconds=240,
    timelines={"": Standing(seq=7, epoch="e-0", recovered=True), "live://1": Standing(0, "", True, 12)},
    limits=Allowance(rooms=100, body_bytes=4096, packets_per_second=50),
)


class AuthReplyTests(BodyTestCase):
    """Where everything stands."""

    def test_encoding(self) -> None:
        """As the protocol page has it: a member's id is a string, and only rooms say how many are in them."""
        said = {
            "key": "k",
            "mid": "17",
            "server": "c1",
            "heartbeat_seconds": 240,
            "timelines": {
                "": {"seq": 7, "epoch": "e-0", "recovered": True},
                "live://1": {"seq": 0, "epoch": "", "recovered": True, "online": 12},
            },
            "limits": {"rooms": 100, "body_bytes": 4096, "packets_per_second": 50},
        }
        self.assertEqual(json.loads(REPLY.encode()), said)
        self.assertEqual(AuthReply.decode(REPLY.encode()), REPLY)

    def test_heartbeats_without_a_pause(self) -> None:
        """Nobody is told to send them; a client would do nothing else."""
        self.assert_all_bad(
            AuthReply.decode, [(json.loads(REPLY.encode()) | {"heartbeat_seconds": 0}, "heartbeat_seconds")]
        )

    @given(garbage(*AuthReply.__struct_fields__, "seq", "epoch", "recovered"))
    def test_garbage(self, body: bytes) -> None:
        """Any body is a reply or a ProtocolError."""
        self.assert_value_or_error(AuthReply.decode, body)
