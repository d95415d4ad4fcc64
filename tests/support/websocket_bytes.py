"""WebSocket as a client writes it, byte by byte, so that a test can be wrong on purpose."""

from struct import pack

MASK = b"\x01\x02\x03\x04"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # of RFC 6455 §1.3, whose answer is ACCEPT
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10


def upgrade(path: str = "/sub", *, drop: str = "", method: str = "GET", **headers: str) -> bytes:
    """The request for an upgrade. ``headers`` replace or add (``_`` stands for ``-``), ``drop`` leaves one out."""
    fields = {
        "Host": "localhost",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": KEY,
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    fields.pop(drop, None)
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def frame(payload: bytes, opcode: int = BINARY, *, final: bool = True, masked: bool = True, reserved: int = 0) -> bytes:
    """One frame from a client."""
    first = (0x80 if final else 0) | reserved << 4 | opcode
    mask_bit = 0x80 if masked else 0
    size = len(payload)
    if size < 126:
        head = pack(">BB", first, mask_bit | size)
    elif size < 65536:
        head = pack(">BBH", first, mask_bit | 126, size)
    else:
        head = pack(">BBQ", first, mask_bit | 127, size)
    if not masked:
        return head + payload
    mask = MASK * (size // 4 + 1)
    return head + MASK + bytes(byte ^ key for byte, key in zip(payload, mask, strict=False))
