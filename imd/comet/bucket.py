"""Bucket: a share of this server's channels."""

from imd.comet.channel import Channel


class Bucket:
    """Channels by key."""

    __slots__ = ("channels",)

    def __init__(self) -> None:
        self.channels: dict[str, Channel] = {}

    def put(self, channel: Channel) -> Channel | None:
        """Enter it under its key; answers the one that had the key, which is out now."""
        previous = self.channels.get(channel.key)
        self.channels[channel.key] = channel
        return previous

    def remove(self, channel: Channel) -> bool:
        """Take it out if the key is still its own; False when a newcomer has the key, or nobody."""
        if self.channels.get(channel.key) is not channel:
            return False
        del self.channels[channel.key]
        return True

    def snapshot(self) -> tuple[Channel, ...]:
        """The channels now."""
        return tuple(self.channels.values())
