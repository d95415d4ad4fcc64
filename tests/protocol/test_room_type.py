"""What holds for the rooms of a type."""

from twisted.trial.unittest import SynchronousTestCase

from imd.protocol.room_type import LIVE, Join, Keep, RoomType, RoomTypes, Send


class RoomTypesTests(SynchronousTestCase):
    """:class:`RoomTypes`."""

    def test_a_room_has_the_type_before_the_separator(self) -> None:
        """The name may hold anything, separators too."""
        chat = RoomType(keep=Keep(10, 1000), send=Send.JOINED)
        types = RoomTypes({"chat": chat, "": RoomType(join=Join.MEMBERS)})
        self.assertIs(types.of("chat://a://b"), chat)
        self.assertEqual(types.of("no separator").join, Join.MEMBERS)

    def test_an_unknown_type_is_as_goims_rooms_are(self) -> None:
        """Live, open, and silent towards sockets."""
        room = RoomTypes().of("live://1")
        self.assertEqual(
            (room.keep, room.join, room.send, room.presence_events), (LIVE, Join.ANYONE, Send.NOBODY, False)
        )
