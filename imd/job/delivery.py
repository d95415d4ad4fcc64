"""A delivery: one push on its way from the broker to the comets."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from imd.job.flight import Flight
from imd.protocol.push import Push
from imd.protocol.timeline import NOWHERE, Place, inbox_timeline


@dataclass(slots=True, eq=False)
class Delivery:
    """Settled once the outcome of every parcel that carries it is known."""

    push: Push
    flight: Flight  # the read that it came with
    places: tuple[Place, ...] = ()  # in the push's timelines, in their order; empty = it is live
    packet: bytes = b""  # its packet, once encoded
    handed: set[str] = field(default_factory=set)  # MEMBERS: the keys that parcels were made for
    inboxes: Mapping[int, Place] = field(default_factory=dict)  # MEMBERS: mid -> place, once addressed
    open: int = 1  # parcels whose outcome is not known, and one until all are made

    @property
    def kept(self) -> bool:
        """Whoever does not get it now finds it in the timeline: what is not delivered is not lost."""
        return bool(self.places)

    @property
    def traced(self) -> bool:
        """What becomes of it is noted."""
        return bool(self.push.trace)

    def share(self, mid: int) -> tuple[str, int]:
        """The timeline, and the seq there, that a hop about member ``mid`` names; 0 = of a push to no members."""
        if not self.places:
            return "", 0
        if mid:
            return inbox_timeline(mid), self.inboxes.get(mid, NOWHERE).seq
        timelines = self.push.timelines
        return (timelines[0], self.places[0].seq) if len(timelines) == 1 else ("", 0)
