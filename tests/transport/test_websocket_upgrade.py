"""The answers to requests for an upgrade. How a connection gets to ask is in test_websocket.py."""

import gc

from autobahn.twisted.websocket import WebSocketServerProtocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.errors import CloseReason
from imd.transport.websocket_upgrade import Upgrades, refusal, too_large
from tests.support.websocket_bytes import ACCEPT, upgrade


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
