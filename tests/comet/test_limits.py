"""A comet's bounds."""

from dataclasses import fields

from twisted.trial.unittest import SynchronousTestCase

from imd.comet.limits import Limits
from imd.errors import ConfigError


class LimitsTests(SynchronousTestCase):
    """Zero never means unbounded."""

    def test_each_number_is_above_zero(self) -> None:
        """Whatever its name; the error says which."""
        for field in fields(Limits):
            if isinstance(field.default, int | float):
                for value in (0, -1, float("nan")):
                    error = self.assertRaises(ConfigError, Limits, **{field.name: value})
                    self.assertIn(field.name, str(error))

    def test_goims_deadline(self) -> None:
        """240 s, missed twice."""
        self.assertEqual(Limits().idle_seconds, 480)

    def test_large_packets_may_wait(self) -> None:
        """What waits of one client grows with what one packet may be: sixteen of the largest."""
        self.assertEqual(Limits().waiting_bytes, 65_536)
        self.assertEqual(Limits(max_body_bytes=100_000).waiting_bytes, 1_600_000)
