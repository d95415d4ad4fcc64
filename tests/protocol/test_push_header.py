"""The header of version-2 pushes: golden bytes both ways, every cut, then garbage."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imd.errors import CloseReason, ProtocolError
from imd.protocol.packet import HEADER_BYTES, Packet, PacketDecoder, decode_message, encode, walk
from imd.protocol.push_header import PushHeader, decode_push_header, encode_push

ROOM = bytes.fromhex(
    "00000038 0036 0002 000003e8 00000000 0000000000000007 0000000000000003 0000018bcfe56800 000c 6c6976653a2f2f3130303021 6869"
)
INBOX = bytes.fromhex(
    "0000002c 002a 0002 000003e8 00000000 0000000000000007 0000000000000000 0000018bcfe56800 0000 6869"
)
INT64 = st.integers(-(2**63), 2**63 - 1)
HEADERS = st.builds(
    PushHeader, id=INT64, seq=st.integers(0, 2**63 - 1), at_ms=INT64, timeline=st.text(max_size=30, alphabet="a:/ü")
)


class PushHeaderTests(SynchronousTestCase):
    """What a version-2 push says of itself."""

    def test_golden_bytes(self) -> None:
        """A kept push to a room, and a live one to a member: both ways, and its packet is one to every reader."""
        for data, header in (
            (ROOM, PushHeader(7, 3, 1_700_000_000_000, "live://1000!")),
            (INBOX, PushHeader(7, 0, 1_700_000_000_000, "")),
        ):
            made = encode_push(1000, b"hi", **header._asdict())
            self.assertEqual(made.hex(), data.hex())
            packet = decode_message(data, extensions=True)
            self.assertEqual(packet, Packet(1000, b"hi", 0, 2, data[HEADER_BYTES:-2]))
            self.assertEqual(decode_push_header(packet.extension), header)
            self.assertEqual(encode(packet), data)

    @given(st.integers(-(2**31), 2**31 - 1), st.binary(max_size=50), HEADERS)
    def test_round_trip(self, operation: int, body: bytes, header: PushHeader) -> None:
        """Any push comes back as it was."""
        (packet,) = walk(encode_push(operation, body, **header._asdict()), extensions=True)
        self.assertEqual((packet.operation, packet.body, packet.sequence, packet.version), (operation, body, 0, 2))
        self.assertEqual(decode_push_header(packet.extension), header)

    def test_every_cut(self) -> None:
        """A stream of pushes and replies, cut at each place."""
        stream = ROOM + encode(Packet(33, b"{}", 5, 2)) + INBOX
        whole = list(walk(stream, extensions=True))
        self.assertEqual(len(whole), 3)
        for cut in range(len(stream) + 1):
            decoder = PacketDecoder(extensions=True)
            self.assertEqual(list(decoder.feed(stream[:cut])) + list(decoder.feed(stream[cut:])), whole, cut)

    def test_bad_extensions(self) -> None:
        """One that is cut, too long, or says an impossible length, seq or name."""
        good = ROOM[HEADER_BYTES:-2]
        lies = [good[:cut] for cut in range(len(good))] + [good + b"x", good[:-1] + b"\xff"]
        lies.append(good[:8] + b"\xff" * 8 + good[16:])
        lies.append(good[:24] + b"\xff\xff")
        for lie in lies:
            with self.assertRaises(ProtocolError) as caught:
                decode_push_header(lie)
            self.assertEqual(caught.exception.reason, CloseReason.BAD_HEADER_LENGTH, lie)

    @given(st.binary(max_size=60))
    def test_garbage(self, extension: bytes) -> None:
        """Any bytes are a header or a ProtocolError; a header has exactly these bytes."""
        try:
            header = decode_push_header(extension)
        except ProtocolError:
            return
        self.assertEqual(encode_push(1, b"", **header._asdict())[HEADER_BYTES:], extension)
