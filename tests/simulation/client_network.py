"""The network between clients and comets: what Twisted's TCP transport does, in memory, and what networks do to it."""

from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.python.failure import Failure

from imd.protocol.operation import Operation
from imd.protocol.packet import walk
from imd.transport.tcp import TcpConnection, TcpFactory
from tests.simulation.world import Lane, Process, World

if TYPE_CHECKING:
    from tests.simulation.client import Visit

END = b""  # the comet's FIN, among what is read


class Stream:
    """One connection, both of its ends: the transport of comet's protocol, and the socket of a client."""

    def __init__(
        self, world: World, *, comet: Process, factory: TcpFactory, visit: "Visit", slow: float, high_bytes: int
    ) -> None:
        self.world = world
        self.comet = comet
        self._visit = visit
        self._chance = world.random(f"stream/{visit.name}")
        self._down = Lane(world, f"{visit.name}/down", slow=slow)
        self._up = Lane(world, f"{visit.name}/up", slow=slow)
        self._high_bytes = high_bytes  # on the way, before the comet is told to pause
        self._way_bytes = 0  # written and not read by the client
        self._unread: list[bytes] = []  # arrived while the client does not read
        self._producer: Any = None
        self._paused = False  # the producer was told so
        self._shut = False  # the comet writes no more
        self._lost = False  # the comet was told that it is over
        self.reading = True  # the client does
        self.passable = True  # the network carries bytes
        self.written_packets = 0  # pushed ones that comet wrote
        self._protocol: TcpConnection = factory.buildProtocol(None)
        self._protocol.makeConnection(self)  # type: ignore[arg-type]  # it has what comet uses of ITransport

    # --- the comet's end

    def write(self, data: bytes) -> None:
        if self._lost or not self.comet.alive:
            return
        assert not self._shut, "written after the end"
        self.written_packets += sum(
            packet.operation >= 1000 or packet.operation == Operation.PRESENCE for packet in walk(data, extensions=True)
        )
        self._way_bytes += len(data)
        self.world.at(self._down.arrival(), self._arrived, data)
        if self._way_bytes > self._high_bytes and self._producer is not None and not self._paused:
            self._paused = True
            self._producer.pauseProducing()

    def loseWriteConnection(self) -> None:
        if not self._shut:
            self._shut = True
            self._visit.comet_ends()
            self.world.at(self._down.arrival(), self._arrived, END)

    def abortConnection(self) -> None:
        self._visit.comet_ends()
        self._shut = True
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

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Nothing to do."""

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", self._visit.address, 1)

    def _lose(self, error: Exception) -> None:
        if not self._lost:
            self._lost = self._shut = True
            self._visit.comet_ends()
            self._protocol.connectionLost(Failure(error))

    def _resume(self) -> None:
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
        if self._paused and self._way_bytes <= self._high_bytes // 2:
            self.comet.post(self._resume)
        self._visit.read(data)

    def _reset(self) -> None:
        if self.passable:
            self._visit.lost("reset")
