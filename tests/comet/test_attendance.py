"""Who came into rooms, and who left."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.comet import attendance as module
from imd.comet.attendance import GATHER_SECONDS, PAGE, Attendance
from imd.comet.courier import RETRY_SECONDS
from imd.comet.work import Work
from imd.errors import BadRequest, PeerUnavailable
from imd.metrics import Metrics
from imd.protocol import rpc
from tests.support.comet_fakes import SERVER, FakeLogic


class AttendanceTests(SynchronousTestCase):
    """The first connection in, the last one out."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.logic = FakeLogic()
        self.metrics = Metrics()
        self.attendance = Attendance(
            server=SERVER, logic=self.logic, clock=self.clock, work=Work(clock=self.clock), metrics=self.metrics
        )

    def told(self) -> list[tuple[str, int, bool]]:
        """Since the last look."""
        events = [(e.room, e.mid, e.joined) for call in self.logic.of(rpc.Attendances) for e in call.events]
        self.logic.calls.clear()
        return events

    def test_first_in_last_out(self) -> None:
        """Connections between them are nobody's business."""
        self.attendance.enter("chat://1", 7)
        self.attendance.enter("chat://1", 7)
        self.clock.advance(GATHER_SECONDS)
        self.assertEqual(self.told(), [("chat://1", 7, True)])
        self.attendance.leave("chat://1", 7)
        self.clock.advance(GATHER_SECONDS)
        self.assertEqual(self.told(), [])
        self.attendance.leave("chat://1", 7)
        self.clock.advance(GATHER_SECONDS)
        self.assertEqual(self.told(), [("chat://1", 7, False)])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_in_order(self) -> None:
        """One page for all; of one member and room each event comes after the one before."""
        self.attendance.enter("chat://1", 7)
        self.attendance.enter("chat://2", 7)
        self.attendance.enter("chat://1", 8)
        self.clock.advance(GATHER_SECONDS)
        self.assertEqual(len(self.logic.of(rpc.Attendances)), 1)
        self.assertEqual(self.told(), [("chat://1", 7, True), ("chat://2", 7, True), ("chat://1", 8, True)])

    def test_a_reconnect_is_not_told(self) -> None:
        """Whoever is back at once was never away; it is accounted for."""
        self.attendance.enter("chat://1", 7)
        self.clock.advance(GATHER_SECONDS)
        self.told()
        self.attendance.leave("chat://1", 7)
        self.attendance.enter("chat://1", 7)
        self.clock.advance(GATHER_SECONDS)
        self.assertEqual(self.told(), [])
        count = self.metrics.attendances.value
        self.assertEqual((count("seen"), count("told"), count("undone")), (3, 1, 2))

    def test_told_again(self) -> None:
        """While logic is away events wait; of each member the newest is told, for an older one may have been heard."""
        self.logic.failing[rpc.Attendances] = PeerUnavailable("away")
        self.attendance.enter("chat://1", 7)
        self.attendance.enter("chat://1", 8)
        self.clock.advance(GATHER_SECONDS)
        self.attendance.leave("chat://1", 7)
        self.logic.failing.clear()
        self.told()
        self.clock.advance(RETRY_SECONDS)
        self.assertEqual(self.told(), [("chat://1", 8, True), ("chat://1", 7, False)])
        count = self.metrics.attendances.value
        self.assertEqual((count("seen"), count("told"), count("undone")), (3, 2, 1))

    def test_no_doubt_is_left(self) -> None:
        """Once logic has answered, what comes next is as before: two that undo each other are none."""
        self.logic.failing[rpc.Attendances] = PeerUnavailable("away")
        self.attendance.enter("chat://1", 7)
        self.clock.advance(GATHER_SECONDS)
        self.logic.failing.clear()
        self.clock.advance(RETRY_SECONDS)
        self.told()
        self.attendance.leave("chat://1", 7)
        self.attendance.enter("chat://1", 7)
        self.clock.advance(GATHER_SECONDS)
        self.assertEqual((self.told(), len(self.attendance)), ([], 0))

    def test_left_while_the_coming_is_under_way(self) -> None:
        """It is told after it."""
        self.logic.held.add(rpc.Attendances)
        self.attendance.enter("chat://1", 7)
        self.clock.advance(GATHER_SECONDS)
        self.attendance.leave("chat://1", 7)
        self.clock.advance(GATHER_SECONDS)
        self.logic.held.clear()
        self.logic.release(rpc.Attendances)
        self.assertEqual(self.told(), [("chat://1", 7, True), ("chat://1", 7, False)])

    def test_left_while_the_coming_is_lost(self) -> None:
        """Nobody knows whether it was told: so that the member left is told."""
        self.logic.held.add(rpc.Attendances)
        self.attendance.enter("chat://1", 7)
        self.clock.advance(GATHER_SECONDS)
        self.attendance.leave("chat://1", 7)
        self.logic.held.clear()
        self.logic.release(rpc.Attendances, PeerUnavailable("away"))
        self.told()
        self.clock.advance(RETRY_SECONDS)
        self.assertEqual(self.told(), [("chat://1", 7, False)])
        self.assertEqual((len(self.attendance), self.clock.getDelayedCalls()), (0, []))

    def test_pages(self) -> None:
        """Never more than the wire takes."""
        for mid in range(PAGE + 1):
            self.attendance.enter("chat://1", mid + 1)
        self.clock.advance(GATHER_SECONDS)
        self.assertEqual([len(call.events) for call in self.logic.of(rpc.Attendances)], [PAGE, 1])

    def test_refused_for_good(self) -> None:
        """What logic will never take does not stop those behind it."""
        self.logic.failing[rpc.Attendances] = BadRequest("no")
        self.attendance.enter("chat://1", 7)
        self.clock.advance(GATHER_SECONDS)
        self.assertEqual((len(self.attendance), self.metrics.attendances.value("refused")), (0, 1))

    def test_bounded(self) -> None:
        """Beyond the limit an event is dropped and counted; who left is forgotten all the same."""
        for mid in range(module.LIMIT + 1):
            self.attendance.enter("chat://1", mid + 1)
        self.assertEqual((len(self.attendance), self.metrics.attendances.value("dropped")), (module.LIMIT, 1))
        for mid in range(module.LIMIT + 1):
            self.attendance.leave("chat://1", mid + 1)
        self.assertEqual(len(self.attendance), 1)  # it left, though its coming was not told
        self.clock.advance(GATHER_SECONDS)
        self.assertEqual(self.told(), [("chat://1", module.LIMIT + 1, False)])

    def test_stop(self) -> None:
        """What waits is told now."""
        self.attendance.enter("chat://1", 7)
        self.attendance.stop()
        self.assertEqual((len(self.told()), self.clock.getDelayedCalls()), (1, []))
