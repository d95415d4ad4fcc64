"""The packet codec: golden bytes both ways, every cut, then garbage."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imd.errors import CloseReason, ProtocolError
from imd.protocol.packet import (
    HEADER,
    HEADER_BYTES,
    MAX_BODY_BYTES,
    Packet,
    PacketDecoder,
    decode_message,
    encode,
    walk,
)

GOLDEN = {
    "00000010 0010 0001 00000002 00000001": Packet(2, b"", 1),
    "00000014 0010 0001 00000003 00000001 00000005": Packet(3, b"\0\0\0\5", 1),
    "00000010 0010 0001 00000008 00000001": Packet(8, b"", 1),
    "00000011 0010 0001 0000000c 00000002 61": Packet(12, b"a", 2),
    "00000011 0010 0001 0000000d 00000002 61": Packet(13, b"a", 2),
    "00000012 0010 0001 000003e8 00000000 6869": Packet(1000, b"hi", 0),
    "00000010 0010 0000 00000002 ffffffff": Packet(2, b"", -1, 0),
}
INT32 = st.integers(-(2**31), 2**31 - 1)
PACKETS = st.builds(
    Packet,
    operation=INT32,
    body=st.binary(max_size=300),
    sequence=INT32,
    version=st.integers(-(2**15), 2**15 - 1),
)
LIES = (
    (HEADER.pack(16, 15, 1, 2, 1), CloseReason.BAD_HEADER_LENGTH),
    (HEADER.pack(16, 0, 1, 2, 1), CloseReason.BAD_HEADER_LENGTH),
    (HEADER.pack(16, -1, 1, 2, 1), CloseReason.BAD_HEADER_LENGTH),
    (HEADER.pack(18, 18, 1, 2, 1), CloseReason.BAD_HEADER_LENGTH),
    (HEADER.pack(15, 16, 1, 2, 1), CloseReason.BAD_PACKET_LENGTH),
    (HEADER.pack(0, 16, 1, 2, 1), CloseReason.BAD_PACKET_LENGTH),
    (HEADER.pack(-(2**31), 16, 1, 2, 1), CloseReason.BAD_PACKET_LENGTH),
    (HEADER.pack(HEADER_BYTES + MAX_BODY_BYTES + 1, 16, 1, 2, 1), CloseReason.PACKET_TOO_LARGE),
    (HEADER.pack(2**31 - 1, 16, 1, 2, 1), CloseReason.PACKET_TOO_LARGE),
)


class CodecTests(SynchronousTestCase):
    """Packets as whole messages."""

    def test_golden_bytes(self) -> None:
        """Each line of the protocol page, both ways."""
        for text, packet in GOLDEN.items():
            data = bytes.fromhex(text)
            self.assertEqual(encode(packet), data)
            self.assertEqual(decode_message(data), packet)

    @given(PACKETS)
    def test_round_trip(self, packet: Packet) -> None:
        """What was encoded is decoded, as a message and by a walk."""
        self.assertEqual(decode_message(encode(packet)), packet)
        self.assertEqual(list(walk(encode(packet) * 3)), [packet] * 3)

    def test_lies(self) -> None:
        """A header that cannot be true is refused by name, on its own, with its body, and by a decoder."""
        for header, reason in LIES:
            for data in (header, header + b"x" * 40):
                with self.assertRaises(ProtocolError) as caught:
                    decode_message(data)
                self.assertEqual(caught.exception.reason, reason, header)
                with self.assertRaises(ProtocolError) as caught:
                    list(PacketDecoder().feed(data))
                self.assertEqual(caught.exception.reason, reason, header)

    def test_message_is_exactly_one_packet(self) -> None:
        """Every cut of a message, and every byte too many, is a mismatch: nothing beyond the message is read."""
        data = encode(Packet(4, b"body", 1))
        for wrong in [data[:cut] for cut in range(len(data))] + [data + b"x", data + data]:
            with self.assertRaises(ProtocolError) as caught:
                decode_message(wrong)
            self.assertEqual(caught.exception.reason, CloseReason.MESSAGE_LENGTH_MISMATCH)

    def test_largest_body(self) -> None:
        """The limit itself is allowed."""
        packet = Packet(4, b"x" * 10)
        self.assertEqual(decode_message(encode(packet), 10), packet)
        self.assertEqual(list(PacketDecoder(10).feed(encode(packet))), [packet])
        with self.assertRaises(ProtocolError):
            decode_message(encode(packet), 9)

    @given(st.binary(max_size=64))
    def test_garbage_message(self, data: bytes) -> None:
        """Any bytes are a packet or a ProtocolError, and nothing else."""
        try:
            packet = decode_message(data)
        except ProtocolError:
            return
        self.assertEqual(encode(packet), data)

    def test_walk_must_fill(self) -> None:
        """A raw body that ends within a packet is refused, and an empty one is none."""
        data = encode(Packet(1000, b"hi"))
        self.assertEqual(list(walk(b"")), [])
        for cut in range(1, len(data)):
            with self.assertRaises(ProtocolError):
                list(walk(data + data[:cut]))


class PacketDecoderTests(SynchronousTestCase):
    """Packets out of a stream."""

    def setUp(self) -> None:
        self.data = b"".join(bytes.fromhex(text) for text in GOLDEN)
        self.packets = list(GOLDEN.values())

    def test_every_cut(self) -> None:
        """The golden stream in two parts, cut at each place."""
        for cut in range(len(self.data) + 1):
            decoder = PacketDecoder()
            got = list(decoder.feed(self.data[:cut])) + list(decoder.feed(self.data[cut:]))
            self.assertEqual(got, self.packets, cut)
            self.assertEqual(decoder.buffered_bytes, 0)

    def test_byte_by_byte(self) -> None:
        """The golden stream, one byte a time."""
        decoder = PacketDecoder()
        got = [packet for byte in self.data for packet in decoder.feed(bytes([byte]))]
        self.assertEqual(got, self.packets)

    @given(st.lists(PACKETS, max_size=8), st.data())
    def test_any_packets_cut_anywhere(self, packets: list[Packet], data: st.DataObject) -> None:
        """Any packets, in any parts."""
        stream = b"".join(map(encode, packets))
        cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
        decoder = PacketDecoder()
        got = []
        for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
            got += list(decoder.feed(stream[start:end]))
        self.assertEqual(got, packets)

    @given(st.lists(st.binary(max_size=80), max_size=8))
    def test_garbage(self, parts: list[bytes]) -> None:
        """Any bytes end as packets or in a ProtocolError, and what is held stays below one packet."""
        decoder = PacketDecoder(max_body_bytes=32)
        try:
            for part in parts:
                list(decoder.feed(part))
                self.assertLess(decoder.buffered_bytes, HEADER_BYTES + 32)
        except ProtocolError:
            self.assertEqual(decoder.buffered_bytes, 0)

    def test_good_packets_before_a_bad_one(self) -> None:
        """What came before the lie is handed out first."""
        feed = PacketDecoder().feed(self.data + LIES[0][0])
        self.assertEqual([next(feed) for _ in self.packets], self.packets)
        self.assertRaises(ProtocolError, next, feed)

    def test_too_large_before_its_body(self) -> None:
        """The header alone is enough: no body is waited for."""
        with self.assertRaises(ProtocolError):
            list(PacketDecoder(8).feed(HEADER.pack(HEADER_BYTES + 9, HEADER_BYTES, 1, 4, 1)))
