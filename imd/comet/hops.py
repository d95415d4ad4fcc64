"""Hops: what became of a traced item, channel by channel."""

from collections.abc import Callable, Mapping

from imd.comet.channel import Channel
from imd.comet.drop import Drop
from imd.comet.fate import Fate
from imd.protocol.timeline import Place, inbox_timeline, room_timeline
from imd.protocol.trace import Hop, Step

MAX_HOPS = 1_000  # of one item: the wire's limit

_STEPS = {
    Fate.DELIVERED: Step.WRITTEN,
    Fate.DUPLICATE: Step.WRITTEN,
    Fate.DEFERRED: Step.KEPT,
    Fate.FILTERED: Step.DROPPED,
    Fate.LEFT: Step.DROPPED,
}


class Hops:
    """Collects them. What a broadcast with a speed does later is not among them, nor that a held packet was written after all,
    nor what channels read from a timeline."""

    __slots__ = ("_inboxes", "_now_ms", "_place", "_process", "_room", "noted")

    def __init__(
        self,
        *,
        now_ms: Callable[[], int],
        process: str,
        room: str = "",
        place: Place | None = None,
        inboxes: Mapping[str, Place] | None = None,
    ) -> None:
        self._now_ms = now_ms
        self._process = process
        self._room = room
        self._place = place  # in the room's timeline; None = live, or to keys
        self._inboxes = inboxes or {}  # key -> the place in its member's inbox
        self.noted: list[Hop] = []

    def note(self, channel: Channel, fate: Fate | Drop, *, held: bool) -> None:
        """``held``: its outbox was not empty."""
        if len(self.noted) >= MAX_HOPS:
            return
        step = Step.DROPPED if isinstance(fate, Drop) else _STEPS[fate]
        if fate is Fate.DELIVERED and held:
            step = Step.QUEUED
        inbox = self._inboxes.get(channel.key)
        place = inbox or self._place
        timeline = inbox_timeline(channel.mid) if inbox else room_timeline(self._room)
        self.noted.append(
            Hop(
                step,
                self._now_ms(),
                self._process,
                timeline if place else "",
                place.seq if place else 0,
                channel.mid,
                channel.device,
                "" if fate is Fate.DELIVERED else fate.value,
            )
        )
