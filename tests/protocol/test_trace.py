"""traceparent as W3C Trace Context has it."""

from twisted.trial.unittest import SynchronousTestCase

from imd.protocol.trace import is_sampled, is_traceparent

GOOD = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"  # the standard's own example, section 3.2.3


class TraceparentTests(SynchronousTestCase):
    """:func:`is_traceparent` and :func:`is_sampled`."""

    def test_the_standards_example(self) -> None:
        """Valid, and sampled; with flags 00 it is not."""
        self.assertTrue(is_traceparent(GOOD))
        self.assertTrue(is_sampled(GOOD))
        self.assertFalse(is_sampled(GOOD[:-2] + "00"))
        self.assertTrue(is_sampled(GOOD[:-2] + "ff"))

    def test_a_later_version_may_be_longer(self) -> None:
        """Section 4.3: what is known of it is used. Version 00 has its exact length."""
        self.assertTrue(is_traceparent("cc" + GOOD[2:] + "-what-the-future-brings"))
        self.assertFalse(is_traceparent(GOOD + "-more"))
        self.assertFalse(is_traceparent("cc" + GOOD[2:] + "more"))

    def test_what_is_none(self) -> None:
        """Each of these is ignored by whoever follows the standard."""
        for text in (
            "",
            GOOD.upper(),
            "ff" + GOOD[2:],
            GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32),
            GOOD.replace("00f067aa0ba902b7", "0" * 16),
            GOOD[:-1],
            " " + GOOD,
            GOOD + "\n",
            "cc" + GOOD[2:] + "-" + "x" * 300,
        ):
            self.assertFalse(is_traceparent(text), text)
