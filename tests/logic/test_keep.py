"""What is kept by default, and when its pusher does not want it."""

from twisted.trial.unittest import SynchronousTestCase

from imd.logic.keep import LIVE_ONLY, KeepRules
from imd.protocol.room_type import LIVE, Keep, RoomType, RoomTypes

INBOX, ROOM = Keep(20, 2000), Keep(10, 1000)
RULES = KeepRules(inboxes=INBOX, room_types=RoomTypes({"chat": RoomType(keep=ROOM)}))


class KeepRulesTests(SynchronousTestCase):
    """Inboxes as they are configured, rooms by their type."""

    def test_members(self) -> None:
        """Kept unless the pusher says that it shall be live."""
        self.assertEqual([RULES.of_members(asked) for asked in (None, True, False)], [INBOX, INBOX, LIVE])

    def test_rooms(self) -> None:
        """The type decides, then the pusher."""
        self.assertEqual([RULES.of_room("chat://1", asked) for asked in (None, True, False)], [ROOM, ROOM, LIVE])
        self.assertEqual([RULES.of_room("live://1", asked) for asked in (None, True, False)], [LIVE, LIVE, LIVE])

    def test_nothing_configured(self) -> None:
        """Everything is live."""
        self.assertEqual((LIVE_ONLY.of_members(None), LIVE_ONLY.of_room("chat://1", None)), (LIVE, LIVE))
