"""The network between clients and comets: what Twisted's TCP transport does, in memory, and what networks do to it."""

from errno import EBADF
from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IAddress
from twisted.python.failure import Failure

from imd.errors import ProtocolError
from imd.interfaces import Sink
from imd.protocol.operation import Operation
from imd.protocol.packet import PacketDecoder
from imd.transport.tcp import TcpConnection, TcpFactory
from tests.simulation.descriptors import Descriptor, Descriptors
from tests.simulation.world import Lane, Process, World

if TYPE_CHECKING:
    from tests.simulation.client import Visit

END = b""  # the comet's FIN, among what is read
WRAPPED = 0.15  # the share of connections that have no sink, as under TLS


class MemoryConnection(TcpConnection):
    """imd's; only its socket is another."""

    __slots__ = ()

    @property
    def sink(self) -> Sink | None:
        stream = self._stream
        assert stream is None or isinstance(stream, Stream)
        return None if stream is None else stream.sink


class MemoryFactory(TcpFactory):
    """imd's, for such connections; their descriptors are of one process."""

    def __init__(self, *, descriptors: Descriptors, **rest: Any) -> None:
        super().__init__(**rest)
        self.descriptors = descriptors

    def buildProtocol(self, addr: IAddress | None) -> TcpConnection:  # type: ignore[override]  # as in imd
        return MemoryConnection(self)


class Socket(Descriptor):
    """The comet's end of a stream, for who sends past its transport."""

    def __init__(self, table: Descriptors, stream: "Stream") -> None:
        super().__init__(table, table.take())
        self._stream = stream
        table.open(self)

    @property
    def name(self) -> str:
        return self._stream.name

    def send(self, data: bytes, /) -> int:
        return self._stream.take(data)


class Stream:
    """One connection, both of its ends: the transport of comet's protocol, and the socket of a client.

    As imd's transport it sends at once, queues what the kernel does not take, and pauses its producer as long as there is such.
    """

    def __init__(
        self, world: World, *, comet: Process, factory: MemoryFactory, visit: "Visit", slow: float, high_bytes: int
    ) -> None:
        self.world = world
        self.comet = comet
        self._visit = visit
        self._chance = world.random(f"stream/{visit.name}")
        self._down = Lane(world, f"{visit.name}/down", slow=slow)
        self._up = Lane(world, f"{visit.name}/up", slow=slow)
        self._high_bytes = high_bytes  # that the kernel takes; once half of them were read it takes all that waits
        self._way_bytes = 0  # taken by the kernel and not read by the client
        self._queue = b""  # that it has not taken
        self._ending = False  # the end goes out behind that
        self._pushed = PacketDecoder(extensions=True)  # of what comet wrote
        self._unread: list[bytes] = []  # arrived while the client does not read
        self._producer: Any = None
        self._paused = False  # the producer was told so
        self._shut = False  # the comet writes no more
        self._lost = False  # the comet was told that it is over
        self.reading = True  # the client does
        self.passable = True  # the network carries bytes
        self.written_packets = 0  # pushed ones that comet wrote
        self._socket = Socket(factory.descriptors, self)
        self._wrapped = self._chance.random() < WRAPPED
        self._protocol: TcpConnection = factory.buildProtocol(None)
        self._protocol.makeConnection(self)

    # --- the comet's end

    @property
    def name(self) -> str:
        """Of the client's visit."""
        return self._visit.name

    @property
    def sink(self) -> Sink | None:
        """See :attr:`imd.interfaces.Connection.sink`."""
        return None if self._wrapped or self._lost else self._socket

    def write(self, data: bytes) -> None:
        if self._lost or not self.comet.alive:
            return
        assert not self._shut, "written after the end"
        self._count(data)
        sent = 0 if self._queue else max(0, min(len(data), self._high_bytes - self._way_bytes))
        self._carry(data[:sent])
        self._queue += data[sent:]
        if self._queue and self._producer is not None and not self._paused:
            self._paused = True
            self._producer.pauseProducing()

    def take(self, data: bytes) -> int:
        """What is sent past :meth:`write`; raises ``OSError`` when the kernel takes none of it."""
        if self._lost:
            raise OSError(EBADF, "closed")
        if self._queue or self._shut:
            self.world.fault(f"{self.name} was sent something past {'its end' if self._shut else 'what waits for it'}")
            raise BlockingIOError
        sent = min(len(data), self._high_bytes - self._way_bytes)
        if sent <= 0:
            raise BlockingIOError
        self._count(data[:sent])
        self._carry(data[:sent])
        return sent

    def _count(self, data: bytes) -> None:
        try:
            for packet in self._pushed.feed(data):
                self.written_packets += packet.operation >= 1000 or packet.operation == Operation.PRESENCE
        except ProtocolError as error:
            self.world.fault(f"{self.name} was written what are no packets: {error}")
            self.passable = False

    def _carry(self, data: bytes) -> None:
        if data:
            self._way_bytes += len(data)
            self.world.at(self._down.arrival(), self._arrived, data)

    def loseWriteConnection(self) -> None:
        if not self._shut:
            self._shut = self._ending = True
            self._visit.comet_ends()
            self._end()

    def _end(self) -> None:
        """Once nothing waits."""
        if self._ending and not self._queue:
            self._ending = False
            self.world.at(self._down.arrival(), self._arrived, END)

    def abortConnection(self) -> None:
        self._visit.comet_ends()
        self._shut = True
        self._ending, self._queue = False, b""
        self.world.at(self._down.arrival(), self._reset)
        self.comet.callLater(0, self._lose, ConnectionAborted())

    def loseConnection(self) -> None:
        self.loseWriteConnection()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self._producer = producer

    def unregisterProducer(self) -> None:
        self._producer = None

    def pauseProducing(self) -> None:
        """Comet does not ask for it."""

    def resumeProducing(self) -> None:
        """Comet does not ask for it."""

    @property
    def hostname(self) -> str:
        return self._visit.address

    def _lose(self, error: Exception) -> None:
        if not self._lost:
            self._lost = self._shut = True
            self._visit.comet_ends()
            self._socket.close()
            self._protocol.connectionLost(Failure(error))

    def _drain(self) -> None:
        """The kernel takes more."""
        if self._lost:
            return
        queue, self._queue = self._queue, b""
        self._carry(queue)
        self._end()
        if self._paused and self._producer is not None:
            self._paused = False
            self._producer.resumeProducing()

    # --- the client's end

    def send(self, data: bytes) -> None:
        """The client writes; TCP cuts where it likes."""
        cut = self._chance.randrange(len(data) + 1) if self._chance.random() < 0.2 else 0
        for part in (data[:cut], data[cut:]):
            if part:
                self.world.at(self._up.arrival(), self._sent, part)

    def close(self) -> None:
        """The client hangs up."""
        self.world.at(self._up.arrival(), self._hung_up)

    def read_again(self) -> None:
        """The client reads what has come meanwhile."""
        self.reading = True
        unread, self._unread = self._unread, []
        for data in unread:
            self._read(data)

    def break_off(self) -> None:
        """The network loses it, and both ends hear of it soon."""
        self.passable = False
        self.world.at(self._up.arrival(), self.comet.post, self._lose, ConnectionLost())
        self.world.at(self._down.arrival(), self._visit.lost, "reset")

    def vanish(self, seconds: float) -> None:
        """The network loses it, and only the comet's kernel finds out, so much later."""
        self.passable = False
        self.world.after(seconds, self.comet.post, self._lose, ConnectionLost())

    def comet_died(self, seconds: float) -> None:
        """The comet's process ended; the client hears of it so much later."""
        self.passable = False
        self.world.after(seconds, self._visit.lost, "the comet died")

    def _sent(self, data: bytes) -> None:
        if self.passable:
            self.comet.post(self._deliver, data)

    def _deliver(self, data: bytes) -> None:
        if not self._lost:
            self._protocol.dataReceived(data)

    def _hung_up(self) -> None:
        if self.passable:
            self.comet.post(self._lose, ConnectionDone())

    def _arrived(self, data: bytes) -> None:
        if not self.passable:
            return
        if self.reading:
            self._read(data)
        else:
            self._unread.append(data)

    def _read(self, data: bytes) -> None:
        if data == END:
            self._visit.hung_up()
            return
        self._way_bytes -= len(data)
        if self._queue and self._way_bytes <= self._high_bytes // 2:
            self.comet.post(self._drain)
        self._visit.read(data)

    def _reset(self) -> None:
        if self.passable:
            self._visit.lost("reset")
