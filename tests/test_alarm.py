"""One timer for a deadline that moves."""

from math import inf

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.alarm import Alarm


class AlarmTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.rung: list[float] = []
        self.alarm = Alarm(self.clock, lambda: self.rung.append(self.clock.seconds()))

    def advance(self, to: float) -> None:
        """In small steps."""
        while self.clock.seconds() < to:
            self.clock.advance(0.25)

    def test_once(self) -> None:
        """It rings when it is due, once, and can be due again."""
        self.alarm.due(2)
        self.advance(5)
        self.alarm.due(6)
        self.advance(9)
        self.assertEqual(self.rung, [2, 6])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_later(self) -> None:
        """Put off again and again it has one timer, and rings when it was due last."""
        for at in (2, 3, 4, 5):
            self.alarm.due(at)
            self.assertEqual(len(self.clock.getDelayedCalls()), 1)
            self.advance(at - 0.5)
        self.advance(9)
        self.assertEqual(self.rung, [5])

    def test_earlier(self) -> None:
        """Due earlier than before it rings earlier, and not again."""
        self.alarm.due(5)
        self.alarm.due(2)
        self.advance(9)
        self.assertEqual(self.rung, [2])

    def test_never(self) -> None:
        """Not due any more it is silent; its timer goes off for nothing, or serves the next deadline."""
        self.alarm.due(2)
        self.alarm.due(inf)
        self.advance(1)
        self.alarm.due(3)
        self.alarm.due(inf)
        self.advance(9)
        self.assertEqual((self.rung, self.clock.getDelayedCalls()), ([], []))

    def test_overdue(self) -> None:
        """Due in the past it rings in the next turn."""
        self.advance(3)
        self.alarm.due(1)
        self.assertEqual(self.rung, [])
        self.clock.advance(0)
        self.assertEqual(self.rung, [3])

    def test_stop(self) -> None:
        """It leaves nothing behind, twice too, and may be due again."""
        self.alarm.due(2)
        self.alarm.stop()
        self.alarm.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.alarm.due(3)
        self.advance(9)
        self.assertEqual(self.rung, [3])
