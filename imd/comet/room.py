"""Room: channels that share pushes, as far as one bucket holds them."""

from imd.comet.channel import Channel


class Room:
    """The members of one room in one bucket. An empty one is thrown away by the directory."""

    __slots__ = ("_members", "_snapshot", "id")

    def __init__(self, id: str) -> None:
        self.id = id  # ``type://name``
        self._members: set[Channel] = set()
        self._snapshot: tuple[Channel, ...] | None = None  # None = a member came or went since it was made

    def __len__(self) -> int:
        return len(self._members)

    def enter(self, channel: Channel) -> None:
        """Become a member; again changes nothing."""
        self._members.add(channel)
        self._snapshot = None

    def leave(self, channel: Channel) -> None:
        """No longer be one."""
        self._members.discard(channel)
        self._snapshot = None

    def members(self) -> tuple[Channel, ...]:
        """The members now. A delivery goes through it over several reactor turns while members come and go."""
        if self._snapshot is None:
            self._snapshot = tuple(self._members)
        return self._snapshot
