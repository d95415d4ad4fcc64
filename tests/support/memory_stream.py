"""A stream without a socket: what is written is kept, what is asked for is noted."""

from twisted.internet.address import IPv4Address
from twisted.internet.testing import StringTransport


class MemoryStream(StringTransport):
    """Twisted's StringTransport with the half-close of a real TCP transport."""

    def __init__(self, host: str = "192.0.2.7") -> None:
        super().__init__(peerAddress=IPv4Address("TCP", host, 40000))
        self.hostname = host
        self.half_closed = False  # ``loseWriteConnection`` was called
        self.no_delay = False

    @property
    def aborted(self) -> bool:
        """``abortConnection`` was called."""
        return self.disconnected

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.no_delay = enabled

    def unregisterProducer(self) -> None:
        """Real transports do not mind when there is none."""
        self.producer = None

    def loseWriteConnection(self) -> None:
        assert self.producer is None, "a registered producer holds the end back"
        self.half_closed = True

    def take(self) -> bytes:
        """What was written since the last call."""
        written = bytes(self.value())
        self.clear()
        return written
