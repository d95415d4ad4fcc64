"""A squad: what is known of whom can be sent to, and until when."""

from collections.abc import Callable, Sequence

from twisted.trial.unittest import SynchronousTestCase

from imd.comet.load import Load
from imd.comet.policy import SlowPolicy
from imd.comet.squad import Squad
from imd.interfaces import Battery, Sink
from imd.protocol.wire import Wire
from imd.transport.battery import SocketBattery
from tests.support.comet_fakes import FakeConnection, FakeSink, channel
from tests.support.version_2 import following

WHAT = Load(Wire(b"abc"), packets=2, policy=SlowPolicy.DISCONNECT, room="r")


def ready(key: str) -> FakeConnection:
    connection = FakeConnection(key)
    connection.sink = FakeSink()
    return connection


class SquadTests(SynchronousTestCase):
    """Two members of version 1, and one of version 2."""

    def setUp(self) -> None:
        self.armed = 0
        self.squad = Squad("r")
        self.members = [
            channel("a", connection=ready("a")),
            channel("b", connection=ready("b")),
            following(key="c", connection=ready("c")),
        ]
        for member in self.members:
            self.squad.enter(member)

    def arm(self, sinks: Sequence[Sink]) -> Battery:
        self.armed += 1
        return SocketBattery(sinks)

    def fire(self) -> None:
        for rank in self.squad.ranks(self.arm):
            self.assertEqual(rank.fire(WHAT), [])

    def test_by_version(self) -> None:
        """The older, and the newer."""
        older, newer = self.squad.ranks(self.arm)
        self.assertEqual((older.channels, newer.channels), (self.members[:2], self.members[2:]))

    def test_made_once(self) -> None:
        """From one push to the next nothing is made anew; the outboxes count when it ends."""
        for _ in range(3):
            self.fire()
        self.assertEqual((self.armed, self.members[0].outbox.packets_out), (2, 0))
        self.squad.stir()
        self.squad.stir()
        self.assertEqual([member.outbox.packets_out for member in self.members], [6, 6, 6])

    def changes(self) -> dict[str, Callable[[], None]]:
        outbox = self.members[1].outbox
        return {
            "enter": lambda: self.squad.enter(channel("d")),
            "leave": lambda: self.squad.leave(self.members[0]),
            "cork": outbox.cork,
            "uncork": lambda: outbox.uncork(b"first"),
            "pause": outbox.pause,
            "resume": outbox.resume,
            "end": lambda: outbox.end(flush=True),
        }

    def test_every_change_stirs(self) -> None:
        """What was made before is dissolved, counted, and sends nothing more, whoever kept it."""
        for name, change in self.changes().items():
            ranks = self.squad.ranks(self.arm)
            ranks[0].fire(WHAT)
            counted = self.members[2].outbox.packets_out
            ranks[1].fire(WHAT)
            change()
            self.assertEqual([rank.ready for rank in ranks], [0, 0], name)
            self.assertEqual(ranks[1].fire(WHAT), [], name)
            self.assertEqual(self.members[2].outbox.packets_out, counted + 2, name)
            self.assertIsNot(self.squad.ranks(self.arm), ranks, name)

    def test_an_end_that_fails(self) -> None:
        """Whatever raises later, the descriptor is out of it first."""
        connection = FakeConnection()
        connection.sink = FakeSink()
        member = channel("d", connection=connection)
        self.squad.enter(member)
        member.outbox.pause()
        member.outbox.offer(WHAT)
        ranks = self.squad.ranks(self.arm)
        connection.faulty = True
        with self.assertRaises(ZeroDivisionError):
            member.outbox.end(flush=True)
        self.assertEqual([rank.ready for rank in ranks], [0, 0])
        older, _ = self.squad.ranks(self.arm)
        self.assertEqual((older.ready, older.others), (2, [member]))

    def test_several_squads(self) -> None:
        """A pause reaches all that the member is in."""
        other = Squad("s")
        other.enter(self.members[0])
        ranks = [*self.squad.ranks(self.arm), *other.ranks(self.arm)]
        self.members[0].outbox.pause()
        self.assertEqual([rank.ready for rank in ranks], [0, 0, 0, 0])
        self.squad.leave(self.members[0])
        self.assertEqual(self.members[0].rooms, ("s",))
