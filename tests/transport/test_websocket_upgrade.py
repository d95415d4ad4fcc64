"""The answers to requests for an upgrade. How a connection gets to ask is in test_websocket.py."""

import gc
from random import Random

from autobahn.twisted.websocket import WebSocketServerProtocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.errors import CloseReason
from imd.protocol.websocket_request import read_upgrade
from imd.transport.websocket_upgrade import Upgrades, refusal, too_large
from tests.support.mischief import Mischief
from tests.support.websocket_bytes import ACCEPT, upgrade

TARGETS = ("/sub", "/sub", "/sub", "/sub?", "/sub?a=%zz&&a", "/sub?a;b", "/sub/", "/other", "//sub", "/sub;a", "/sub#a")
FIELDS = {
    "Host": ("a", "a:1", "a:99999", "[::1]", "[::1]:2", "a:b", ":1", "-", "", "a:1:2", "[::1:2"),
    "Upgrade": ("WebSocket", "websocket, h2c", "h2c", ""),
    "Connection": ("UPGRADE", "keep-alive, Upgrade", "keep-alive", ",upgrade,", ""),
    "Origin": ("https://a.example", "HTTPS://A.example", "null", "NULL", "http://a", "https://.example:59999", "", "x"),
    "Sec-WebSocket-Version": ("13", " 13", "8", "+13", "1_3", ""),
    "Sec-WebSocket-Key": ("A" * 22 + "==", "_" * 22 + "==", "+/" * 11 + "==", "A" * 23 + "=", ""),
    "Sec-WebSocket-Extensions": ("permessage-deflate", "", "x", "permessage-deflate; a=1", "permessage-bzip2"),
    "Sec-WebSocket-Protocol": ("a", "a, a", ""),
    "Sec-WebSocket-Origin": ("x", ""),
    "X-Forwarded-For": ("192.0.2.1", ""),
    "HOST": ("a",),
    "Cookie": ("a=b; c", "\xe9", "\x85Upgrade: x", "a\r\n b", ""),
}


class UpgradesTests(SynchronousTestCase):
    """One request after the other."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.upgrades = Upgrades(clock=self.clock, origins=["https://a.example"], path="/sub")

    def tearDown(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_upgraded(self) -> None:
        """All that RFC 6455 §4.2.2 asks for, and nothing else."""
        answer = self.upgrades.answer(upgrade(Origin="https://a.example"))
        self.assertIsNone(answer.fault)
        lines = answer.data.decode().split("\r\n")
        self.assertEqual(lines[0], "HTTP/1.1 101 Switching Protocols")
        fields = {"Upgrade: WebSocket", "Connection: Upgrade", f"Sec-WebSocket-Accept: {ACCEPT}"}
        self.assertEqual(set(lines[1:]), {*fields, ""})

    def test_refused(self) -> None:
        """The fault may quote the client, the answer does not."""
        answer = self.upgrades.answer(upgrade("/evil"))
        self.assertIn("/evil", answer.fault or "")
        self.assertEqual(answer.data, b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")

    def test_a_version_that_nobody_speaks(self) -> None:
        """The answer says which versions would do."""
        self.assertIn(b"Sec-WebSocket-Version: 13", self.upgrades.answer(upgrade(Sec_WebSocket_Version="99")).data)

    def test_what_autobahn_stumbles_over(self) -> None:
        """Is a bad request: it raises nothing."""
        answer = self.upgrades.answer(upgrade(Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits=99"))
        self.assertTrue(answer.data.startswith(b"HTTP/1.1 400 "))

    def test_nothing_stays(self) -> None:
        """Neither of those that were upgraded nor of the others."""
        for request in (upgrade(), upgrade("/other"), upgrade(Upgrade="other")) * 10:
            self.upgrades.answer(request)
        self.assertFalse(any(isinstance(each, WebSocketServerProtocol) for each in gc.get_objects()))


class TwoReadersTests(SynchronousTestCase):
    """What is answered without autobahn is what autobahn answers."""

    def setUp(self) -> None:
        self.upgrades = Upgrades(clock=Clock(), origins=["https://*.example", "null"], path="/sub")

    def assert_agreed(self, request: bytes) -> bool:
        """On one request. Whether it was read without autobahn."""
        answer = self.upgrades.answer(request)
        if read_upgrade(request) is None:
            return False
        by_autobahn = self.upgrades.ask_autobahn(request)
        self.assertEqual(answer, by_autobahn, request)
        return True

    def test_a_byte_is_another(self) -> None:
        """Anywhere in a request, of all bytes that mean something to somebody."""
        good = upgrade("/sub?a=b", Host="a:80", Origin="https://a.example:80", Connection="keep-alive, upgrade")
        others = [bytes([each]) for each in b'\0\t\n\v\f\r\x1c\x1d\x1e\x85\xa0\xff !"#%&+,-./09:;=?@AZ[]_az{~\x7f']
        read = sum(
            self.assert_agreed(good[:at] + other + good[at + 1 :])
            for at in range(len(good))
            for other in (b"", *others)
        )
        self.assertGreater(read, 300)

    def test_fields_and_targets(self) -> None:
        """A thousand that are put together from good and bad ones."""
        random, read = Random(6455), 0
        for _ in range(1000):
            fields = {name: random.choice(values) for name, values in FIELDS.items() if random.randrange(6) == 0}
            read += self.assert_agreed(upgrade(random.choice(TARGETS), **fields))
        self.assertGreater(read, 50)

    def test_mischief(self) -> None:
        """What hostile clients send."""
        read = sum(self.assert_agreed(Mischief(Random(seed)).request()) for seed in range(1000))
        self.assertGreater(read, 500)


class RefusalTests(SynchronousTestCase):
    """Answers without a request, or without its end."""

    def test_statuses(self) -> None:
        """Every reason has one that fits, or is a server's error; no body follows."""
        for reason in CloseReason:
            answer = refusal(reason)
            self.assertRegex(answer, rb"^HTTP/1\.1 (400|408|429|500|503) [A-Z]")
            self.assertTrue(answer.endswith(b"\r\nContent-Length: 0\r\n\r\n"))
        self.assertTrue(too_large().data.startswith(b"HTTP/1.1 431 "))
        self.assertIsNotNone(too_large().fault)
