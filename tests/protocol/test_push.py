"""Pushes as a broker keeps them."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imd.protocol.push import Push, Target, dump, fingerprint, load, partition_of

INT64 = st.integers(-(2**63), 2**63 - 1)
PUSHES = st.builds(
    Push,
    id=st.integers(0, 2**63 - 1),
    at_ms=st.integers(0, 2**53),
    target=st.sampled_from(Target),
    operation=st.integers(-(2**31), 2**31 - 1),
    body=st.binary(max_size=50),
    keys=st.lists(st.text(max_size=8), max_size=4).map(tuple),
    mids=st.lists(INT64, max_size=4).map(tuple),
    room=st.text(max_size=12),
    speed=st.integers(0, 2**31),
    server=st.text(max_size=8),
    boot=st.integers(0, 2**53),
    idempotency_key=st.text(max_size=8),
)


class PushTests(SynchronousTestCase):
    """To bytes and back."""

    @given(PUSHES)
    def test_round_trip(self, push: Push) -> None:
        """What was dumped is loaded."""
        self.assertEqual(load(dump(push)), push)

    def test_fields_are_positional(self) -> None:
        """The order of fields is the format that brokers hold: it must not change."""
        push = Push(1, 2, Target.ROOM, 3, b"b", ("k",), (4,), "t://n", 5, "s", 6, "i")
        stored = msgspec.msgpack.decode(dump(push))
        self.assertEqual(stored[:12], [1, 2, 3, 3, b"b", ["k"], [4], "t://n", 5, "s", 6, "i"])

    def test_shorter_and_longer(self) -> None:
        """An older push without the last fields is read with their defaults; a newer one's extra fields are ignored."""
        self.assertEqual(load(msgspec.msgpack.encode([1, 2, 4])), Push(1, 2, Target.ALL))
        longer = [*msgspec.msgpack.decode(dump(Push(1, 2, Target.ALL))), "later", 5]
        self.assertEqual(load(msgspec.msgpack.encode(longer)), Push(1, 2, Target.ALL))

    @given(st.binary(max_size=60), PUSHES, st.data())
    def test_garbage(self, garbage: bytes, push: Push, data: st.DataObject) -> None:
        """Any bytes, and any damage to a push, load or raise DecodeError, and nothing else."""
        damaged = bytearray(dump(push))
        for _ in range(3):
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
        for stored in (garbage, bytes(damaged), dump(push)[:-1]):
            try:
                load(stored)
            except msgspec.DecodeError:
                continue

    def test_bad_utf8_is_a_decode_error(self) -> None:
        """msgspec's own UnicodeDecodeError does not come through."""
        stored = dump(Push(1, 2, Target.ROOM, room="room")).replace(b"room", b"\xff\xff\xff\xff")
        self.assertRaises(msgspec.DecodeError, load, stored)

    def test_packet(self) -> None:
        """A push is the golden packet for version-1 clients."""
        self.assertEqual(
            Push(1, 2, Target.ALL, 1000, b"hi").packet, bytes.fromhex("00000012 0010 0001 000003e8 00000000 6869")
        )


class FingerprintTests(SynchronousTestCase):
    """Whether two pushes ask for the same."""

    PUSH = Push(1, 2, Target.ROOM, 3, b"b", ("k",), (4,), "t://n", 5, "s", 6, "i")

    def test_golden(self) -> None:
        """A known value: brokers keep them, and one that changed would make every repeated push a conflict."""
        self.assertEqual(fingerprint(self.PUSH).hex(), "726e79382b2ac67436e9d35551a4270c")

    def test_what_is_asked_for(self) -> None:
        """Id, time and idempotency key are not; target, operation, body, receivers and speed are."""
        replace = msgspec.structs.replace
        same = replace(self.PUSH, id=9, at_ms=9, idempotency_key="x")
        self.assertEqual(fingerprint(same), fingerprint(self.PUSH))
        asked = {"target": Target.ALL, "operation": 9, "body": b"x", "keys": (), "mids": (), "room": "x", "speed": 9}
        others = {fingerprint(replace(self.PUSH, **{name: value})) for name, value in asked.items()}
        self.assertEqual(len(others - {fingerprint(self.PUSH)}), len(asked))

    def test_kept_is_not_live(self) -> None:
        """The same push live and kept are two; for how long it is kept is the configuration's, and may change."""
        kept = msgspec.structs.replace(self.PUSH, keep_count=10, keep_ms=10)
        longer = msgspec.structs.replace(kept, keep_count=20, keep_ms=20)
        self.assertNotEqual(fingerprint(kept), fingerprint(self.PUSH))
        self.assertEqual(fingerprint(longer), fingerprint(kept))


class PartitionTests(SynchronousTestCase):
    """One target, one partition."""

    def test_golden(self) -> None:
        """Known values: a change would tear targets apart that older processes hold together."""
        self.assertEqual([partition_of(target, 16) for target in ("live://1000", "123", "")], [8, 2, 0])

    @given(st.text(), st.integers(1, 256))
    def test_range(self, target: str, partitions: int) -> None:
        """Every target has one of the partitions."""
        self.assertIn(partition_of(target, partitions), range(partitions))
