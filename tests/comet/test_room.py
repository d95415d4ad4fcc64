"""A room's members, in squads."""

from twisted.trial.unittest import SynchronousTestCase

from imd.comet.channel import Channel
from imd.comet.room import Room
from tests.support.comet_fakes import channel


class RoomTests(SynchronousTestCase):
    """Squads of two."""

    def setUp(self) -> None:
        self.room = Room("live://1", squad_size=2)
        self.members = [channel(key) for key in "abcde"]

    def enter(self, *members: Channel) -> None:
        for member in members:
            self.room.enter(member)

    def squads(self) -> list[str]:
        return ["".join(member.key for member in squad.members) for squad in self.room.squads]

    def test_squads(self) -> None:
        """They are filled, also where somebody left; empty ones are gone."""
        a, b, c, d, e = self.members
        self.enter(a, b, c, d)
        self.assertEqual((self.squads(), len(self.room)), (["ab", "cd"], 4))
        self.room.leave(a)
        self.enter(e)
        self.assertEqual(self.squads(), ["be", "cd"])
        self.room.leave(c)
        self.room.leave(d)
        self.assertEqual((self.squads(), len(self.room)), (["be"], 2))
        self.room.leave(b)
        self.room.leave(e)
        self.assertFalse(self.room)

    def test_a_member_of_several(self) -> None:
        """Leaves one, and stays in the others."""
        other = Room("live://2", squad_size=2)
        member = self.members[0]
        self.enter(member)
        other.enter(member)
        self.room.leave(member)
        self.assertEqual((member.rooms, len(self.room), len(other)), (("live://2",), 0, 1))

    def test_who_enters_while_a_push_is_under_way(self) -> None:
        """Never enters a squad that it has still to come to; one that it came to, or a new one, is open."""
        a, b, c, d, e = self.members
        self.enter(a, b, c)
        awaited = self.room.muster()
        self.assertEqual(awaited, self.room.squads[::-1])
        self.enter(d)
        self.assertEqual(self.squads(), ["ab", "c", "d"])
        self.room.leave(a)
        awaited.pop().awaited = False
        self.room.leave(d)
        self.enter(e)
        self.assertEqual(self.squads(), ["be", "c"])
