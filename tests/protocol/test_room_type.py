"""Room types: a room finds its own."""

from twisted.trial.unittest import SynchronousTestCase

from imd.protocol.room_type import LIVE, Join, Keep, RoomType, RoomTypes, Send


class RoomTypesTests(SynchronousTestCase):
    """By what is before ``://``."""

    def test_a_room_has_its_type(self) -> None:
        """Exactly the type, not a prefix of it."""
        chat = RoomType(keep=Keep(10, 1000), join=Join.MEMBERS, send=Send.JOINED)
        types = RoomTypes({"chat": chat})
        self.assertIs(types.of("chat://1"), chat)
        for room in ("chats://1", "cha://1", "live://chat", "://chat"):
            self.assertIs(types.of(room), types.other, room)

    def test_what_is_not_configured(self) -> None:
        """Is live, open to anyone, and nobody sends to it from a socket."""
        other = RoomTypes().of("x://1")
        self.assertEqual((other.keep, other.join, other.send), (LIVE, Join.ANYONE, Send.NOBODY))
