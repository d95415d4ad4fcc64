"""Squad: members of one room that get its pushes in the same reactor turn."""

from imd.comet.channel import Channel
from imd.comet.rank import Rank
from imd.interfaces import Arm


class Squad:
    """Its ranks stay from push to push, until a member enters, leaves, or can be sent to no longer, or again: whoever lets that
    happen calls :meth:`stir` *first*, while each descriptor is still its member's and each outbox empty."""

    __slots__ = ("_ranks", "awaited", "members", "room")

    def __init__(self, room: str) -> None:
        self.room = room  # its id; one string for all members
        self.members: dict[Channel, None] = {}  # in the order they came
        # A push that is under way has not come to it yet: who enters now would be no receiver of that.
        self.awaited = False
        self._ranks: tuple[Rank, Rank] | None = None  # None = stirred since the last push

    def __len__(self) -> int:
        return len(self.members)

    def enter(self, channel: Channel) -> None:
        """Become a member. Precondition: it was none."""
        self.stir()
        self.members[channel] = None
        channel.outbox.squads = (*channel.outbox.squads, self)

    def leave(self, channel: Channel) -> None:
        """No longer be one. Precondition: it was."""
        self.stir()
        del self.members[channel]
        channel.outbox.squads = tuple([other for other in channel.outbox.squads if other is not self])

    def stir(self) -> None:
        """What is so far known of whom can be sent to is not true any more."""
        ranks, self._ranks = self._ranks, None
        if ranks is not None:
            for rank in ranks:
                rank.dissolve()

    def ranks(self, arm: Arm) -> tuple[Rank, Rank]:
        """Its members now: of version 1, and of version 2. Not to be used over a call that may stir it."""
        if self._ranks is None:
            members = self.members
            older = [channel for channel in members if channel.positions is None]
            newer = [channel for channel in members if channel.positions is not None]
            self._ranks = Rank(older, arm=arm), Rank(newer, arm=arm)
        return self._ranks
