"""The ending of a client's connection: how it is begun from here, and how the peer's is read."""

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.failure import Failure

from imd.errors import CloseReason
from imd.interfaces import Clock
from imd.transport.stream import Stream

LINGER_SECONDS = 5.0  # what was written last has this long to leave, and the peer to hang up
LINGER_BYTES = 1 << 20  # what a peer may still send meanwhile; it is dropped


class Ending:
    """A connection that was told to close: what was written leaves, what comes is dropped, and then it is cut.

    Closing a socket that has unread bytes resets the connection, and a reset takes the last words with it: so the socket
    is shut for writing only, and read to the peer's own end (over TLS: to its close alert).
    """

    __slots__ = ("_cut", "_spare_bytes", "_stream", "reason")

    def __init__(self, *, stream: Stream, clock: Clock, tls: bool, reason: CloseReason) -> None:
        self.reason = reason  # the first one wins
        self._stream = stream
        self._spare_bytes = LINGER_BYTES  # that may still come
        # A registered producer holds the end back until it says that it is done.
        stream.unregisterProducer()
        if tls:
            stream.loseConnection()
        else:
            stream.loseWriteConnection()
        self._cut = clock.callLater(LINGER_SECONDS, stream.abortConnection)

    def drop(self, size: int) -> None:
        """The peer sent ``size`` bytes more. A flood is cut short."""
        self._spare_bytes -= size
        if self._spare_bytes < 0:
            self._stream.abortConnection()

    def lost(self) -> None:
        """The connection is gone."""
        if self._cut.active():
            self._cut.cancel()


def reason_of(failure: Failure) -> CloseReason:
    """What Twisted's reason for a loss that was not asked for says about the peer.

    A clean end is the peer's. Everything else (a reset, a TLS failure, a time-out of the kernel) is the network's.
    """
    if failure.check(ConnectionDone) and not failure.check(ConnectionLost):
        return CloseReason.PEER_CLOSED
    return CloseReason.PEER_LOST
