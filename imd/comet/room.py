"""Room: channels that share pushes."""

from imd.comet.channel import Channel
from imd.comet.squad import Squad


class Room:
    """The members of one room on this comet, in squads. An empty one is thrown away by the directory."""

    __slots__ = ("_squad_size", "id", "squads")

    def __init__(self, id: str, *, squad_size: int) -> None:
        self.id = id  # ``type://name``
        self.squads: list[Squad] = []  # none is empty
        self._squad_size = squad_size  # members of a squad, at most

    def __len__(self) -> int:
        return sum(map(len, self.squads))

    def enter(self, channel: Channel) -> None:
        """Become a member. Precondition: it was none."""
        self._roomy().enter(channel)

    def leave(self, channel: Channel) -> None:
        """No longer be one. Precondition: it was."""
        squad = next(squad for squad in channel.outbox.squads if squad.room == self.id)
        squad.leave(channel)
        if not squad:
            self.squads.remove(squad)

    def muster(self) -> list[Squad]:
        """The squads now, last one first, for a push that takes them from the end. Who enters later enters none that is still
        awaited: so nobody gets a push that began before, nor, by leaving and coming back, the same one twice."""
        for squad in self.squads:
            squad.awaited = True
        return self.squads[::-1]

    def _roomy(self) -> Squad:
        """One that takes another member. The newest are looked at first: nearly always they have room."""
        for squad in reversed(self.squads):
            if len(squad) < self._squad_size and not squad.awaited:
                return squad
        squad = Squad(self.id)
        self.squads.append(squad)
        return squad
