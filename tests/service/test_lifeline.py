"""What a process does when its supervisor is gone."""

import os

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost, ReactorNotRunning
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from imd.service.lifeline import Lifeline


class Reactor:
    """Watches, and stops once."""

    def __init__(self) -> None:
        self.readers: set[object] = set()
        self.stops = 0

    def addReader(self, reader: object) -> None:
        self.readers.add(reader)

    def removeReader(self, reader: object) -> None:
        self.readers.discard(reader)

    def stop(self) -> None:
        self.stops += 1
        if self.stops > 1:
            raise ReactorNotRunning


class LifelineTests(SynchronousTestCase):
    """A pipe."""

    def setUp(self) -> None:
        self.ours, self.theirs = os.pipe()
        self.addCleanup(os.close, self.ours)
        self.reactor = Reactor()
        self.line = Lifeline(self.ours, reactor=self.reactor)
        self.successResultOf(Deferred.fromCoroutine(self.line.open()))

    def test_end(self) -> None:
        """The process stops, and looks no more."""
        self.assertEqual((self.reactor.readers, self.line.fileno()), ({self.line}, self.ours))
        os.write(self.theirs, b"what nobody should write")
        self.line.doRead()
        self.assertEqual(self.reactor.stops, 0)
        os.close(self.theirs)
        self.line.doRead()
        self.assertEqual((self.reactor.stops, self.reactor.readers), (1, set()))

    def test_hang_up(self) -> None:
        """As epoll tells it; a process that is stopping already goes on stopping."""
        os.close(self.theirs)
        for _ in range(2):
            self.line.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(self.reactor.stops, 2)

    def test_closed(self) -> None:
        """It looks no more."""
        os.close(self.theirs)
        self.successResultOf(Deferred.fromCoroutine(self.line.close()))
        self.assertEqual((self.reactor.readers, self.reactor.stops), (set(), 0))
        self.assertIsNone(self.line.trouble())
