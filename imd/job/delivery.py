"""A delivery: one push on its way from the broker to the comets."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from imd.job.flight import Flight
from imd.protocol.push import Push
from imd.protocol.timeline import NOWHERE, Place, inbox_timeline

NOBODY: AbstractSet[str] = frozenset()


class Delivery:
    """Settled once the outcome of every parcel that carries it is known."""

    __slots__ = ("flight", "handed", "open", "packet", "places", "push")

    def __init__(self, push: Push, flight: Flight, places: tuple[Place, ...] = ()) -> None:
        self.push = push
        self.flight = flight  # the read that it came with
        self.places = places  # in the push's timelines, in their order; empty = it is live
        self.packet = b""  # its packet, once encoded
        self.handed = NOBODY  # MEMBERS: the keys that parcels were made for
        self.open = 1  # parcels whose outcome is not known, and one until all are made

    @property
    def kept(self) -> bool:
        """Whoever does not get it now finds it in the timeline: what is not delivered is not lost."""
        return bool(self.places)

    @property
    def inboxes(self) -> Mapping[int, Place]:
        """MEMBERS: mid -> place; empty when it is live. Made anew for each who asks."""
        return dict(zip(self.push.mids, self.places, strict=True)) if self.places else {}

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
