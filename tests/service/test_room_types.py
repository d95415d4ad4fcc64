"""Room types as the processes get them."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from imd.config import Settings, load
from imd.protocol.room_type import LIVE, Join, Keep, RoomType, Send
from imd.service.room_types import keep_rules, room_types

ROOMS = """
[rooms.live]
[rooms.chat]
keep = true
count = 5
age_seconds = 1.5
join = "members"
send = "joined"
presence_events = true
"""


class RoomTypesTests(SynchronousTestCase):
    """From the file's words to values."""

    def settings(self, text: str = ROOMS) -> Settings:
        """Those of a comet."""
        path = Path(self.mktemp())
        path.write_text(text)
        return load("comet", path)

    def test_a_type_by_a_room(self) -> None:
        """Everything of its table; another room has the defaults of a type without a table."""
        types = room_types(self.settings())
        self.assertEqual(types.of("chat://1"), RoomType(Keep(5, 1500), Join.MEMBERS, Send.JOINED, presence_events=True))
        self.assertEqual(types.of("live://1"), types.of("other://1"))
        self.assertEqual(types.of("other://1"), RoomType(LIVE, Join.ANYONE, Send.NOBODY))

    def test_inboxes(self) -> None:
        """Kept by default; their numbers do not matter when they are not."""
        self.assertEqual(keep_rules(self.settings()).inboxes, Keep(1000, 604_800_000))
        self.assertEqual(keep_rules(self.settings("[inboxes]\nkeep = false")).inboxes, LIVE)
        self.assertEqual(keep_rules(self.settings()).of_room("chat://1", None), Keep(5, 1500))
