"""Which battery is chosen, and what is said when it cannot be the one that was asked for."""

from types import SimpleNamespace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from imd.errors import ConfigError
from imd.transport.battery import SocketBattery
from imd.transport.sender import NOT_BUILT, sender


class Native:
    """The extension, on a kernel with a ring or without."""

    def __init__(self, trouble: str | None) -> None:
        self.Ring = lambda: SimpleNamespace(open=lambda: trouble is None, trouble=trouble)

    class Battery:
        def __init__(self, sinks: object, ring: Any = None) -> None:
            self.ring = ring


def not_built() -> Any:
    raise ImportError


class SenderTests(SynchronousTestCase):
    """Three of them, from the best to the one that is always there."""

    def test_all_is_there(self) -> None:
        """The best is taken, or the one that is named; nothing is lacking."""
        native = Native(trouble=None)
        for wanted, expected in (
            ("auto", "io_uring"),
            ("io_uring", "io_uring"),
            ("send", "send"),
            ("python", "python"),
        ):
            found = sender(wanted, load=lambda: native)
            self.assertEqual((found.name, found.lacks), (expected, ""))
            battery: Any = found.arm([])
            self.assertEqual(getattr(battery, "ring", None) is not None, expected == "io_uring")

    def test_one_ring_for_all(self) -> None:
        """Its batteries share it."""
        native = Native(trouble=None)
        arm = sender("auto", load=lambda: native).arm
        first: Any = arm([])
        second: Any = arm([])
        self.assertIs(first.ring, second.ring)

    def test_no_io_uring(self) -> None:
        """The loop in C, and why; whoever insists is told what to do."""
        native = Native(trouble="Operation not permitted")
        found = sender("auto", load=lambda: native)
        self.assertEqual((found.name, found.arm), ("send", native.Battery))
        self.assertIn("Operation not permitted", found.lacks)
        self.assertEqual(sender("send", load=lambda: native).lacks, "")
        with self.assertRaisesRegex(
            ConfigError, r'^comet.sender = "io_uring": .*not permitted.*Linux 6\.1.*comet\.sender = "auto"$'
        ):
            sender("io_uring", load=lambda: native)

    def test_not_built(self) -> None:
        """The loop in Python, and why; whoever insists is told what to do."""
        found = sender("auto", load=not_built)
        self.assertEqual((found.name, found.arm, found.lacks), ("python", SocketBattery, NOT_BUILT))
        self.assertEqual(sender("python", load=not_built).lacks, "")
        for wanted in ("send", "io_uring"):
            with self.assertRaisesRegex(ConfigError, rf'^comet.sender = "{wanted}": .*not built; install a C compiler'):
                sender(wanted, load=not_built)
