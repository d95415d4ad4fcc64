"""Operators are told what pushes leave by."""

from types import SimpleNamespace

from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from imd.service.sending import Sending
from imd.transport.battery import SocketBattery
from imd.transport.sender import NOT_BUILT, Sender


class Log:
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, words: str, **fields: object) -> None:
        event: LogEvent = {"log_format": words, **fields}
        self.lines.append(formatEvent(event))

    warn = info


class SendingTests(SynchronousTestCase):
    """One line a start."""

    def setUp(self) -> None:
        self.log = Log()
        self.patch(Sending, "log", self.log)
        self.sending = Sending("python")

    def said(self) -> list[str]:
        self.successResultOf(Deferred.fromCoroutine(self.sending.open()))
        self.successResultOf(Deferred.fromCoroutine(self.sending.close()))
        self.assertIsNone(self.sending.trouble())
        return self.log.lines

    def test_said_once_it_opens(self) -> None:
        """A start that ends before it has one line, the fault."""
        self.assertEqual((self.sending.arm, self.log.lines), (SocketBattery, []))
        self.assertEqual(self.said(), ["pushes leave by python"])

    def test_why_not_faster(self) -> None:
        """And what to do about it."""
        self.patch(self.sending, "_chosen", Sender("python", SocketBattery, NOT_BUILT))
        self.assertEqual(self.said(), [f"pushes leave by python: {NOT_BUILT}"])

    def test_ring_that_fails(self) -> None:
        """It is said once, however many batteries are made after it; each is made all the same."""
        ring = SimpleNamespace(trouble=None)
        self.patch(self.sending, "_chosen", Sender("io_uring", SocketBattery, ring=ring))
        arm = self.sending.arm
        self.assertIsInstance(arm(()), SocketBattery)
        self.assertEqual(self.log.lines, [])
        ring.trouble = "Bad file descriptor"
        for _ in range(3):
            self.assertIsInstance(arm(()), SocketBattery)
        self.assertEqual(self.log.lines, ["io_uring has failed: Bad file descriptor; from now on pushes leave by send"])
