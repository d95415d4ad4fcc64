"""What is offered to channels."""

from twisted.trial.unittest import SynchronousTestCase

from imd.comet.edition import Edition
from imd.comet.load import Load
from imd.comet.policy import SlowPolicy
from imd.protocol.wire import Wire
from tests.support.comet_fakes import pushed


class LoadTests(SynchronousTestCase):
    """One object for all receivers."""

    def test_asks_nobody_by_default(self) -> None:
        """Rooms are not filtered: no operation is None, while operation 0 is one."""
        wire = Wire(b"x")
        load = Load(wire, packets=2, policy=SlowPolicy.DISCONNECT)
        self.assertIs(load.wire, wire)
        self.assertEqual((load.packets, load.room, load.operation), (2, "", None))
        self.assertEqual(Load(wire, packets=1, policy=SlowPolicy.DISCONNECT, operation=0).operation, 0)

    def test_edition(self) -> None:
        """Made when the first version-2 receiver asks, and once."""
        made: list[Edition] = []

        def edit() -> Edition:
            made.append(Edition(pushed(b"x"), marks=[(1, 2)], policy=SlowPolicy.DISCONNECT))
            return made[-1]

        load = Load(Wire(b"x"), packets=1, policy=SlowPolicy.DISCONNECT, edit=edit)
        self.assertEqual(made, [])
        self.assertIs(load.edition, load.edition)
        self.assertEqual(len(made), 1)
