"""Frames from clients: golden bytes, every cut, every rule of RFC 6455, then garbage."""

from collections.abc import Iterable
from struct import pack

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imd.errors import CloseReason, ProtocolError
from imd.protocol.websocket_frame import (
    MAX_CONTROL_BYTES,
    FrameDecoder,
    Opcode,
    close_frame,
    close_reply,
    control_frame,
    unmask,
)
from tests.support.websocket_bytes import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, frame

MAX = 70_000  # so that each of the three lengths is legal
HELLO = bytes.fromhex("8185 37fa213d 7f9f4d5158")  # RFC 6455 §5.7
SIZES = (0, 1, 3, 4, 125, 126, 65535, 65536)

Found = list[tuple[Opcode, bytes]]


def read(parts: Iterable[bytes], limit: int = MAX) -> Found:
    """What one decoder makes of them. Nothing may be left over."""
    decoder = FrameDecoder(limit)
    found = [event for part in parts for event in decoder.feed(part)]
    assert not decoder.unfinished
    return found


class FrameDecoderTests(SynchronousTestCase):
    """What is legal."""

    def test_golden_bytes(self) -> None:
        """The RFC's own masked examples; text is bytes."""
        self.assertEqual(read([HELLO]), [(Opcode.BINARY, b"Hello")])
        self.assertEqual(read([bytes.fromhex("8985 37fa213d 7f9f4d5158")]), [(Opcode.PING, b"Hello")])
        self.assertEqual(read([bytes.fromhex("8a85 37fa213d 7f9f4d5158")]), [(Opcode.PONG, b"Hello")])

    def test_lengths(self) -> None:
        """Around each border between two ways to say a length."""
        for size in SIZES:
            payload = bytes(number % 251 for number in range(size))
            for opcode in (TEXT, BINARY):
                self.assertEqual(read([frame(payload, opcode)]), [(Opcode.BINARY, payload)], size)

    def test_cut_anywhere(self) -> None:
        """Fragments, empty ones too, with control frames between them; every cut, and byte by byte."""
        data = (
            frame(b"", TEXT, final=False)
            + frame(b"ab", CONTINUATION, final=False)
            + frame(b"?", PING)
            + frame(b"", CONTINUATION, final=False)
            + frame(b"", PONG)
            + frame(b"c" * 130, CONTINUATION)
            + HELLO
            + frame(pack(">H", 1000), CLOSE)
        )
        fragment = (Opcode.CONTINUATION, b"")
        expected = [
            *(fragment, fragment),
            (Opcode.PING, b"?"),
            fragment,
            (Opcode.PONG, b""),
            (Opcode.BINARY, b"ab" + b"c" * 130),
            (Opcode.BINARY, b"Hello"),
            (Opcode.CLOSE, pack(">H", 1000)),
        ]
        for cut in range(len(data) + 1):
            self.assertEqual(read([data[:cut], data[cut:]]), expected, cut)
        self.assertEqual(read([data[at : at + 1] for at in range(len(data))]), expected)

    def test_every_opcode_is_what_it_says(self) -> None:
        """The decoder answers members of the Enum, for whoever compares them by identity."""
        for opcode in (Opcode.BINARY, Opcode.CLOSE, Opcode.PING, Opcode.PONG):
            self.assertIs(read([frame(b"", opcode)])[0][0], opcode)

    @given(st.lists(st.tuples(st.binary(max_size=300), st.integers(1, 4)), max_size=6), st.integers(1, 40))
    def test_any_messages(self, messages: list[tuple[bytes, int]], step: int) -> None:
        """Whatever the messages, their fragments and the pieces that come: the same messages."""
        data = b""
        for payload, pieces in messages:
            size = len(payload) // pieces + 1
            parts = [payload[at : at + size] for at in range(0, len(payload) or 1, size)]
            for number, part in enumerate(parts):
                data += frame(part, CONTINUATION if number else BINARY, final=number == len(parts) - 1)
        found = read([data[at : at + step] for at in range(0, len(data), step)])
        whole = [event for event in found if event[0] is not Opcode.CONTINUATION]
        assert whole == [(Opcode.BINARY, payload) for payload, _ in messages]

    def test_what_is_held(self) -> None:
        """An unfinished frame and an unfinished message, and nothing between messages."""
        decoder = FrameDecoder(MAX)
        for data, held, unfinished in (
            (b"", 0, False),
            (frame(b"abc", final=False), 3, True),
            (frame(b"", CONTINUATION, final=False) * 1000, 3, True),
            (frame(b"d", CONTINUATION)[:4], 7, True),
            (frame(b"d", CONTINUATION)[4:6], 9, True),
            (frame(b"d", CONTINUATION)[6:], 0, False),
        ):
            list(decoder.feed(data))
            self.assertEqual((decoder.buffered_bytes, decoder.unfinished), (held, unfinished), data[:20])


class RuleTests(SynchronousTestCase):
    """What is not legal."""

    def assert_refused(
        self, data: bytes, reason: CloseReason = CloseReason.BAD_WEBSOCKET, *, limit: int = 1000
    ) -> None:
        """After a good message; in one piece and byte by byte."""
        for parts in ([HELLO + data], [HELLO, *(data[at : at + 1] for at in range(len(data)))]):
            decoder = FrameDecoder(limit)
            found: Found = []
            with self.assertRaises(ProtocolError) as caught:
                for part in parts:
                    found.extend(decoder.feed(part))
            self.assertIs(caught.exception.reason, reason, data)
            self.assertEqual(found[0], (Opcode.BINARY, b"Hello"))

    def test_first_bytes(self) -> None:
        """Of all 256, nine begin a frame; two of them only inside a message. Two bytes tell."""
        begin = {0x01, 0x02, 0x81, 0x82, 0x88, 0x89, 0x8A}
        inside = {0x00, 0x80, 0x88, 0x89, 0x8A}
        for first in range(256):
            for good, before in ((begin, b""), (inside, frame(b"x", final=False))):
                decoder = FrameDecoder(1000)
                list(decoder.feed(before))
                if first in good:
                    self.assertEqual(list(decoder.feed(bytes([first, 0x80]))), [])
                else:
                    self.assertRaises(ProtocolError, list, decoder.feed(bytes([first, 0x80])))

    def test_no_mask(self) -> None:
        """Two bytes tell, of every length and kind."""
        for first in (0x81, 0x82, 0x01, 0x88, 0x89):
            for second in (0, 1, 125, 126, 127):
                self.assert_refused(bytes([first, second]))

    def test_control_frames(self) -> None:
        """They are short, which two bytes tell."""
        for first in (0x88, 0x89, 0x8A):
            self.assert_refused(bytes([first, 0xFE]))
            self.assert_refused(bytes([first, 0xFF]))
        self.assertEqual(read([frame(b"x" * 125, PING)]), [(Opcode.PING, b"x" * 125)])

    def test_lengths_are_minimal(self) -> None:
        """A short length said in a long way, and one of 64 bits."""
        for size in (0, 125):
            self.assert_refused(b"\x82\xfe" + pack(">H", size))
        for size in (0, 125, 126, 65535, 1 << 63, (1 << 64) - 1):
            self.assert_refused(b"\x82\xff" + pack(">Q", size))

    def test_limit(self) -> None:
        """The announced length is enough, of a frame and of fragments together; the limit itself is legal."""
        too_large = CloseReason.PACKET_TOO_LARGE
        self.assert_refused(b"\x82\xfe" + pack(">H", 1001), too_large)
        self.assert_refused(b"\x82\xff" + pack(">Q", (1 << 63) - 1), too_large)
        self.assert_refused(b"\x82\xe5", too_large, limit=100)
        self.assert_refused(frame(b"x" * 999, final=False) + frame(b"yz", CONTINUATION)[:2], too_large)
        pieces = frame(b"x" * 999, final=False) + frame(b"y", CONTINUATION)
        found = read([pieces, frame(b"z" * 1000)], 1000)
        self.assertEqual(found, [(0, b""), (2, b"x" * 999 + b"y"), (2, b"z" * 1000)])

    def test_control_frames_do_not_count(self) -> None:
        """A ping in a message that is full."""
        data = frame(b"x" * 100, final=False) + frame(b"?" * 125, PING) + frame(b"", CONTINUATION)
        self.assertEqual(read([data], 100), [(0, b""), (9, b"?" * 125), (2, b"x" * 100)])

    @given(st.lists(st.binary(max_size=30), max_size=6))
    def test_garbage(self, parts: list[bytes]) -> None:
        """It is decoded or refused, and never held beyond the limit."""
        decoder = FrameDecoder(100)
        try:
            for part in parts:
                for opcode, payload in decoder.feed(part):
                    assert len(payload) <= (100 if opcode is Opcode.BINARY else MAX_CONTROL_BYTES)
                assert decoder.buffered_bytes <= 100 + 6 + MAX_CONTROL_BYTES
        except ProtocolError as error:
            assert error.reason in (CloseReason.BAD_WEBSOCKET, CloseReason.PACKET_TOO_LARGE)


class MaskTests(SynchronousTestCase):
    """Masks."""

    @given(st.binary(max_size=70), st.binary(min_size=4, max_size=4))
    def test_byte_by_byte(self, payload: bytes, mask: bytes) -> None:
        """Each byte with the mask's byte at its place; twice is nothing."""
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
        assert unmask(payload, mask) == masked
        assert unmask(masked, mask) == payload


class AnswerTests(SynchronousTestCase):
    """What a client gets."""

    def test_bytes(self) -> None:
        """A pong, and a close frame with the code and label of a reason."""
        self.assertEqual(control_frame(Opcode.PONG, b"hi"), b"\x8a\x02hi")
        for reason in CloseReason:
            body = pack(">H", reason.code) + reason.label.encode()
            self.assertEqual(close_frame(reason.code, reason.label), bytes([0x88, len(body)]) + body)

    def test_a_close_is_answered_with_its_status(self) -> None:
        """Its reason is not repeated."""
        self.assertEqual(close_reply(b""), b"\x88\x00")
        for status in (1000, 1001, 1003, 1007, 1011, 1014, 3000, 4999):
            body = pack(">H", status)
            self.assertEqual(close_reply(body), b"\x88\x02" + body)
            self.assertEqual(close_reply(body + "grüße".encode()), b"\x88\x02" + body)

    def test_closes_against_the_rfc(self) -> None:
        """Half a status, statuses that nobody may send, and a reason that is no UTF-8."""
        bad = (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
        for payload in (b"\x03", *(pack(">H", status) for status in bad), pack(">H", 1000) + b"\xff"):
            with self.assertRaises(ProtocolError) as caught:
                close_reply(payload)
            self.assertIs(caught.exception.reason, CloseReason.BAD_WEBSOCKET, payload)
