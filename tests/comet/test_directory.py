"""Channels by key, and rooms."""

from itertools import chain

from twisted.trial.unittest import SynchronousTestCase

from imd.comet.directory import Directory
from tests.support.comet_fakes import channel


class DirectoryTests(SynchronousTestCase):
    """Eight buckets, and squads of two."""

    def setUp(self) -> None:
        self.directory = Directory(buckets=8, squad_size=2)

    def test_find(self) -> None:
        """By key, whichever the bucket; a key may be any text."""
        members = [channel(key) for key in ("a", "ü", "\ud800", "x" * 128)]
        for member in members:
            self.directory.put(member)
        for member in members:
            self.assertIs(self.directory.find(member.key), member)
        self.assertIsNone(self.directory.find("b"))
        self.assertEqual(len(self.directory), 4)
        self.assertEqual(set(chain.from_iterable(self.directory.channels())), set(members))

    def test_rooms(self) -> None:
        """Members over all squads; an empty room is forgotten."""
        members = [channel(f"k{number}") for number in range(3)]
        for member in members:
            self.directory.put(member)
            self.directory.join(member, "live://1")
            self.directory.join(member, "live://1")
        self.assertEqual(list(self.directory.members("live://1")), [(members[0], members[1]), (members[2],)])
        squads = self.directory.muster("live://1")
        self.assertEqual([list(squad.members) for squad in squads], [[members[2]], [members[0], members[1]]])
        self.assertEqual((self.directory.count("live://1"), self.directory.count("live://2")), (3, 0))
        for member in members:
            self.directory.remove(member)
        self.assertEqual((self.directory.room_count, self.directory.count("live://1"), len(self.directory)), (0, 0, 0))
        self.assertEqual((list(self.directory.members("live://1")), self.directory.muster("live://1")), ([], []))

    def test_members_share_the_rooms_string(self) -> None:
        """A hundred thousand members hold one id."""
        members = [channel("a"), channel("b")]
        for member in members:
            self.directory.put(member)
            self.directory.join(member, "".join(["live", "://", "1"]))
        self.assertIs(members[0].rooms[0], members[1].rooms[0])

    def test_several_rooms(self) -> None:
        """Inside, a channel may be in more than one; who is, is counted."""
        member = channel("a")
        self.directory.put(member)
        overlaps = []
        for room in ("a", "b", "c"):
            self.directory.join(member, room)
            overlaps.append(self.directory.overlaps)
        for room in ("b", "x", "a", "c"):
            self.directory.leave(member, room)
            overlaps.append(self.directory.overlaps)
        self.assertEqual(overlaps, [0, 1, 1, 1, 1, 0, 0])
        self.assertEqual((member.rooms, self.directory.room_count), ((), 0))

    def test_list_of_rooms(self) -> None:
        """Those with a member; a copy, so they may go meanwhile."""
        members = [channel("a"), channel("b")]
        for member, room in zip(members, ("r", "s"), strict=True):
            self.directory.put(member)
            self.directory.join(member, room)
        rooms = self.directory.rooms()
        self.directory.remove(members[0])
        self.assertEqual((rooms, self.directory.rooms()), (["r", "s"], ["s"]))

    def test_late_loss(self) -> None:
        """The older channel of a key leaves its own rooms, and nothing of the newcomer's."""
        older, newer = channel("k"), channel("k")
        self.directory.put(older)
        self.directory.join(older, "a")
        self.assertIs(self.directory.put(newer), older)
        self.directory.join(newer, "a")
        self.directory.remove(older)
        self.assertIs(self.directory.find("k"), newer)
        self.assertEqual(list(chain.from_iterable(self.directory.members("a"))), [newer])
        self.directory.remove(older)
        self.assertEqual(self.directory.count("a"), 1)
