"""Sums over all outboxes."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.comet.drop import Drop
from imd.comet.held import ENTRY_BYTES
from imd.comet.load import Load
from imd.comet.outbox import Outbox
from imd.comet.policy import SlowPolicy
from imd.comet.reservoir import Reservoir
from imd.metrics import Metrics
from imd.protocol.wire import Wire
from tests.support.comet_fakes import FakeConnection


class ReservoirTests(SynchronousTestCase):
    """What the gauges show."""

    def test_sums(self) -> None:
        """Bytes of all, age of the oldest; nothing when nothing is held."""
        clock = Clock()
        reservoir = Reservoir(clock=clock, metrics=Metrics(), limit_bytes=10_000)
        first, second = (Outbox(connection=FakeConnection(), reservoir=reservoir) for _ in range(2))
        self.assertEqual((reservoir.size_bytes, reservoir.oldest_seconds), (0, 0))
        for outbox in (first, second):
            outbox.pause()
            outbox.reply(b"xx")
            clock.advance(2)
        self.assertEqual((reservoir.size_bytes, reservoir.oldest_seconds), (2 * (2 + ENTRY_BYTES), 4))
        first.resume()
        self.assertEqual((reservoir.size_bytes, reservoir.oldest_seconds), (2 + ENTRY_BYTES, 2))
        second.end(flush=False)
        self.assertEqual((reservoir.size_bytes, reservoir.oldest_seconds, reservoir.holders), (0, 0, set()))

    def test_packets(self) -> None:
        """Pushed packets of all; those that were held and written are counted."""
        reservoir = Reservoir(clock=Clock(), metrics=Metrics(), limit_bytes=10_000)
        reservoir.held(3)
        reservoir.written(2)
        self.assertEqual((reservoir.metrics.outbox_held.value(), reservoir.metrics.outbox_written.value()), (3, 2))
        for _ in range(2):
            outbox = Outbox(connection=FakeConnection(), reservoir=reservoir)
            outbox.pause()
            outbox.reply(b"x")
            outbox.offer(Load(Wire(b"yz"), packets=2, policy=SlowPolicy.DISCONNECT))
        self.assertEqual(reservoir.packets, 4)

    def test_dropped(self) -> None:
        """Counted under its label; nothing is no label."""
        metrics = Metrics()
        reservoir = Reservoir(clock=Clock(), metrics=metrics, limit_bytes=1)
        reservoir.dropped(0, Drop.OUTBOX_LOST)
        reservoir.dropped(2, Drop.OUTBOX_OLDEST)
        self.assertEqual(dict(metrics.drops.values), {("comet", "outbox_oldest"): 2})
