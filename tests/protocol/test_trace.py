"""Traces: which traceparents are valid, and what hops are on the wire."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imd.protocol.trace import Hop, Step, is_sampled, is_traceparent

ID, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{ID}-{PARENT}-01"


class TraceparentTests(SynchronousTestCase):
    """Against W3C Trace Context §3.2."""

    def test_good(self) -> None:
        """The standard's own example, and one of a later version that says more."""
        self.assertTrue(is_traceparent(GOOD))
        self.assertTrue(is_traceparent(f"cc-{ID}-{PARENT}-01-what-the-future-will-be-like"))

    def test_bad(self) -> None:
        """Version ff, zeros, capitals, cuts, and more than version 00 has."""
        for text in (
            f"ff-{ID}-{PARENT}-01",
            f"00-{'0' * 32}-{PARENT}-01",
            f"00-{ID}-{'0' * 16}-01",
            GOOD.upper(),
            *(GOOD[:cut] for cut in range(len(GOOD))),
            f"{GOOD}-x",
            f"{GOOD}\n",
            f"cc{GOOD[2:]}.",
            f"cc{GOOD[2:]}-" + "x" * 256,
        ):
            self.assertFalse(is_traceparent(text), text)

    def test_sampled(self) -> None:
        """The last bit of the flags says it, whatever the others say."""
        for flags, sampled in (("00", False), ("01", True), ("02", False), ("ff", True)):
            self.assertEqual(is_sampled(f"00-{ID}-{PARENT}-{flags}"), sampled, flags)

    @given(st.text(max_size=60))
    def test_garbage(self, text: str) -> None:
        """Any text is one or is not."""
        if is_traceparent(text):
            is_sampled(text)


class HopTests(SynchronousTestCase):
    """As it is stored."""

    def test_positions(self) -> None:
        """An array whose order never changes."""
        hop = Hop(Step.DROPPED, 5, "comet/c1", "m:1", 2, 1, "phone", "slow")
        data = msgspec.msgpack.encode(hop)
        self.assertEqual(msgspec.msgpack.decode(data), ["dropped", 5, "comet/c1", "m:1", 2, 1, "phone", "slow"])
        self.assertEqual(msgspec.msgpack.decode(data, type=Hop), hop)
