"""A delivery: one push on its way from the broker to the comets."""

from dataclasses import dataclass, field

from imd.job.flight import Flight
from imd.protocol.push import Push


@dataclass(slots=True, eq=False)
class Delivery:
    """Settled once the outcome of every parcel that carries it is known."""

    push: Push
    flight: Flight  # the read that it came with
    packet: bytes = b""  # its packet, once encoded
    handed: set[str] = field(default_factory=set)  # MEMBERS: the keys that parcels were made for
    open: int = 1  # parcels whose outcome is not known, and one until all are made
