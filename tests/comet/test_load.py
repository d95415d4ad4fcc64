"""What is offered to channels."""

from twisted.trial.unittest import SynchronousTestCase

from imd.comet.load import Load
from imd.comet.policy import SlowPolicy
from imd.protocol.wire import Wire


class LoadTests(SynchronousTestCase):
    """One object for all receivers."""

    def test_asks_nobody_by_default(self) -> None:
        """Rooms are not filtered: no operation is None, while operation 0 is one."""
        wire = Wire(b"x")
        load = Load(wire, packets=2, policy=SlowPolicy.DISCONNECT)
        self.assertIs(load.wire, wire)
        self.assertEqual((load.packets, load.room, load.operation), (2, "", None))
        self.assertEqual(Load(wire, packets=1, policy=SlowPolicy.DISCONNECT, operation=0).operation, 0)
