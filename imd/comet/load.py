"""A load: what is offered to channels, one object for all its receivers."""

from imd.comet.policy import SlowPolicy
from imd.protocol.wire import Wire


class Load:
    """A wire, and what an outbox must know to hold or drop it. Never changed once it is offered."""

    __slots__ = ("operation", "packets", "policy", "room", "wire")

    def __init__(
        self, wire: Wire, *, packets: int, policy: SlowPolicy, room: str = "", operation: int | None = None
    ) -> None:
        self.wire = wire
        self.packets = packets  # how many packets are in the wire
        self.policy = policy
        self.room = room  # its source, for LATEST_ONLY; empty = no room
        self.operation = operation  # what accept sets are asked; None = not asked (rooms, as in goim)
