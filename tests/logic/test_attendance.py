"""Members of a room hear who comes and goes, where its type says so."""

from collections.abc import Sequence

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.backend.broker_memory import BrokerMemory
from imd.errors import BadRequest, BrokerUnavailable, Overloaded
from imd.logic.attendance import MAX_EVENTS, Attendance
from imd.logic.ids import IdMaker
from imd.metrics import Metrics
from imd.protocol import rpc
from imd.protocol.push import Push, Target, partition_of
from imd.protocol.room_type import RoomType, RoomTypes

NOW = 1_800_000_000.0
CAME = rpc.Attendance("chat://1", 2**60, True)
LEFT = rpc.Attendance("chat://1", 2**60, False)


class AttendanceTests(SynchronousTestCase):
    """On a broker in memory."""

    def setUp(self) -> None:
        self.metrics = Metrics()
        self.broker = BrokerMemory(partitions=4, clock=Clock(), metrics=self.metrics, max_backlog_entries=1000)
        self.successResultOf(Deferred.fromCoroutine(self.broker.open()))
        self.attendance = Attendance(
            broker=self.broker,
            ids=IdMaker(now=lambda: NOW, worker_id=1),
            now=lambda: NOW,
            metrics=self.metrics,
            room_types=RoomTypes({"chat": RoomType(presence_events=True)}),
        )

    def attend(self, events: Sequence[rpc.Attendance]) -> "Deferred[rpc.Done]":
        return Deferred.fromCoroutine(self.attendance.attend(rpc.Attendances("c1", tuple(events))))

    def told(self, room: str) -> list[Push]:
        reading = self.broker.read(partition_of(room, 4), 2000, 0)
        return [entry.push for entry in self.successResultOf(Deferred.fromCoroutine(reading))]

    def test_told(self) -> None:
        """A live push of operation 46 to the room, in the events' order."""
        self.assertEqual(self.successResultOf(self.attend([CAME, LEFT])), rpc.Done())
        pushes = self.told("chat://1")
        self.assertEqual(
            [(push.target, push.operation, push.room, push.timelines) for push in pushes],
            [(Target.ROOM, 46, "chat://1", ())] * 2,
        )
        self.assertEqual(
            [msgspec.json.decode(push.body) for push in pushes],
            [{"room": "chat://1", "mid": str(2**60), "joined": joined} for joined in (True, False)],
        )
        self.assertEqual((self.metrics.offered.value("room"), self.metrics.published.value("room")), (2, 2))

    def test_unwanted(self) -> None:
        """Rooms whose type does not tell hear nothing, nor is anybody told of anonymous clients; both are counted."""
        self.successResultOf(self.attend([rpc.Attendance("live://1", 5, True), rpc.Attendance("chat://1", 0, True)]))
        self.assertEqual(self.told("chat://1") + self.told("live://1"), [])
        self.assertEqual(self.metrics.drops.value("logic", "unwanted"), 2)
        self.successResultOf(self.attend([]))

    def test_too_many(self) -> None:
        """A request has a limit, and is refused whole beyond it."""
        self.failureResultOf(self.attend([CAME] * (MAX_EVENTS + 1)), BadRequest)
        self.assertEqual(self.told("chat://1"), [])
        self.successResultOf(self.attend([CAME] * MAX_EVENTS))

    def test_broker(self) -> None:
        """What the broker says goes to comet, which may ask again; each event is accounted for."""
        self.successResultOf(self.attend([CAME] * 999))
        self.failureResultOf(self.attend([CAME, LEFT]), Overloaded)
        self.successResultOf(Deferred.fromCoroutine(self.broker.close()))
        self.failureResultOf(self.attend([CAME]), BrokerUnavailable)
        balance = self.metrics.offered.value("room") - self.metrics.published.value("room")
        self.assertEqual(balance, sum(self.metrics.unpublished.values.values()))
