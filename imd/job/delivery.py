"""A delivery: one push on its way from the broker to the comets."""

from imd.job.flight import Flight
from imd.protocol.push import Push


class Delivery:
    """Settled once the outcome of every parcel that carries it is known."""

    __slots__ = ("flight", "handed", "open", "packet", "push")

    def __init__(self, push: Push, flight: Flight) -> None:
        self.push = push
        self.flight = flight  # the read that it came with
        self.packet = b""  # its packet, once encoded
        self.handed: set[str] = set()  # MEMBERS: the keys that parcels were made for
        self.open = 1  # parcels whose outcome is not known, and one until all are made
