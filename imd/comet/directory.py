"""Directory: all buckets, and which of them host a room."""

from collections.abc import Iterable, Iterator
from zlib import crc32

from imd.comet.bucket import Bucket
from imd.comet.channel import Channel
from imd.comet.room import Room


class Directory:
    """Who is here. Everything is plain and done when it returns; nothing that it answers changes under an iteration."""

    __slots__ = ("_buckets", "_hosts", "overlaps")

    def __init__(self, *, buckets: int) -> None:
        self._buckets = tuple(Bucket() for _ in range(buckets))
        self._hosts: dict[str, list[Room]] = {}  # room id -> its non-empty shares, one a bucket
        self.overlaps = 0  # channels in more than one room

    def __len__(self) -> int:
        """Channels."""
        return sum(len(bucket.channels) for bucket in self._buckets)

    @property
    def room_count(self) -> int:
        """Rooms with a member here."""
        return len(self._hosts)

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
        shares = self._hosts.setdefault(room, [])
        if shares:
            room = shares[0].id  # one string for all members
        bucket = self._bucket(channel.key)
        share = bucket.rooms.get(room)
        if share is None:
            share = bucket.rooms[room] = Room(room)
            shares.append(share)
        share.enter(channel)
        channel.rooms = (*channel.rooms, room)
        self.overlaps += len(channel.rooms) == 2

    def leave(self, channel: Channel, room: str) -> None:
        """No longer a member of this one. A room that was is allowed."""
        if room not in channel.rooms:
            return
        self.overlaps -= len(channel.rooms) == 2
        channel.rooms = tuple(other for other in channel.rooms if other != room)
        bucket = self._bucket(channel.key)
        share = bucket.rooms[room]
        share.leave(channel)
        if not share:
            del bucket.rooms[room]
            self._hosts[room].remove(share)
            if not self._hosts[room]:
                del self._hosts[room]

    def rooms(self) -> list[str]:
        """Those with a member here."""
        return list(self._hosts)

    def count(self, room: str) -> int:
        """Members here."""
        return sum(map(len, self._hosts.get(room, ())))

    def members(self, room: str) -> Iterator[Iterable[Channel]]:
        """Each hosting bucket's members, looked up when it is asked for."""
        return (share.members() for share in tuple(self._hosts.get(room, ())))

    def channels(self) -> Iterator[tuple[Channel, ...]]:
        """Each bucket's channels, looked up when it is asked for."""
        return (bucket.snapshot() for bucket in self._buckets)

    def _bucket(self, key: str) -> Bucket:
        return self._buckets[crc32(key.encode("utf-8", "surrogatepass")) % len(self._buckets)]
