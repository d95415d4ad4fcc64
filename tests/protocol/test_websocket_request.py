"""Requests that are read at a glance, and their answer. That autobahn agrees is shown in tests/transport."""

from twisted.trial.unittest import SynchronousTestCase

from imd.protocol.websocket_request import UpgradeRequest, read_upgrade, upgraded
from tests.support.websocket_bytes import ACCEPT, KEY, upgrade

CHROME = upgrade(
    "/sub?room=1%2F2&x=",
    Host="im.example.com:3102",
    Pragma="no-cache",
    Cache_Control="no-cache",
    User_Agent="Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    Origin="https://app.example.com:8443",
    Accept_Encoding="gzip, deflate, br, zstd",
    Cookie='session="0123456789abcdef"; theme=dark',
    Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits",
)
FIREFOX = upgrade(
    Accept="*/*",
    Accept_Language="en-US,en;q=0.5",
    Sec_WebSocket_Extensions="permessage-deflate",
    Origin="null",
    Connection="keep-alive, Upgrade",
    Sec_Fetch_Mode="websocket",
    Empty="",
)


class ReadUpgradeTests(SynchronousTestCase):
    """One request after the other."""

    def test_clients(self) -> None:
        """What libraries and browsers send is read, without the query."""
        key = KEY.encode()
        self.assertEqual(read_upgrade(upgrade()), UpgradeRequest("/sub", "", key))
        self.assertEqual(read_upgrade(CHROME), UpgradeRequest("/sub", "https://app.example.com:8443", key))
        self.assertEqual(read_upgrade(FIREFOX), UpgradeRequest("/sub", "null", key))
        self.assertEqual(read_upgrade(upgrade("/", Host="[::1]:3102")), UpgradeRequest("/", "", key))

    def test_case_and_spaces(self) -> None:
        """Names have no case, nor have the words of an upgrade; the space behind a colon may be missing, or be many."""
        shouted = upgrade(Upgrade="WEBSOCKET", Connection="UPGRADE").replace(b"Sec-WebSocket-K", b"SEC-WEBSOCKET-K")
        self.assertIsNotNone(read_upgrade(shouted))
        self.assertIsNotNone(read_upgrade(upgrade().replace(b": ", b":")))
        self.assertIsNotNone(read_upgrade(upgrade().replace(b": ", b":   ")))

    def test_cut(self) -> None:
        """Nothing but a whole request is one, and nothing may follow it."""
        for request in (CHROME, FIREFOX):
            for cut in range(len(request)):
                self.assertIsNone(read_upgrade(request[:cut]), cut)
            self.assertIsNone(read_upgrade(request + b"x"))

    def test_needed(self) -> None:
        """A field that the RFC asks for is missing, or there twice."""
        for name in ("Host", "Upgrade", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version"):
            self.assertIsNone(read_upgrade(upgrade(drop=name)), name)
            line = next(line for line in upgrade().split(b"\r\n") if line.startswith(name.encode()))
            for again in (line, line.swapcase()):
                self.assertIsNone(read_upgrade(upgrade().replace(b"Host", again + b"\r\nHost", 1)), again)

    def test_request_lines(self) -> None:
        """Other methods and versions, and targets that may mean something else than they look like."""
        for line in (b"POST /sub HTTP/1.1", b"get /sub HTTP/1.1", b"GET /sub HTTP/1.0", b"GET  /sub HTTP/1.1"):
            self.assertIsNone(read_upgrade(upgrade().replace(b"GET /sub HTTP/1.1", line)), line)
        for target in (
            "",
            "sub",
            "*",
            "//sub",
            "http://a/sub",
            "/sub#x",
            "/sub;x",
            "/sub?a#b",
            "/a b",
            "/\xe9",
            "/%73ub",
        ):
            self.assertIsNone(read_upgrade(upgrade(target)), target)

    def test_fields(self) -> None:
        """Values that are wrong, or seldom."""
        for name, values in {
            "Host": ("", ":", "a:b", "a:", "a b", "[::1", "a,b", "a:123456"),
            "Upgrade": ("", "h2c", "websocket, h2c", "websocket "),
            "Connection": ("", "close", "upgraded", "keep-alive"),
            "Sec-WebSocket-Version": ("", "12", "013", "13, 8", "+13"),
            "Sec-WebSocket-Key": ("", KEY[1:], KEY + "=", KEY[:-3] + "===", "_" + KEY[1:], "-" + KEY[1:], "x" * 24),
            "Sec-WebSocket-Extensions": ("permessage-deflate; client_max_window_bits=99", "x"),
            "Sec-WebSocket-Protocol": ("", "chat"),
            "Origin": ("", "x", "http://", "http://a:b", "http://a:65536", "http://[", "http://a/b", "file:///x"),
            "X": ("a\nb", "a\rb", "a\tb", "a\x00b", "\x0b", "\x7f", "\x85", "\xe9", "a\r\n b", "a\r\nb"),
            "X Y": ("",),
        }.items():
            for value in values:
                self.assertIsNone(read_upgrade(upgrade(**{name: value})), (name, value))
        for line in (b": x", b"X", b"X : y", b""):
            self.assertIsNone(read_upgrade(upgrade().replace(b"Host", line + b"\r\nHost", 1)), line)

    def test_very_many_fields(self) -> None:
        """Are not gone through here."""
        self.assertIsNotNone(read_upgrade(upgrade(**{f"X-{number}": "" for number in range(59)})))
        self.assertIsNone(read_upgrade(upgrade(**{f"X-{number}": "" for number in range(60)})))


class UpgradedTests(SynchronousTestCase):
    """The answer."""

    def test_example(self) -> None:
        """RFC 6455's own, with nothing that the client did not ask for."""
        lines = upgraded(KEY.encode()).decode().split("\r\n")
        self.assertEqual(lines[0], "HTTP/1.1 101 Switching Protocols")
        fields = {"Upgrade: WebSocket", "Connection: Upgrade", f"Sec-WebSocket-Accept: {ACCEPT}"}
        self.assertEqual(set(lines[1:-2]), fields)
        self.assertEqual(lines[-2:], ["", ""])
