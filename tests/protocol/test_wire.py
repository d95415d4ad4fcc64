"""Wires: golden bytes on TCP and WebSocket, and frames of every size class."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imd.protocol.operation import Operation
from imd.protocol.packet import Packet, decode_message, encode, walk
from imd.protocol.wire import Wire, binary_frame

PUSH = bytes.fromhex("00000012 0010 0001 000003e8 00000000 6869")


class WireTests(SynchronousTestCase):
    """What a push looks like to each client."""

    def test_golden_push(self) -> None:
        """One push: bare on TCP; on WebSocket a frame, the raw header, and the same bytes."""
        wire = Wire(PUSH)
        self.assertEqual(wire.bytes_for(framed=False), PUSH)
        self.assertEqual(
            wire.bytes_for(framed=True), bytes.fromhex("82 22 00000022 0010 0001 00000009 00000000") + PUSH
        )

    def test_golden_merged(self) -> None:
        """Two pushes share a frame and a raw header."""
        expected = bytes.fromhex("82 34 00000034 0010 0001 00000009 00000000") + PUSH * 2
        self.assertEqual(Wire(PUSH * 2).frame, expected)

    def test_frame_is_made_once(self) -> None:
        """Every WebSocket client gets the same bytes object."""
        wire = Wire(PUSH)
        self.assertIs(wire.frame, wire.frame)

    @given(st.lists(st.binary(max_size=60), min_size=1, max_size=6))
    def test_walk(self, bodies: list[bytes]) -> None:
        """A receiver walks the frame's payload back to the packets."""
        packets = [Packet(1000, body) for body in bodies]
        frame = Wire(b"".join(map(encode, packets))).frame
        payload = frame[2:] if frame[1] < 126 else frame[4:]
        outer = decode_message(payload)
        self.assertEqual((outer.operation, outer.sequence), (Operation.RAW, 0))
        self.assertEqual(list(walk(outer.body)), packets)


class BinaryFrameTests(SynchronousTestCase):
    """RFC 6455 §5.2."""

    def test_length_forms(self) -> None:
        """The shortest of the three forms, at each border."""
        for size, head in ((0, 2), (125, 2), (126, 4), (65535, 4), (65536, 10), (70000, 10)):
            frame = binary_frame(b"x" * size)
            self.assertEqual((frame[0], frame[1]), (0x82, {2: size, 4: 126, 10: 127}[head]))
            self.assertEqual(len(frame), head + size)
            announced = int.from_bytes(frame[1:2] if head == 2 else frame[2:head])
            self.assertEqual(announced, size)
