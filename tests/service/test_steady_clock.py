"""Deadlines do not follow the date."""

import time

from twisted.internet.defer import Deferred
from twisted.internet.selectreactor import SelectReactor
from twisted.trial.unittest import SynchronousTestCase

from imd.service.steady_clock import use_steady_clock


class SteadyClockTests(SynchronousTestCase):
    """On a reactor of the test's own."""

    def test_timers(self) -> None:
        """They are due by the monotonic clock, and still come."""
        reactor = SelectReactor()
        self.addCleanup(reactor._uninstallHandler)  # its wake-up pipe
        use_steady_clock(reactor)
        self.assertLess(abs(reactor.seconds() - time.monotonic()), 5)
        came: Deferred[float] = Deferred()
        call = reactor.callLater(0.01, came.callback, 1.0)
        self.assertLess(abs(call.getTime() - time.monotonic()), 5)
        while not came.called:
            reactor.runUntilCurrent()
        self.assertEqual(self.successResultOf(came), 1.0)
