"""Broadcasts at a pace."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.comet.channel import Channel
from imd.comet.drop import Drop
from imd.comet.fanout import Fanout
from imd.comet.fate import Fate
from imd.comet.load import Load
from imd.comet.policy import SlowPolicy
from imd.comet.sweep import Sweep
from imd.comet.tally import Tally
from imd.protocol.wire import Wire
from imd.transport.battery import SocketBattery
from tests.support.comet_fakes import channel


class SweepTests(SynchronousTestCase):
    """Over a hundred channels."""

    def begin(self, speed: int, per_turn: int = 1000) -> Sweep:
        self.clock = Clock()
        self.delivered = 0
        self.largest = self.offered = self.left = self.stopped = 0
        self.over = False
        self.members: list[Channel] = [channel() for _ in range(100)]
        sweep = Sweep(
            load=Load(Wire(b"x"), packets=1, policy=SlowPolicy.DISCONNECT, operation=1000),
            channels=iter(self.members),
            count=100,
            speed=speed,
            per_turn=per_turn,
            clock=self.clock,
            fanout=Fanout(behind=lambda *_: None, arm=SocketBattery),
            done=self.done,
        )
        sweep.tick()
        return sweep

    def done(self, sweep: Sweep, tally: Tally, last: bool) -> None:
        self.delivered += tally.delivered
        self.largest = max(self.largest, tally.delivered)
        self.offered += tally.offered
        self.left += tally.fates.get(Fate.LEFT, 0)
        self.stopped += tally.drops.get(Drop.STOPPED, 0)
        self.over = last

    def test_pace(self) -> None:
        """Never more than the speed and one, and not much less."""
        for speed, step in ((1, 1.0), (3, 1 / 3), (10, 0.1), (25, 0.1), (90, 0.1)):
            self.begin(speed)
            for tick in range(1, 11):
                self.clock.advance(step)
                self.assertLessEqual(self.delivered, tick * step * speed + 1.001, speed)
                self.assertGreaterEqual(self.delivered, int(tick * step * speed), speed)

    def test_over(self) -> None:
        """It says so, and leaves no timer."""
        self.begin(50)
        self.clock.pump([0.1] * 25)
        self.assertEqual((self.delivered, self.over), (100, True))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_fast_ones_go_in_small_steps(self) -> None:
        """A tick is never larger than a turn's budget; the pace holds all the same."""
        self.begin(1000, per_turn=10)
        self.clock.pump([0.01] * 12)
        self.assertEqual((self.delivered, self.largest, self.over), (100, 10, True))

    def test_stop(self) -> None:
        """The rest is dropped, and said to be; it is over, and stopping again changes nothing."""
        sweep = self.begin(10)
        sweep.stop()
        sweep.stop()
        self.assertEqual((self.clock.getDelayedCalls(), self.delivered, self.over), ([], 1, True))
        self.assertEqual((self.offered, self.stopped), (100, 99))

    def test_who_goes_meanwhile(self) -> None:
        """Is counted as left: all that was promised at the start has an outcome."""
        self.begin(50)
        del self.members[60:]
        self.clock.pump([0.1] * 25)
        self.assertEqual((self.delivered, self.left, self.offered, self.over), (60, 40, 100, True))

    def test_who_comes_meanwhile(self) -> None:
        """Gets it too, beyond what was promised."""
        self.begin(50)
        self.members.append(channel())
        self.clock.pump([0.1] * 25)
        self.assertEqual((self.delivered, self.left, self.offered), (101, 0, 101))
