"""The load client counts what is there: packets.h, by golden bytes that a person can check."""

from tests.benchmarks.program_case import ProgramCase

HI = bytes.fromhex("00000012 0010 0001 000003e8 00000000 6869")  # a push of "hi", operation 1000
REPLY = bytes.fromhex("00000010 0010 0001 00000008 00000001")  # op 8
KEPT = bytes.fromhex(  # the push of "hi" as a version-2 client gets it, of room chat://1
    "00000034 0032 0002 000003e8 00000000 0000000000000007 0000000000000003 0000018bcfe56800 0008 636861743a2f2f31 6869"
)
ENVELOPE = bytes.fromhex("00000034 0010 0001 00000009 00000000") + HI + HI


class StreamTests(ProgramCase):
    """Packets back to back, as on TCP."""

    transport = "tcp"
    stream = REPLY + HI + KEPT + HI
    said: tuple[str, ...] = ("8 ", "1000 6869", "1000 6869", "1000 6869")

    def walk(self, data: bytes) -> tuple[list[str], int]:
        *packets, used = self.self_test(self.transport, data)
        return packets, int(used.removeprefix("used "))

    def test_all_of_them(self) -> None:
        """Each packet is visited once, in order, whatever the length of its header."""
        self.assertEqual(self.walk(self.stream), (list(self.said), len(self.stream)))

    def test_at_every_cut(self) -> None:
        """What is before a cut and what is left over with what is behind it make the same packets."""
        for cut in range(len(self.stream) + 1):
            first, used = self.walk(self.stream[:cut])
            rest, left = self.walk(self.stream[used:])
            self.assertEqual((*first, *rest), self.said, cut)
            self.assertEqual(used + left, len(self.stream), cut)

    def test_no_packet(self) -> None:
        """A length that cannot be is a fault, and nothing behind it is read."""
        for length in ("00000000", "0000000f", "ffffffff", "7fffffff", "00100001"):
            bad = bytes.fromhex(length) + HI[4:]
            self.assertEqual(self.walk(HI + bad + HI), (["1000 6869"], -1), length)
        self.assertEqual(self.walk(HI[:4] + b"\0\x0f" + HI[6:])[1], -1)


class FrameTests(StreamTests):
    """Frames with a packet or an envelope each, as on WebSocket."""

    transport = "websocket"
    long = HI * 12  # its frame's length takes two bytes
    stream = (
        b"\x82\x10" + REPLY + b"\x82\x34" + ENVELOPE + b"\x89\x01x"
        + b"\x82\x7e\x00\xe8" + bytes.fromhex("000000e8 0010 0001 00000009 00000000") + long
    )  # fmt: skip
    said = ("8 ", "1000 6869", "1000 6869", "-9 78", *["1000 6869"] * 12)

    def test_no_packet(self) -> None:
        """A mask, a fragment, a length beyond the limit, or a packet that does not fill its frame."""
        for bad in (
            b"\x82\xb4\0\0\0\0" + ENVELOPE,
            b"\x02\x34" + ENVELOPE,
            b"\x82\x7f\0\0\0\0\x7f\0\0\0" + ENVELOPE,
            b"\x82\x35" + ENVELOPE + b"x",
            b"\x82\x10" + ENVELOPE[:16],
            b"\x82\x00",
        ):
            self.assertEqual(self.walk(bad)[1], -1, bad.hex())
