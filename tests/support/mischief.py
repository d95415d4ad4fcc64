"""What a hostile or broken client may send; good packets are among it, so that it gets somewhere."""

from random import Random

from imd.errors import CloseReason
from imd.protocol.packet import HEADER, HEADER_BYTES, MAX_BODY_BYTES
from tests.support.websocket_bytes import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, frame, upgrade

LARGEST = HEADER_BYTES + MAX_BODY_BYTES

BODIES = (
    b"",
    b"{}",
    b'{"mid":1,"key":"a","room_id":"live://1","accepts":[1000]}',
    b'{"key":"b","platform":"web"}',
    b'{"mid":"1"}',
    b'{"token":"bad"}',
    b'{"room_id":"' + b"x" * 300 + b'"}',
    b"[" * 3000,
    b"null",
    b"live://2",
    b"1,2,3",
    b"1,,2",
    b"\xff\xfe",
    b"9" * 60,
)
OPERATIONS = (2, 4, 7, 7, 7, 12, 14, 16, 3, 5, 6, 8, 9, 1000, 0, -1, 2**31 - 1, -(2**31))
EDGES = (0, 1, 15, 16, 17, LARGEST, LARGEST + 1, 65535, 2**31 - 1, -1, -16, -(2**31))


class Mischief:
    """One client's doings, drawn from ``random``."""

    def __init__(self, random: Random) -> None:
        self._random = random

    # --- packets

    def packet(self) -> bytes:
        """A good packet, as far as the codec goes."""
        random = self._random
        body = random.choice(BODIES)
        sequence = random.choice((0, 1, -1, 2**31 - 1))
        version = random.choice((1, 1, 1, 0, 2, -(2**15)))
        return HEADER.pack(HEADER_BYTES + len(body), HEADER_BYTES, version, random.choice(OPERATIONS), sequence) + body

    def lie(self) -> bytes:
        """A header that may be anything, and a few bytes."""
        random = self._random
        length = random.choice(EDGES)
        header_length = random.choice((16, 16, 16, 0, 15, 17, -1, 2**15 - 1))
        return HEADER.pack(length, header_length, 1, random.choice(OPERATIONS), 1) + self.garbage(40)

    def garbage(self, most: int) -> bytes:
        """Any bytes."""
        return self._random.randbytes(self._random.randint(0, most))

    def stream(self) -> bytes:
        """A few of these, back to back; the last may be cut short."""
        random = self._random
        parts = [
            random.choice((self.packet, self.packet, self.packet, self.lie, lambda: self.garbage(40)))()
            for _ in range(random.randint(1, 5))
        ]
        data = b"".join(parts)
        return data if random.randint(0, 3) else data[: random.randint(0, len(data))]

    def cut(self, data: bytes) -> list[bytes]:
        """The same bytes, in up to four parts."""
        cuts = sorted(self._random.randint(0, len(data)) for _ in range(self._random.randint(0, 3)))
        return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True) if end > start]

    # --- WebSocket

    def message(self) -> bytes:
        """The payload of a message: a packet, a part of one, two, a lie, garbage."""
        random = self._random
        packet = self.packet()
        return random.choice(
            (
                lambda: packet,
                lambda: packet,
                lambda: packet[: random.randint(0, len(packet))],
                lambda: packet + self.packet(),
                lambda: packet + b"x",
                self.lie,
                lambda: self.garbage(60),
                lambda: bytes(LARGEST + random.randint(-1, 1)),
            )
        )()

    def frames(self) -> bytes:
        """A few frames: whole messages, fragments, control frames, frames against the RFC, garbage."""
        return b"".join(self._frames() for _ in range(self._random.randint(1, 5)))

    def _frames(self) -> bytes:
        random = self._random
        message = self.message()
        at = random.randint(0, len(message))
        return random.choice(
            (
                lambda: frame(message, random.choice((TEXT, BINARY))),
                lambda: frame(message, random.choice((TEXT, BINARY))),
                lambda: frame(message[:at], final=False) + frame(message[at:], CONTINUATION),
                lambda: frame(message[:at], final=False) + frame(b"x", PING) + frame(message[at:], CONTINUATION),
                lambda: frame(b"", final=False) + frame(b"", CONTINUATION, final=False) * random.randint(1, 50),
                lambda: frame(message[:125], random.choice((CLOSE, PING, PONG))),
                lambda: frame(message, random.randint(0, 15), final=bool(at % 2), masked=bool(at % 3)),
                lambda: frame(message, reserved=random.randint(0, 7)),
                lambda: frame(message)[:at],
                lambda: bytes([0x82, 0xFF]) + random.randbytes(12),
                lambda: self.garbage(40),
            )
        )()

    def request(self) -> bytes:
        """An upgrade; now and then a broken one."""
        random = self._random
        good = upgrade()
        if random.randint(0, 3):
            return good
        at = random.randrange(len(good))
        return random.choice(
            (
                lambda: good[:at] + random.randbytes(1) + good[at + 1 :],
                lambda: good[:at] + good[at + 5 :],
                lambda: upgrade(random.choice(("/", "/sub?x=%ff", "//sub", "http://[", "/sub#x", "*", "/\xe9"))),
                lambda: upgrade(drop=random.choice(("Host", "Upgrade", "Connection", "Sec-WebSocket-Key"))),
                lambda: upgrade(Sec_WebSocket_Extensions=random.choice(('"', "permessage-deflate", ";;=", 'a;b="c'))),
                lambda: upgrade(Host=random.choice(("", ":", "a:b", "[::1]:x"))),
                lambda: upgrade(Origin=random.choice(("null", "x", "http://", "http://[", "http://a:b"))),
                lambda: b"x" * random.choice((100, 8192, 9000)),
                lambda: self.garbage(60) + b"\r\n\r\n",
            )
        )()


def verdict(stream: bytes) -> CloseReason | None:
    """Why a stream must end, by a second reading of the protocol page; None when nothing in it is wrong (yet)."""
    start = 0
    while len(stream) - start >= 16:
        length = int.from_bytes(stream[start : start + 4], signed=True)
        if stream[start + 4 : start + 6] != b"\x00\x10":
            return CloseReason.BAD_HEADER_LENGTH
        if length < 16:
            return CloseReason.BAD_PACKET_LENGTH
        if length > LARGEST:
            return CloseReason.PACKET_TOO_LARGE
        start += length
    return None
