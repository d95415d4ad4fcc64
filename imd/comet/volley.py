"""Volley: one load straight to the sockets of many channels."""

from collections.abc import Iterable, Iterator

from imd.comet.channel import Channel
from imd.comet.load import Load
from imd.interfaces import Arm, Sink


class Volley:
    """Filled first, fired then. In between nothing may write to its channels."""

    __slots__ = ("_arm", "_bare", "_framed", "_load")

    def __init__(self, load: Load, *, arm: Arm) -> None:
        self._load = load
        self._arm = arm
        self._bare: dict[Sink, Channel] = {}  # each is there once: a short send must be finished before the next begins
        self._framed: dict[Sink, Channel] = {}  # WebSocket

    def fill(self, channels: Iterable[Channel]) -> list[Channel]:
        """Take those in that may get the load together; answers the others. They are those whose outbox holds, who have no
        sink, and who are in it already."""
        packets, bare, framed = self._load.packets, self._bare, self._framed
        others: list[Channel] = []
        for channel in channels:
            outbox = channel.outbox
            sink = outbox.sink
            taken = framed if outbox.framed else bare
            if sink is None or sink in taken:
                others.append(channel)
                continue
            taken[sink] = channel
            outbox.packets_out += packets
        return others

    def fire(self) -> Iterator[tuple[Channel, bytes]]:
        """Send; yields who did not take all of it, with what is left for :meth:`imd.comet.outbox.Outbox.finish`."""
        for channels, framed in ((self._bare, False), (self._framed, True)):
            if channels:
                data = self._load.wire.bytes_for(framed)
                taking = tuple(channels.values())
                for place, sent in self._arm(tuple(channels)).fire(data):
                    yield taking[place], data[sent:]
