"""A room's members in one bucket."""

from twisted.trial.unittest import SynchronousTestCase

from imd.comet.room import Room
from tests.support.comet_fakes import channel


class RoomTests(SynchronousTestCase):
    """Who is in it."""

    def test_members_do_not_change_under_who_looks(self) -> None:
        """Each look is of its moment; without a change it is the same object."""
        room = Room("live://1")
        first, second = channel("a"), channel("b")
        room.enter(first)
        room.enter(first)
        before = room.members()
        self.assertIs(room.members(), before)
        room.enter(second)
        room.leave(first)
        self.assertEqual((before, room.members(), len(room)), ((first,), (second,), 1))
        room.leave(first)
        self.assertEqual(len(room), 1)
