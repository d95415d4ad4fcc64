"""Timelines' names, and messages as products store them."""

import msgspec
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


class NameTests(SynchronousTestCase):
    """One name inside, one for clients."""

    def test_a_room_is_no_inbox(self) -> None:
        """Whatever a room is called, its timeline's name is no member's."""
        self.assertEqual(room_timeline("live://1"), "r:live://1")
        self.assertEqual(inbox_timeline(-5), "m:-5")
        self.assertNotEqual(room_timeline("m:5"), inbox_timeline(5))

    def test_clients_call_a_room_by_its_id_and_their_inbox_nothing(self) -> None:
        """There and back, for the client of the inbox's member."""
        for timeline, name in (("r:live://a/b", "live://a/b"), ("r:r:", "r:"), ("m:7", "")):
            self.assertEqual(client_name(timeline), name)
            self.assertEqual(timeline_named(name, 7), timeline)

    def test_a_timeline_is_in_its_targets_partition(self) -> None:
        """What its partition is computed from is what a push's is."""
        self.assertEqual((target_of("r:live://1"), target_of("m:12")), ("live://1", "12"))


class StoredTests(SynchronousTestCase):
    """``dump`` and ``load``."""

    def test_stored_bytes(self) -> None:
        """They are kept for as long as products are: a change of them is a migration."""
        data = dump(7, 1_700_000_000_000, 1000, b"hi")
        self.assertEqual(data.hex(), "9407" + "cf0000018bcfe56800" + "cd03e8" + "c4026869")
        self.assertEqual(load(3, data), Message(3, 7, 1_700_000_000_000, 1000, b"hi"))

    def test_anything_else_is_refused(self) -> None:
        """What no imd stored is no message."""
        for data in (b"", b"\x94", b"\x90", b"hello", dump(1, 2, 3, b"")[:-1]):
            self.assertRaises(msgspec.DecodeError, load, 1, data)
