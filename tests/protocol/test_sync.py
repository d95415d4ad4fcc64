"""Ops 38 and 39."""

import json

from hypothesis import given

from imd.protocol.sync import MAX_SYNC_MESSAGES, Sync, SyncReply
from tests.protocol.body_case import BodyTestCase, garbage


class SyncTests(BodyTestCase):
    """A part of a timeline again."""

    def test_sync(self) -> None:
        """What is not said has its default."""
        self.assertEqual(Sync.decode(b'{"timeline": "", "after": 7}'), Sync("", 7, 100, ""))
        whole = Sync("a://1", 7, MAX_SYNC_MESSAGES, "e")
        self.assertEqual(json.loads(whole.encode()), {"timeline": "a://1", "after": 7, "limit": 1000, "epoch": "e"})
        self.assertEqual(Sync.decode(whole.encode()), whole)

    def test_refusals(self) -> None:
        """What is wrong is named."""
        self.assert_all_bad(
            Sync.decode,
            (
                ({"after": 1}, "timeline"),
                ({"timeline": ""}, "after"),
                ({"timeline": "x" * 256, "after": 1}, "timeline"),
                ({"timeline": "", "after": -1}, "after"),
                ({"timeline": "", "after": 1, "limit": 0}, "limit"),
                ({"timeline": "", "after": 1, "limit": MAX_SYNC_MESSAGES + 1}, "limit"),
                ({"timeline": "", "after": 1, "epoch": "x" * 65}, "epoch"),
            ),
        )

    def test_reply(self) -> None:
        """Everything is said."""
        reply = SyncReply(timeline="", last=9, more=False, epoch="e", recovered=True)
        said = {"timeline": "", "last": 9, "more": False, "epoch": "e", "recovered": True}
        self.assertEqual(json.loads(reply.encode()), said)
        self.assertEqual(SyncReply.decode(reply.encode()), reply)

    @given(garbage("timeline", "after", "limit", "epoch", "last", "more", "recovered"))
    def test_garbage(self, body: bytes) -> None:
        """Any body is a value, which survives the way there and back, or a ProtocolError."""
        sync = self.assert_value_or_error(Sync.decode, body)
        if sync is not None:
            self.assertEqual(Sync.decode(sync.encode()), sync)
        self.assert_value_or_error(SyncReply.decode, body)
