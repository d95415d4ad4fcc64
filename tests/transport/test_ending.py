"""How a connection is ended on real sockets, and how a peer's end is read."""

import socket
from time import sleep

from OpenSSL.SSL import Error as TlsError
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost, TCPTimedOutError
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from imd.errors import CloseReason
from imd.transport.ending import LINGER_SECONDS, reason_of
from imd.transport.tcp import TcpFactory
from tests.support.reactor import reactor
from tests.support.recording_session import Admission


class ReasonTests(SynchronousTestCase):
    """Twisted's reasons as close reasons."""

    def test_reasons(self) -> None:
        """Only a clean end is the peer's."""
        for error, reason in (
            (ConnectionDone(), CloseReason.PEER_CLOSED),
            (ConnectionLost(), CloseReason.PEER_LOST),
            (ConnectionAborted(), CloseReason.PEER_LOST),
            (TCPTimedOutError(), CloseReason.PEER_LOST),
            (TlsError(), CloseReason.PEER_LOST),
        ):
            self.assertEqual(reason_of(Failure(error)), reason, error)


class EndingTests(TestCase):
    """A blocking client in a thread, a listener in the reactor."""

    def setUp(self) -> None:
        self.admission = Admission()
        port = reactor.listenTCP(0, TcpFactory(accept=self.admission, clock=reactor), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.address = ("127.0.0.1", port.getHost().port)

    async def _wait_for_loss(self) -> None:
        """Until the session has a loss."""
        while not self.admission.sessions[0].losses:
            await _sleep(0.01)

    def test_last_words_survive_unread_input(self) -> Deferred[None]:
        """A client that sends on while it is told goodbye still reads it whole, and then a clean end."""
        words = b"x" * 200_000

        def client() -> bytes:
            with socket.create_connection(self.address, timeout=10) as peer:
                peer.sendall(bytes(16))  # a bad packet
                got = b""
                while part := peer.recv(1000):
                    got += part
                    peer.sendall(bytes(16))
                    sleep(0.0002)  # the server's last words are in the kernel by now, most of them unread
                return got

        class Talkative(Admission):
            def __call__(self, connection):  # type: ignore[no-untyped-def]  # as the base says
                session = super().__call__(connection)
                connection.write(words)
                return session

        self.admission = Talkative()
        port = reactor.listenTCP(0, TcpFactory(accept=self.admission, clock=reactor), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.address = ("127.0.0.1", port.getHost().port)

        async def run() -> None:
            self.assertEqual(len(await deferToThread(client)), len(words))
            await self._wait_for_loss()
            self.assertEqual(self.admission.sessions[0].losses, [CloseReason.BAD_HEADER_LENGTH])

        return Deferred.fromCoroutine(run())

    def test_peer_that_never_reads_goes(self) -> Deferred[None]:
        """With megabytes queued for it and a producer registered, a stalled client is gone soon after close."""

        async def run() -> None:
            with socket.create_connection(self.address, timeout=10):
                while not self.admission.sessions:
                    await _sleep(0.01)
                session = self.admission.sessions[0]
                session.connection.write(bytes(50_000_000))
                self.assertEqual(session.writing, ["pause"])
                session.connection.close(CloseReason.SLOW_CONSUMER)
                started = reactor.seconds()
                await self._wait_for_loss()
                self.assertEqual(session.losses, [CloseReason.SLOW_CONSUMER])
                self.assertLess(reactor.seconds() - started, LINGER_SECONDS + 2)

        return Deferred.fromCoroutine(run())


def _sleep(seconds: float) -> Deferred[None]:
    waiting: Deferred[None] = Deferred()
    reactor.callLater(seconds, waiting.callback, None)
    return waiting
