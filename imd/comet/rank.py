"""Rank: channels that get the same load together, straight to their sockets where that may be."""

from collections.abc import Iterable

from imd.comet.channel import Channel
from imd.comet.load import Load
from imd.interfaces import Arm, Battery, Sink


class Rank:
    """All of one version. It is made of what can be sent to at this moment: as soon as one of its channels pauses, ends, or
    goes, it must be dissolved, for a battery may know nothing but descriptors."""

    __slots__ = ("_batteries", "_packets", "others", "ready")

    def __init__(self, channels: Iterable[Channel], *, arm: Arm) -> None:
        bare: dict[Sink, Channel] = {}  # each is there once: a short send must be finished before the next begins
        framed: dict[Sink, Channel] = {}  # WebSocket
        # To be offered one by one: who holds, who has no sink, and who is in it already.
        self.others: list[Channel] = []
        for channel in channels:
            outbox = channel.outbox
            sink = outbox.sink
            taken = framed if outbox.framed else bare
            if sink is None or sink in taken:
                self.others.append(channel)
            else:
                taken[sink] = channel
        self._batteries: list[tuple[Battery, tuple[Channel, ...], bool]] = [
            (arm(tuple(taken)), tuple(taken.values()), taken is framed) for taken in (bare, framed) if taken
        ]
        self.ready = len(bare) + len(framed)  # how many are sent to together
        self._packets = 0  # that each channel of the batteries was sent, and that its outbox has not counted yet

    def __len__(self) -> int:
        return self.ready + len(self.others)

    @property
    def channels(self) -> list[Channel]:
        """All of them."""
        return [*(channel for _, channels, _ in self._batteries for channel in channels), *self.others]

    def fire(self, load: Load) -> list[tuple[Channel, bytes]]:
        """Send to all that are ready; answers who did not take all of it, with what is left for
        :meth:`imd.comet.outbox.Outbox.finish`. Nobody's at all once it is dissolved."""
        self._packets += load.packets
        short: list[tuple[Channel, bytes]] = []
        for battery, channels, framed in self._batteries:
            data = load.wire.bytes_for(framed)
            short += [(channels[place], data[sent:]) for place, sent in battery.fire(data)]
        return short

    def dissolve(self) -> None:
        """Never to be fired again; the outboxes count what they were sent."""
        batteries, self._batteries = self._batteries, []
        self.ready = 0
        if self._packets:
            for _, channels, _ in batteries:
                for channel in channels:
                    channel.outbox.packets_out += self._packets
