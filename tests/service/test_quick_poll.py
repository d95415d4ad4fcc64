"""A reactor's turn, on reactors of the test's own."""

import socket
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.selectreactor import SelectReactor
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from imd.service.quick_poll import poll_quickly


class End(FileDescriptor):
    """One end of a socket pair, which notes what it is told."""

    def __init__(self, reactor: Any, sock: socket.socket) -> None:
        super().__init__(reactor)
        self.socket = sock
        self.said: list[str] = []
        self.trouble: Exception | None = None  # what its loss raises
        self.also: list[End] = []  # whom it closes when it is read

    def fileno(self) -> int:
        return self.socket.fileno()

    def doRead(self) -> None:
        self.said.append(self.socket.recv(100).decode())
        for other in self.also:
            other.stopReading()
            other.socket.close()

    def doWrite(self) -> None:
        self.said.append("writable")
        self.stopWriting()

    def connectionLost(self, reason: Failure) -> None:
        self.said.append("lost")
        if self.trouble is not None:
            raise self.trouble


class QuickPollTests(SynchronousTestCase):
    """What is ready is called."""

    def setUp(self) -> None:
        self.reactor: Any = EPollReactor()
        self.addCleanup(self.reactor._uninstallHandler)  # its wake-up pipe
        self.addCleanup(self.reactor._poller.close)
        poll_quickly(self.reactor)

    def pair(self) -> tuple[End, socket.socket]:
        """An end in the reactor, and its peer."""
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        end = End(self.reactor, ours)
        end.startReading()
        return end, theirs

    def test_reads_and_writes(self) -> None:
        """Both of one turn."""
        end, peer = self.pair()
        end.startWriting()
        peer.send(b"hello")
        self.reactor.iterate(1)
        self.assertEqual(end.said, ["hello", "writable"])

    def test_nothing_ready(self) -> None:
        """It returns when the time is up, without anything to watch too."""
        end, _ = self.pair()
        self.reactor.iterate(0)
        end.stopReading()
        self.reactor.removeAll()
        self.reactor.iterate(0)
        self.assertEqual(end.said, [])

    def test_an_end(self) -> None:
        """Of the peer, and of a descriptor that is none any more."""
        end, peer = self.pair()
        peer.close()
        end.doRead = lambda: ConnectionError()  # type: ignore[method-assign,assignment]
        self.reactor.iterate(1)
        self.assertEqual(end.said, ["lost"])
        self.assertNotIn(end, self.reactor.getReaders())

    def test_a_fault_is_its_own(self) -> None:
        """It is logged, and the next is called."""
        ends = [self.pair() for _ in range(3)]
        for _, peer in ends:
            peer.send(b"x")
        faulty = ends[0][0]
        faulty.doRead = lambda: ConnectionError()  # type: ignore[method-assign,assignment]
        faulty.trouble = ValueError("at its end")
        self.reactor.iterate(1)
        self.assertEqual([end.said for end, _ in ends], [["lost"], ["x"], ["x"]])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_closed_by_one_before(self) -> None:
        """It is not called."""
        (first, peer), (second, other) = self.pair(), self.pair()
        first.also, second.also = [second], [first]
        peer.send(b"x")
        other.send(b"x")
        self.reactor.iterate(1)
        self.assertEqual(sorted(first.said + second.said), ["x"])

    def test_another_kind_stays(self) -> None:
        """Whoever chose it with ``twistd --reactor`` has it."""
        other: Any = SelectReactor()
        self.addCleanup(other._uninstallHandler)
        poll_quickly(other)
        self.assertNotIn("doIteration", vars(other))

    def test_what_is_named_of_twisted(self) -> None:
        """Its own turn does the same."""
        names = EPollReactor.doPoll.__code__.co_names
        for name in ("_poller", "poll", "_selectables", "_doReadOrWrite", "callWithLogger"):
            self.assertIn(name, names)
        self.assertEqual(EPollReactor.doIteration, EPollReactor.doPoll)
