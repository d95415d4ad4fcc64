"""What devices have handled, on its way to logic."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.comet import acks as module
from imd.comet.acks import GATHER_SECONDS, PAGE, Acks
from imd.comet.courier import RETRY_SECONDS
from imd.comet.work import Work
from imd.errors import BadRequest, PeerUnavailable
from imd.metrics import Metrics
from imd.protocol import rpc
from imd.protocol.timeline import Place
from tests.support.comet_fakes import SERVER, FakeLogic


class AckTests(SynchronousTestCase):
    """Gathered, and the newest only."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.logic = FakeLogic()
        self.metrics = Metrics()
        self.acks = Acks(
            server=SERVER, logic=self.logic, clock=self.clock, work=Work(clock=self.clock), metrics=self.metrics
        )

    def sent(self) -> list[tuple[rpc.Ack, ...]]:
        """The pages so far."""
        return [call.acks for call in self.logic.of(rpc.Acks)]

    def test_the_newest_of_each(self) -> None:
        """One page for all that came within the time; each device and timeline once."""
        for seq in (1, 2, 3):
            self.acks.note("r:a", "1:phone", Place(seq, "e"))
        self.acks.note("r:a", "1:desk", Place(1, "e"))
        self.acks.note("m:1", "1:phone", Place(7, "e"))
        self.assertEqual(self.sent(), [])
        self.clock.advance(GATHER_SECONDS)
        wanted = {
            rpc.Ack("r:a", "1:phone", 3, "e"),
            rpc.Ack("r:a", "1:desk", 1, "e"),
            rpc.Ack("m:1", "1:phone", 7, "e"),
        }
        self.assertEqual([set(page) for page in self.sent()], [wanted])
        self.assertEqual((len(self.acks), self.clock.getDelayedCalls()), (0, []))

    def test_never_back(self) -> None:
        """A second connection of the device that is behind does not win; another epoch does, whatever its seq."""
        self.acks.note("r:a", "1:phone", Place(5, "e"))
        self.acks.note("r:a", "1:phone", Place(4, "e"))
        self.clock.advance(GATHER_SECONDS)
        self.acks.note("r:a", "1:phone", Place(5, "e"))
        self.acks.note("r:a", "1:phone", Place(1, "f"))
        self.clock.advance(GATHER_SECONDS)
        self.assertEqual([(page[0].seq, page[0].epoch) for page in self.sent()], [(5, "e"), (1, "f")])

    def test_pages(self) -> None:
        """Never more than the wire takes."""
        for number in range(PAGE + 1):
            self.acks.note("r:a", f"1:{number}", Place(1, "e"))
        self.clock.advance(GATHER_SECONDS)
        self.assertEqual([len(page) for page in self.sent()], [PAGE, 1])

    def test_sent_again_unless_newer(self) -> None:
        """A page that failed waits; what a newer ack replaced is not sent."""
        self.logic.held.add(rpc.Acks)
        self.acks.note("r:a", "1:phone", Place(1, "e"))
        self.acks.note("r:a", "1:desk", Place(9, "e"))
        self.clock.advance(GATHER_SECONDS)
        self.acks.note("r:a", "1:phone", Place(2, "e"))
        self.acks.note("r:a", "1:desk", Place(8, "e"))
        self.logic.held.clear()
        self.logic.release(rpc.Acks, PeerUnavailable("away"))
        self.clock.advance(RETRY_SECONDS)
        self.assertEqual({(ack.device, ack.seq) for ack in self.sent()[1]}, {("1:phone", 2), ("1:desk", 9)})

    def test_refused_for_good(self) -> None:
        """What logic will never take does not stop those behind it."""
        self.logic.failing[rpc.Acks] = BadRequest("no")
        self.acks.note("r:a", "1:phone", Place(1, "e"))
        self.clock.advance(GATHER_SECONDS)
        self.assertEqual((len(self.acks), self.clock.getDelayedCalls()), (0, []))
        self.assertEqual(self.metrics.acks.value("refused"), 1)

    def test_bounded(self) -> None:
        """Beyond the limit the ack of a new device is dropped and counted; known ones move on."""
        for number in range(module.LIMIT + 2):
            self.acks.note("r:a", f"1:{number}", Place(1, "e"))
        self.acks.note("r:a", "1:0", Place(2, "e"))
        self.assertEqual((len(self.acks), self.metrics.acks.value("dropped")), (module.LIMIT, 2))
        self.assertEqual(self.metrics.acks.value("taken"), module.LIMIT + 1)

    def test_stop(self) -> None:
        """What waits leaves now."""
        self.acks.note("r:a", "1:phone", Place(1, "e"))
        self.acks.stop()
        self.assertEqual((len(self.sent()), self.clock.getDelayedCalls()), (1, []))
