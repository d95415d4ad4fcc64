"""Direct: transports that send at once, and queue only what the kernel refuses.

The one file that names what Twisted keeps private; tests/transport/test_direct.py holds it against the Twisted that is
installed.
"""

from collections.abc import Iterable
from contextlib import suppress
from errno import ENOBUFS, EWOULDBLOCK
from socket import IPPROTO_TCP, TCP_NODELAY, socket
from typing import Any, cast

from twisted.internet import tcp
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IListeningPort, IProtocol
from twisted.python.failure import Failure

from imd.interfaces import Sink
from imd.transport.stream import Stream


class DirectServer(tcp.Server):
    """Twisted's own leaves every write to the next turn: a change of the epoll set, a wake-up, the ``send``, another change.

    - Bytes are sent in the order of the calls, whoever calls: what the kernel does not take is queued, and until that is gone
      everything is queued behind it.
    - Whenever something is queued a streaming producer is paused, from the first byte on. So a producer that was not told to
      pause may send to the socket itself, see :func:`sink_of`.
    - Errors end the connection from ``doWrite``, a turn later, never from a write.
    """

    # What a connection begins with is on the class, so that one which is idle has no room for it.
    hostname: str
    connected = 1
    logstr = "client"  # in Twisted's log lines
    _tempDataBuffer: Any = ()  # a list once something was queued
    _tempDataLen = 0

    _broken = False  # a send failed for good: the reader must not take the end that follows for the peer's

    def __init__(
        self, sock: socket, protocol: IProtocol, client: tuple[Any, ...], server: object, sessionno: int, reactor: Any
    ) -> None:
        """Twisted's own makes 0.4 KB of it: descriptions, a bound method, an empty list, numbers that nobody asks for."""
        sock.setblocking(False)
        self.reactor = reactor
        self.socket = sock
        self.protocol = protocol
        self.hostname = client[0]
        if len(client) != 2:
            self._addressType = IPv6Address
        self.startReading()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.hostname}>"

    def fileno(self) -> int:
        """-1 after the loss."""
        return self.socket.fileno() if hasattr(self, "socket") else -1

    def getPeer(self) -> IPv4Address | IPv6Address:
        """Its IP. Of the port nothing is kept: it is 0."""
        return self._addressType("TCP", self.hostname, 0)

    def connectionLost(self, reason: Failure) -> None:
        if hasattr(self, "socket"):
            self.fileno = self.socket.fileno  # type: ignore[method-assign]  # for Twisted to delete
        super().connectionLost(reason)

    def write(self, data: bytes) -> None:
        """Send what the kernel takes, queue the rest."""
        if self.connected and not _must_queue(self):
            try:
                sent = self.socket.send(data)
            except OSError as error:
                sent = 0
                self._broken = error.errno not in (EWOULDBLOCK, ENOBUFS)
            if sent == len(data):
                return
            data = data[sent:]
        self._make_buffer()
        super().write(data)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Queue them."""
        self._make_buffer()
        super().writeSequence(iovec)

    def _make_buffer(self) -> None:
        if not self._tempDataBuffer:
            self._tempDataBuffer = []

    def _isSendBufferFull(self) -> bool:
        """Asked after something was queued; a producer is paused if so. Twisted's own waits for 64 KiB, which would be beside
        the outbox's limit and out of reach of its policy."""
        return True

    def readConnectionLost(self, reason: Failure) -> None:
        """The peer's end was read. A failed send took the error that the reader would have found."""
        super().readConnectionLost(Failure(ConnectionLost()) if self._broken else reason)


def send_directly(port: IListeningPort) -> None:
    """What ``port`` accepts from now on are :class:`DirectServer` connections without Nagle's delay, under TLS too. Its
    factory is not told addresses. A port of another kind than TCP stays as it is."""
    if isinstance(port, tcp.Port):
        port.transport = DirectServer
        port.socket.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)  # whatever it accepts has that from it
        cast(Any, port)._buildAddr = _no_address


def _no_address(address: object) -> None:
    """In place of Twisted's own, which makes an object that nobody asks for."""


def send_now(stream: Stream, data: bytes) -> None:
    """What the ``write`` of any stream does, but at once where nothing waits before: of a TCP or a Unix socket without TLS.

    A send takes the error of a broken socket along: its loss may look like an end in good order.
    """
    transport: Any = stream
    if isinstance(transport, tcp.Connection) and transport.connected and not _must_queue(transport):
        with suppress(OSError):  # a full socket, or a broken one: queued, and the reactor finds out which
            data = data[transport.socket.send(data) :]
        if not data:
            return
    stream.write(data)


def _must_queue(transport: Any) -> bool:
    """Something waits already, TLS or nobody wants it, or it was aborted."""
    return bool(
        transport._tempDataBuffer
        or transport.dataBuffer
        or transport.TLS
        or transport._writeDisconnected
        or transport._aborting
    )


def sink_of(stream: Stream | None) -> Sink | None:
    """The socket, for a streaming producer of the stream while it is not paused; None when the stream wants all bytes
    itself: a TLS layer, a transport of another kind, or one that has lost its connection."""
    server: Any = stream
    if isinstance(stream, DirectServer) and not server.TLS:
        sink: Sink | None = getattr(stream, "socket", None)  # deleted with the loss
        return sink
    return None
