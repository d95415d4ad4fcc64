"""Directory: all channels by key, and all rooms."""

from collections.abc import Iterable, Iterator
from zlib import crc32

from imd.comet.bucket import Bucket
from imd.comet.channel import Channel
from imd.comet.room import Room
from imd.comet.squad import Squad


class Directory:
    """Who is here. Everything is plain and done when it returns; nothing that it answers changes under an iteration."""

    __slots__ = ("_buckets", "_rooms", "_squad_size", "overlaps")

    def __init__(self, *, buckets: int, squad_size: int) -> None:
        self._buckets = tuple(Bucket() for _ in range(buckets))
        self._rooms: dict[str, Room] = {}  # by id; none is empty
        self._squad_size = squad_size  # members of a room that get a push in one turn
        self.overlaps = 0  # channels in more than one room

    def __len__(self) -> int:
        """Channels."""
        return sum(len(bucket.channels) for bucket in self._buckets)

    @property
    def room_count(self) -> int:
        """Rooms with a member here."""
        return len(self._rooms)

    def find(self, key: str) -> Channel | None:
        """The open channel with this key."""
        return self._bucket(key).channels.get(key)

    def put(self, channel: Channel) -> Channel | None:
        """Enter it under its key, in no room. Answers the older channel of the key: out now, still in its rooms, for the
        caller to close."""
        return self._bucket(channel.key).put(channel)

    def remove(self, channel: Channel) -> None:
        """Take it out of its rooms, and out of its bucket unless a newcomer has its key by now."""
        for room in channel.rooms:
            self.leave(channel, room)
        self._bucket(channel.key).remove(channel)

    def join(self, channel: Channel, room: str) -> None:
        """Make it a member, besides what it is a member of."""
        if room in channel.rooms:
            return
        found = self._rooms.get(room)
        if found is None:
            found = self._rooms[room] = Room(room, squad_size=self._squad_size)
        found.enter(channel)
        self.overlaps += len(channel.rooms) == 2

    def leave(self, channel: Channel, room: str) -> None:
        """No longer a member of this one. A room that was is allowed."""
        if room not in channel.rooms:
            return
        self.overlaps -= len(channel.rooms) == 2
        found = self._rooms[room]
        found.leave(channel)
        if not found:
            del self._rooms[room]

    def rooms(self) -> list[str]:
        """Those with a member here."""
        return list(self._rooms)

    def count(self, room: str) -> int:
        """Members here."""
        found = self._rooms.get(room)
        return 0 if found is None else len(found)

    def members(self, room: str) -> Iterator[Iterable[Channel]]:
        """Each squad's members, looked up when it is asked for."""
        found = self._rooms.get(room)
        return (tuple(squad.members) for squad in (tuple(found.squads) if found else ()))

    def muster(self, room: str) -> list[Squad]:
        """The room's squads for a push, see :meth:`imd.comet.room.Room.muster`."""
        found = self._rooms.get(room)
        return [] if found is None else found.muster()

    def channels(self) -> Iterator[tuple[Channel, ...]]:
        """Each bucket's channels, looked up when it is asked for."""
        return (bucket.snapshot() for bucket in self._buckets)

    def _bucket(self, key: str) -> Bucket:
        return self._buckets[crc32(key.encode("utf-8", "surrogatepass")) % len(self._buckets)]
