"""What SIGTERM and SIGINT do."""

import os
import signal

from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.trial.unittest import SynchronousTestCase

from imd.service.stop_signal import StopSignal


class Reactor:
    """Stops once."""

    def __init__(self) -> None:
        self.stops = 0

    def callFromThread(self, call: object) -> None:
        assert callable(call)
        call()

    def stop(self) -> None:
        self.stops += 1
        if self.stops > 1:
            raise ReactorNotRunning


class StopSignalTests(SynchronousTestCase):
    def test_stops(self) -> None:
        """They stop the reactor while it is open, a second one changes nothing, and afterwards all is as before."""
        numbers = (signal.SIGTERM, signal.SIGINT)
        before = [signal.getsignal(number) for number in numbers]
        reactor = Reactor()
        part = StopSignal(reactor=reactor)
        self.successResultOf(Deferred.fromCoroutine(part.open()))
        for number in numbers:
            os.kill(os.getpid(), number)
        self.successResultOf(Deferred.fromCoroutine(part.close()))
        self.assertEqual(reactor.stops, 2)
        self.assertIsNone(part.trouble())
        self.assertEqual([signal.getsignal(number) for number in numbers], before)
